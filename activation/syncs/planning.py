"""What a sync has to do: how the records of an audience are to stand, against how the ledger says that they do.

Customers whose columns have not changed are told by a hash of them, in bulk; only the others become records again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from activation.syncs.contract import Destination, Export, Record
from activation.syncs.fingerprints import Fingerprints
from activation.syncs.ledger import Ledger, Row

RECORDS_AT_ONCE = 50_000
_EVALUATED_EVERY_TIME = 0
"""The `source` of a customer who shares a record with another: what becomes of it depends on both."""


@dataclass(frozen=True)
class Plan:
    """Rows that change (or are new), and how many customers had to be looked at one by one."""

    changed: list[Row]
    evaluated: int

    @property
    def by_operation(self) -> dict[str, int]:
        """How many of them would be sent, by operation."""
        counts: dict[str, int] = {"upsert": 0, "remove": 0}
        for row in self.changed:
            counts[row.operation] += row.status == "pending"
        return counts


@dataclass(frozen=True, slots=True)
class _Claim:
    """A customer's wish for a record."""

    customer_id: str
    fingerprint: str
    source: int


def plan(
    members: pa.Table, ledger: Ledger, destination: Destination | Export, fingerprints: Fingerprints, code: str
) -> Plan:
    """What changes in the ledger so that it wants exactly `members`. Writes nothing. `code` stands for configuration and adapter.

    Two customers may yield one record: who has it keeps it while yielding it, else it goes to the one whose id comes first.
    Cost: vectorised over members and ledger; record by record for the customers whose columns changed.
    """
    standing = ledger.standing()
    sources = fingerprints.sources(members, code)
    position = _positions(standing["customer_id"], members["customer_id"])
    held = standing["source"].to_numpy()
    stays = (position >= 0) & (held != _EVALUATED_EVERY_TIME)
    stays[stays] = sources[position[stays]] == held[stays]
    is_known = np.zeros(len(members), dtype=bool)
    is_known[position[stays]] = True
    to_evaluate = np.flatnonzero(~is_known)

    leaving = standing.filter(pa.array(~stays))
    owners = dict(zip(leaving["record_key"].to_pylist(), leaving["customer_id"].to_pylist(), strict=True))
    taken = standing.filter(pa.array(stays))["record_key"]
    found = _found(members, to_evaluate, sources, destination, fingerprints)
    claims = _claims(found, owners, taken)
    known = ledger.rows([*claims, *(key for key in owners if key not in claims)])
    changed = []
    for key, claim in claims.items():
        row = known.get(key)
        if row is None:
            changed.append(Row(key, claim.customer_id, "pending", claim.fingerprint, source=claim.source))
        elif row.fingerprint != claim.fingerprint:
            changed.append(row.wanted(claim.fingerprint, source=claim.source, customer_id=claim.customer_id))
        elif (row.customer_id, row.source) != (claim.customer_id, claim.source):
            changed.append(replace(row, customer_id=claim.customer_id, source=claim.source))
    for key in owners:
        if key not in claims:
            changed.append(known[key].wanted(None, source=None, customer_id=known[key].customer_id))
    return Plan(changed, len(to_evaluate))


def _positions(wanted: pa.ChunkedArray, among: pa.ChunkedArray) -> np.ndarray:
    """Where each value stands, -1 where it does not."""
    found = pc.index_in(wanted, value_set=among.combine_chunks())
    return np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64)


def _found(
    members: pa.Table,
    to_evaluate: np.ndarray,
    sources: np.ndarray,
    destination: Destination | Export,
    fingerprints: Fingerprints,
) -> Iterator[tuple[str, _Claim]]:
    """Record keys that the customers at `to_evaluate` yield, with the claim of each."""
    for start in range(0, len(to_evaluate), RECORDS_AT_ONCE):
        some = to_evaluate[start : start + RECORDS_AT_ONCE]
        rows = members.take(pa.array(some))
        source_of = dict(zip(rows["customer_id"].to_pylist(), sources[some].tolist(), strict=True))
        for record in destination.records(rows):
            content = fingerprints.content(record.payload)
            yield record.key, _Claim(record.customer_id, content, source_of[record.customer_id])


def _claims(
    found: Iterable[tuple[str, _Claim]], owners: Mapping[str, str], taken: pa.ChunkedArray
) -> dict[str, _Claim]:
    """Each record key with who gets it; `owners` have it now and were looked at, `taken` keys stay with whom they are."""
    claims: dict[str, _Claim] = {}
    shared: set[str] = set()
    for key, claim in found:
        other = claims.get(key)
        if other is None or other.customer_id == claim.customer_id:
            claims[key] = claim
            continue
        claims[key], second = _in_order(other, claim, owners.get(key))
        shared.add(second.customer_id)
    for key in _held_by_others(claims, taken):
        shared.add(claims.pop(key).customer_id)
    if not shared:
        return claims
    return {
        key: replace(claim, source=_EVALUATED_EVERY_TIME) if claim.customer_id in shared else claim
        for key, claim in claims.items()
    }


def _in_order(one: _Claim, other: _Claim, owner: str | None) -> tuple[_Claim, _Claim]:
    by_right = sorted((one, other), key=lambda claim: (claim.customer_id != owner, claim.customer_id))
    return by_right[0], by_right[1]


def _held_by_others(claims: Mapping[str, _Claim], taken: pa.ChunkedArray) -> Iterable[str]:
    if not claims or not len(taken):
        return []
    keys = pa.array(list(claims), pa.string())
    held: list[str] = keys.filter(pc.is_in(keys, value_set=taken.combine_chunks())).to_pylist()
    return held


class Payloads:
    """The newest content of records, made when it is about to be sent and kept no longer."""

    def __init__(self, members: pa.Table, destination: Destination | Export, fingerprints: Fingerprints) -> None:
        self._members, self._destination, self._fingerprints = members, destination, fingerprints

    def of(self, rows: Iterable[Row]) -> dict[str, Record]:
        """By key. A record is left out where its customer no longer yields the content that the ledger wants."""
        wanted = {row.key: row for row in rows if row.operation == "upsert"}
        customers = pa.array(sorted({row.customer_id for row in wanted.values()}), pa.string())
        chosen = self._members.filter(pc.is_in(self._members["customer_id"], value_set=customers))
        found = {}
        for record in self._destination.records(chosen):
            row = wanted.get(record.key)
            if row is None or row.customer_id != record.customer_id:
                continue
            if self._fingerprints.content(record.payload) == row.fingerprint:
                found[record.key] = record
        return found
