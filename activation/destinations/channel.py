"""What destinations that post into a channel for people have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import pyarrow as pa

from activation.destinations.messages import posted
from activation.syncs.contract import Change, Outcome, Record

CHANGES_IN_A_SUMMARY = 10_000


class Channel(ABC):
    """As a sync one summary for each batch of changes; with a template one message for each change."""

    message: str | None = None
    """The template of one message for each change; without it all changes of a batch are one summary."""

    def __init__(self, audience: str) -> None:
        self._audience = audience

    @property
    def batch_size(self) -> int:
        """One message is one request."""
        return 1 if self.message is not None else CHANGES_IN_A_SUMMARY

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One record per customer that says nothing but that they are in."""
        for customer in members["customer_id"].to_pylist():
            yield Record(customer, customer, {})

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """See the contract."""
        return posted(changes, self._audience, self.message, self._fill, self._post)

    @abstractmethod
    def _fill(self, template: str, change: Change) -> str:
        """The message of one change, with nothing in it that the channel would take for more than text."""

    @abstractmethod
    def _post(self, text: str) -> Outcome:
        """Post one message. Raises DestinationUnavailableError, DestinationMisconfiguredError."""
