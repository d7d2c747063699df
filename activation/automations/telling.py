"""Between the sync engine and a destination: the engine knows an occurrence by its key only, its content is put in when it is sent.

So the content of an occurrence stays the same to the ledger, whatever happens to the profile: a retry is the same occurrence with the
same key of idempotency, told with the newest values, and what was told once is never a change again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from activation.automations.definitions import Automation
from activation.destinations.messages import filled
from activation.destinations.values import json_value
from activation.syncs.contract import Change, Destination, Outcome, Record
from activation.syncs.redaction import redacted

EVENT_TYPE = "automation.event"
TOLD_BEFORE = "an automation tells nothing twice"


@dataclass(frozen=True)
class Content:
    """What an occurrence says, and about whom."""

    customer_id: str
    payload: Mapping[str, Any]


def occurrence_key(customer_id: str, occurrence: int) -> str:
    """What the ledger calls an occurrence."""
    return f"{customer_id}.{occurrence}"


def content_of(
    automation: Automation,
    customer_id: str,
    occurrence: int,
    *,
    changed_at: datetime,
    coupon: str | None,
    values: Mapping[str, Any],
) -> Content:
    """What an occurrence says: to a channel the values of its template's placeholders, to a webhook what happened and its columns."""
    told = {column: json_value(values.get(column)) for column in automation.columns}
    own = {"audience": automation.audience, "customer_id": customer_id} | ({"coupon": coupon} if coupon else {})
    happened = {
        "automation": automation.name,
        "event": automation.when,
        "occurred_at": json_value(changed_at),
        "occurrence": occurrence_key(customer_id, occurrence),
    }
    said = {"message": filled(automation.message, {**told, **own}, str)} if automation.message else {}
    return Content(customer_id, {**told, **own, **happened, **said})


def prepared(destination: Any, automation: Automation) -> Any:
    """A destination's adapter that posts the automation's message, or says that it is an event."""
    if hasattr(destination, "message"):
        destination.message = automation.message
    else:
        destination.event_type = EVENT_TYPE
    return destination


class Telling:
    """A Destination of occurrences: `contents` by key are those that may go out; `withheld` says, at each request, who no longer may."""

    def __init__(
        self,
        destination: Destination,
        contents: Mapping[str, Content],
        withheld: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._destination, self._contents, self._withheld = destination, contents, withheld

    @property
    def batch_size(self) -> int:
        """The destination's."""
        return self._destination.batch_size

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One record per occurrence, which are the `customer_id` of `members`."""
        for key in members["customer_id"].to_pylist():
            yield Record(key, key, {"occurrence": key})

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """See the contract. What was told cannot be taken back: a removal is done when it is asked for."""
        outcomes: list[Outcome | None] = [None] * len(changes)
        withheld = self._withheld()
        sent: list[tuple[int, Change]] = []
        for position, change in enumerate(changes):
            content = self._contents.get(change.key)
            if change.operation == "remove":
                outcomes[position] = Outcome("accepted")
            elif content is None:
                outcomes[position] = Outcome("refused", TOLD_BEFORE)
            elif change.key in withheld:
                outcomes[position] = Outcome("refused", withheld[change.key])
            else:
                told = replace(change, customer_id=content.customer_id, payload=content.payload)
                sent.append((position, told))
        if sent:
            answers = self._destination.send([change for _, change in sent])
            for (position, change), answer in zip(sent, answers, strict=True):
                outcomes[position] = replace(answer, words=redacted(answer.words, change.payload))
        return [outcome for outcome in outcomes if outcome is not None]
