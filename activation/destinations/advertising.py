"""What the advertising vendors have in common: both purposes of consent, an audience of theirs for each of ours, hashed records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import Field, model_validator

from activation.destinations.config import DestinationConfig, Name
from activation.destinations.hashing import RULES, Rule, identifier
from activation.destinations.identifiers import HeldIdentifiers, identifiers_of, key_of
from activation.syncs.contract import (
    Change,
    DestinationMisconfiguredError,
    DestinationUnavailableError,
    Outcome,
    Record,
)

PURPOSES = frozenset({"advertising", "sharing"})
HELD_BY_OTHERS = "nothing to remove: each of its identifiers belongs to a member"

VendorId = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
Folding = Callable[[dict[str, str]], dict[str, str]]


class AdvertisingConfig(DestinationConfig):
    """`audience_ids`: the vendor's id for each audience that is sent. `keep_in_ledger` agrees to fields that go out unhashed.

    The vendor removes a person by what it was given; the ledger therefore keeps it, and that is hashes, but for a few fields.
    """

    audience_ids: Annotated[dict[Name, VendorId], Field(min_length=1)]
    keep_in_ledger: tuple[str, ...] = ()

    normalisation: str
    """The version of the vendor's rules; a type narrows it to its own."""

    finding: ClassVar[frozenset[str]]
    """Fields of which one is needed: the vendor finds nobody by the others alone."""

    @property
    def rules(self) -> Mapping[str, Rule]:
        """How the vendor wants each field."""
        return RULES[self.normalisation]

    @model_validator(mode="after")
    def _is_allowed(self) -> "AdvertisingConfig":
        if missing := sorted(PURPOSES - set(self.purposes)):
            raise ValueError(
                f"a destination of type {self.type} needs consent to advertising and sharing: add {' and '.join(missing)} to purposes"
            )
        if unknown := sorted(set(self.fields) - set(self.rules)):
            raise ValueError(f"fields has {', '.join(unknown)}; allowed are {', '.join(self.rules)}")
        if not self.finding & set(self.fields):
            raise ValueError(f"fields needs at least one of {', '.join(sorted(self.finding))}")
        if len(set(self.audience_ids.values())) < len(self.audience_ids):
            raise ValueError("audience_ids gives two audiences one id, where they would take out each other's members")
        clear = {
            name for name, column in self.fields.items() if not self.rules[name].is_hashed and column != "customer_id"
        }
        if asked := sorted(clear - set(self.keep_in_ledger)):
            raise ValueError(
                f"{', '.join(asked)} is sent unhashed, and the ledger must keep it to be able to remove a person again; "
                f"write keep_in_ledger: [{', '.join(asked)}] if it may, or leave it out of fields"
            )
        return self

    def audience_id(self, audience: str) -> str:
        """The vendor's id. Raises DestinationMisconfiguredError where none is given."""
        if audience not in self.audience_ids:
            raise DestinationMisconfiguredError(
                f"{self.name} has no id for the audience {audience}; add it to audience_ids in destinations.yml."
            )
        return self.audience_ids[audience]


