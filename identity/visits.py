"""Rule 5's last part: whose a shared identifier is, visit by visit (SPEC 3, Whose event).

An event on a shared identifier that nothing else gives to somebody is that of the nearest earlier event of the same visit
that has a customer, else of the next one, else the identifier's own anonymous customer's. Events of one instant stand
together: the last of them by key that has a customer speaks for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.components import ABSENT
from identity.evidence import Codes, Evidence, Flags, Ints, instants
from identity.groups import Groups
from identity.tables import EVENTS, conform

EventsOf = Callable[[pa.Array], pa.Table]
"""Gives the events (EVENTS) of sets of evidence, named by their places in the table of evidence."""
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Runs:
    """Stretches of time in which a shared identifier is one group's: its code, the group, [`valid_from`, `valid_to`) in
    microseconds since 1970. By identifier, then time."""

    identifier: Codes
    group: Codes
    valid_from: Ints
    valid_to: Ints


class EventLog:
    """The events of sets of evidence, asked for once each and kept in key order."""

    def __init__(self, evidence: Evidence, events_of: EventsOf, dates: list[datetime]) -> None:
        self._events_of = events_of
        self._dates = instants(dates)
        self._asked = np.zeros(len(evidence.table), dtype=bool)
        self._table = EVENTS.empty_table()
        self.row: Codes = np.empty(0, dtype=np.int32)
        self.at: Ints = np.empty(0, dtype=np.int64)
        self.date: Codes = np.empty(0, dtype=np.int32)

    def ask_for(self, rows: Ints) -> None:
        """Make sure that the events of these sets are here; `row`, `at` and `date` (the first at which each is known)
        list all that are, by key."""
        new = rows[~self._asked[rows]]
        if not len(new):
            return
        self._asked[new] = True
        more = conform(self._events_of(pa.array(new, pa.int32())), EVENTS, "events")
        table = pa.concat_tables([self._table, more])
        keys = [(name, "ascending") for name in ("ordered_at", "source", "message_id")]
        self._table = table.take(pc.sort_indices(table, sort_keys=keys))
        self.row = np.asarray(self._table["evidence_row"].to_numpy(), dtype=np.int32)
        self.at = np.asarray(self._table["ordered_at"].cast(pa.int64()).to_numpy())
        known_at = self._table["known_at"].cast(pa.int64()).to_numpy()
        self.date = np.searchsorted(self._dates, known_at, side="right").astype(np.int32)


def find_runs(evidence: Evidence, groups: Groups, events: EventLog, *, date: int, gap_minutes: int) -> Runs:
    """Work out whose the shared identifiers are at a date. Cost: n log n in the events on them."""
    on_shared = groups.shared[evidence.pair_identifier[groups.pairs]]
    pairs = groups.pairs[on_shared]
    if not len(pairs):
        none, never = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int64)
        return Runs(none, none, never, never)
    rows = np.unique(evidence.pair_row[pairs]).astype(np.int64)
    events.ask_for(rows)
    owner_of_row = _owners(evidence, groups, rows)

    # every event meets the shared identifiers of its set
    known = np.flatnonzero(events.date <= date)
    by_row = pairs[np.argsort(evidence.pair_row[pairs], kind="stable")]
    pair_row = evidence.pair_row[by_row]
    first = np.searchsorted(pair_row, events.row[known], side="left")
    past = np.searchsorted(pair_row, events.row[known], side="right")
    many = past - first
    event = np.repeat(known, many)
    place = np.repeat(first, many) + np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    shared = evidence.pair_identifier[by_row[place]]
    order = np.lexsort((event, shared))
    shared, event = shared[order], event[order]

    return _runs(groups, shared, events.at[event], owner_of_row[events.row[event]], gap_minutes * 60_000_000)


def _owners(evidence: Evidence, groups: Groups, rows: Ints) -> Codes:
    """By row of evidence the group whose its events are without any visit: that of its first strong identifier, unless the
    set is held for review, else of its first unshared weak one; ABSENT for others and rows that are not wanted."""
    wanted, held = np.zeros(len(evidence.table), dtype=bool), np.zeros(len(evidence.table), dtype=bool)
    wanted[rows], held[groups.held_rows()] = True, True
    pairs = groups.pairs[wanted[evidence.pair_row[groups.pairs]]]
    row, identifier = evidence.pair_row[pairs], evidence.pair_identifier[pairs]
    strong = evidence.is_strong[identifier]
    speaks = np.where(strong, ~held[row], ~groups.shared[identifier])
    rank = identifier[speaks] + np.where(strong[speaks], 0, np.int64(evidence.identifier_count))
    best = np.full(len(evidence.table), _LAST)
    np.minimum.at(best, row[speaks], rank)
    owner = np.full(len(evidence.table), ABSENT, dtype=np.int32)
    found = best != _LAST
    owner[found] = groups.group[best[found] % evidence.identifier_count]
    return owner


def _runs(groups: Groups, shared: Codes, at: Ints, owner: Codes, gap: int) -> Runs:
    """Runs of equal owners; events come by identifier and key."""
    count = len(shared)
    if not count:
        return Runs(shared, shared, at, at)
    place = np.arange(count)
    speaker = np.maximum.accumulate(np.where(owner != ABSENT, place, ABSENT))
    first = np.flatnonzero(_changes(shared) | _changes(at))
    speaker = speaker[np.append(first[1:], count) - 1]
    own = np.where(speaker >= first, owner[speaker], ABSENT)
    shared, at = shared[first], at[first]

    opens = _changes(shared)
    opens[1:] |= np.diff(at) > gap
    moment = np.arange(len(at))
    visit = np.cumsum(opens) - 1
    visit_first = np.flatnonzero(opens)
    visit_past = np.append(visit_first[1:], len(at))
    earlier = np.maximum.accumulate(np.where(own != ABSENT, moment, ABSENT))
    later = np.minimum.accumulate(np.where(own != ABSENT, moment, len(at))[::-1])[::-1]
    whose = groups.group[shared].copy()
    next_here = later < visit_past[visit]
    whose[next_here] = own[later[next_here]]
    earlier_here = earlier >= visit_first[visit]
    whose[earlier_here] = own[earlier[earlier_here]]

    run_first = np.flatnonzero(_changes(shared) | _changes(whose))
    run_last = np.append(run_first[1:], len(at)) - 1
    ends = at[run_last] + gap
    next_starts = np.full(len(run_first), _LAST)
    same = shared[run_first[1:]] == shared[run_first[:-1]]
    next_starts[:-1][same] = at[run_first[1:]][same]
    return Runs(shared[run_first], whose[run_first], at[run_first], np.minimum(ends, next_starts))


def _changes(values: Ints | Codes) -> Flags:
    changed = np.ones(len(values), dtype=bool)
    changed[1:] = values[1:] != values[:-1]
    return changed


def idle_groups(groups: Groups, runs: Runs) -> Flags:
    """By group, whether it is a shared identifier's own and has no event: all of them are somebody else's."""
    idle = np.zeros(groups.count, dtype=bool)
    idle[groups.group[groups.shared]] = True
    idle[runs.group] = False
    return idle
