"""What the sync engine and a destination say to each other."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import pyarrow as pa

from activation.errors import ActivationError

Operation = Literal["upsert", "remove"]
Status = Literal["accepted", "refused", "retry"]


@dataclass(frozen=True, slots=True)
class Record:
    """How one customer is to stand at a destination.

    `key` names the record there for as long as it exists and is kept in the ledger: a customer id, or the vendor's hashes, never
    personal data in clear. `payload` is what the destination is told; it may hold personal data and is neither kept nor logged.
    """

    key: str
    customer_id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One record to be sent, with the newest value there is. A removal has no payload: `key` and `remote_id` say all of it."""

    key: str
    customer_id: str
    operation: Operation
    payload: Mapping[str, Any]
    remote_id: str | None
    """What the destination called the record when it accepted it, where it said so."""
    idempotency_key: str
    """The same for every try of the same content; another as soon as the content is another."""
    sequence: int
    """Grows with every change of the record: a receiver that keeps the highest ends with the newest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change. `retry` = it was not taken, and may be if it is sent again; `refused` = not as it is."""

    status: Status
    words: str | None = None
    """The destination's own words; the engine takes out what looks like personal data, and cuts them."""
    remote_id: str | None = None
    may_be_applied: bool = False
    """With `retry`: the destination may have taken it all the same."""


class DestinationUnavailableError(ActivationError):
    """The whole request failed or its outcome is unknown (429, 5xx, no answer): its changes are sent again, with the same keys.

    `retry_after` is what the destination asked for, in seconds; `may_be_applied` is false where it surely took none of them (429,
    no connection).
    """

    def __init__(self, sentence: str, retry_after: float | None = None, *, may_be_applied: bool = True) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after
        self.may_be_applied = may_be_applied


class DestinationMisconfiguredError(ActivationError):
    """No change can be taken before a person mends something: a wrong token, an unknown audience, terms not accepted."""


@runtime_checkable
class Destination(Protocol):
    """An adapter. For one thread at a time."""

    @property
    def batch_size(self) -> int:
        """The most changes that one request may carry."""

    def records(self, members: pa.Table) -> Iterator[Record]:
        """The records of an audience: `members` has one row per customer with customer_id, entered_because and profile columns.

        A customer without what the destination needs (no e-mail, no phone) yields none. Two customers may yield one key.
        """

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Send changes, all of one operation or mixed as the destination takes them; one outcome each, in their order.

        Raises DestinationUnavailableError, DestinationMisconfiguredError."""


@runtime_checkable
class Export(Protocol):
    """A destination that is replaced as a whole, such as a file: what is in it is what was accepted."""

    def records(self, members: pa.Table) -> Iterator[Record]:
        """As a Destination's."""

    def replace(self, records: Iterator[Record]) -> int:
        """Replace everything in one step; how many records it then holds. Raises ActivationError, and then the old stands."""


@runtime_checkable
class SharesIdentifiers(Protocol):
    """A destination where one record's removal could reach another: it has to know which others are to stay."""

    def stand(self, keys: Callable[[], pa.ChunkedArray]) -> None:
        """How to ask for the keys of all records that are to stand there. Called before a run sends; asking costs a read of the ledger."""


@runtime_checkable
class Checks(Destination, Protocol):
    """A destination that says what it would take, without taking it."""

    def check(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """One outcome each, as `send` would give it; nothing is changed. Raises what `send` raises."""