class Members:
    """The records of one sync, and which identifiers the records hold that are to stand.

    `finding` are the identifiers that find somebody, `naming` those and others that are one person's alone; `folded` makes the
    identifiers of fields, where several fields are one identifier.
    """

    def __init__(
        self,
        config: AdvertisingConfig,
        audience_id: str,
        *,
        finding: frozenset[str],
        naming: frozenset[str],
        folded: Folding = dict,
    ) -> None:
        self._rules = [(field, config.rules[field], column) for field, column in config.fields.items()]
        self._audience_id, self._finding, self._naming, self._folded = audience_id, finding, naming, folded
        self._keys: Callable[[], pa.ChunkedArray] = lambda: pa.chunked_array([], pa.string())
        self._held: HeldIdentifiers | None = None

    def stand(self, keys: Callable[[], pa.ChunkedArray]) -> None:
        """Removals spare what these records hold; they are asked for with the first removal."""
        self._keys, self._held = keys, None

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One for each customer that the vendor can find.

        Its payload has the vendor's audience beside the identifiers: where that becomes another, everything has to be sent again.
        """
        columns = [members[column] for _, _, column in self._rules]
        for start in range(0, members.num_rows, _ROWS):
            parts = [column.slice(start, _ROWS).to_pylist() for column in columns]
            customers = members["customer_id"].slice(start, _ROWS).to_pylist()
            for customer, *values in zip(customers, *parts, strict=True):
                found = self._folded(self._identifiers(values))
                if self._finding & found.keys():
                    yield Record(key_of(found), customer, {"audience": self._audience_id, "identifiers": found})

    def _identifiers(self, values: Sequence[Any]) -> dict[str, str]:
        told = zip(self._rules, values, strict=True)
        sent = {field: identifier(rule, value) for (field, rule, _), value in told}
        return {field: value for field, value in sent.items() if value is not None}

    def to_remove(self, change: Change) -> tuple[dict[str, str], dict[str, str]]:
        """What a removal names, and what members hold of the record.

        Of a record that shares nothing with a member all of it is named; else only what is its own, and nothing by which that member
        could be found as well.
        """
        whole = identifiers_of(change.key)
        naming = self._only_naming(whole)
        free = self._held_now().without_held(naming)
        if len(free) == len(naming):
            return whole, {}
        return free, {field: value for field, value in naming.items() if field not in free}

    def _held_now(self) -> HeldIdentifiers:
        if self._held is None:
            self._held = HeldIdentifiers()
            for chunk in self._keys().chunks:
                for start in range(0, len(chunk), _ROWS):
                    for key in chunk.slice(start, _ROWS).to_pylist():
                        self._held.add(self._only_naming(identifiers_of(key)))
        return self._held

    def _only_naming(self, identifiers: Mapping[str, str]) -> dict[str, str]:
        return {field: value for field, value in identifiers.items() if field in self._naming}


_ROWS = 10_000


def identifiers_sent(change: Change) -> dict[str, str]:
    """Of an addition."""
    return dict(change.payload["identifiers"])


class Outcomes:
    """What became of each of `changes`, told piece by piece."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes
        self._known: dict[int, Outcome] = {}

    def tell(self, rows: Sequence[int], outcome: Outcome) -> None:
        """The same of several."""
        self._known.update(dict.fromkeys(rows, outcome))

    def take_back(self, row: int) -> None:
        """It is not settled yet."""
        self._known.pop(row, None)

    def is_refused(self, row: int) -> bool:
        """Whether it was told so."""
        return row in self._known and self._known[row].status == "refused"

    @property
    def is_any_known(self) -> bool:
        """Whether something was told."""
        return bool(self._known)

    def all(self, otherwise: Outcome | None = None) -> list[Outcome]:
        """One each, in their order."""
        rows = range(len(self._changes))
        return [self._known[row] if otherwise is None else self._known.get(row, otherwise) for row in rows]


Telling = Callable[[Mapping[int, dict[str, str]], Outcomes], None]
"""Sends identifiers by the place of their change, and tells what became of them."""


def send_in_turn(changes: Sequence[Change], members: Members, *, remove: Telling, add: Telling) -> list[Outcome]:
    """Removals, then additions: a removal that came after would take out whom an addition has just brought in.

    Vendors keep people. Who was found by an identifier that left may be found by another that a member still holds: those are added
    again, and the removal is accepted only with them.
    """
    outcomes = Outcomes(changes)
    removals: dict[int, dict[str, str]] = {}
    additions: dict[int, dict[str, str]] = {}
    kept: dict[int, dict[str, str]] = {}
    for row, change in enumerate(changes):
        if change.operation == "upsert":
            additions[row] = identifiers_sent(change)
            continue
        removals[row], kept[row] = members.to_remove(change)
        if not removals[row]:
            del removals[row], kept[row]
            outcomes.tell([row], Outcome("accepted", HELD_BY_OTHERS))
    try:
        remove(removals, outcomes)
        again = {row: held for row, held in kept.items() if held and not outcomes.is_refused(row)}
        for row in again:
            outcomes.take_back(row)
        add(additions | again, outcomes)
    except DestinationUnavailableError as error:
        if not outcomes.is_any_known:
            raise
        return outcomes.all(Outcome("retry", str(error), may_be_applied=error.may_be_applied))
    return outcomes.all()
