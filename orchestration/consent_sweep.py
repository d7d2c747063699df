"""After a landing: which of the events that landed refuse a purpose. Its work is in proportion to what landed since the last time.

The cursor (operator state) moves in the transaction that keeps the refusals. Killed after the landing, it is done again by the next
landing or by the sensor's next tick, whichever comes first.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache

from identity.normalise import normalise
from identity.rules import Rules
from orchestration.consent_purposes import PURPOSES
from orchestration.errors import NothingServedError
from orchestration.refusals import Cursor, Refusal, identifier_hash
from orchestration.resources import Platform
from orchestration.state import State
from orchestration.warehouse import Connection, Warehouse, first_row, scalar, tables_of

WHOLE_BUILD = "select landed_seq, as_of from control.builds where landed_seq is not null order by run_seq desc limit 1"
"""What the newest whole pass of a warehouse or a served build contains; an analyst's own build ties no new event to a customer."""

STATED = """
    select user_id, anonymous_id, cast(identifiers as varchar) as identifiers, cast(consent as varchar) as consent,
        max(landed_seq), max(known_at), max(occurred_at)
    from raw.events
    where landed_seq > ? and consent is not null and (landed_seq > ? or known_at >= ?)
    group by 1, 2, 3, 4
"""


def sweep_refusals(platform: Platform, connection: Connection) -> int:
    """Keep every refusal that landed and is in no served build; returns how many are new. `connection` is the writer's, after a landing."""
    contained = contained_by_served(platform.warehouse)
    if contained is None:
        return 0  # nothing can have been published, and the first build will contain them all
    return sweep(connection, platform.state, platform.rules, contained)


def sweep_when_idle(platform: Platform) -> int:
    """The same for a landing that was killed before it came to that: does nothing while somebody writes."""
    with platform.warehouse.idle_writer() as connection:
        return sweep_refusals(platform, connection) if connection else 0


def sweep_before_whole(platform: Platform, connection: Connection) -> int:
    """The same before the build in progress becomes whole: one that looks back from an earlier instant than the last knows less."""
    run = first_row(connection, "select landed_seq, as_of from control.current_run")
    if run is None or platform.state.refusals.cursor() is None:
        return sweep_refusals(platform, connection)
    return sweep(connection, platform.state, platform.rules, Cursor(*run))


def contained_by_served(warehouse: Warehouse) -> Cursor | None:
    """The newest event of the served build and the instant that it looks back from; None where nothing whole is served."""
    with suppress(NothingServedError), warehouse.open_served() as served:
        return whole_build(served)
    return None


def whole_build(connection: Connection) -> Cursor | None:
    """What the newest whole pass of this copy contains."""
    if "builds" not in tables_of(connection, "control"):
        return None
    row = first_row(connection, WHOLE_BUILD)
    return Cursor(*row) if row else None


def sweep(connection: Connection, state: State, rules: Rules, contained: Cursor) -> int:
    """`sweep_refusals` against a build that contains every event up to `contained`."""
    if "events" not in tables_of(connection, "raw"):
        return 0
    newest = int(scalar(connection, "select coalesce(max(landed_seq), 0) from raw.events"))
    cursor = state.refusals.cursor()
    went_back = cursor is None or contained.as_of < cursor.as_of or newest < cursor.landed_seq
    if cursor == Cursor(newest, contained.as_of):
        return 0
    read_from = 0 if went_back or cursor is None else cursor.landed_seq
    rows = connection.rows(STATED, [read_from, contained.landed_seq, contained.as_of]) if newest > read_from else []
    refusals = list(_refusals(rows, state.salt(), rules.default_country))
    return state.refusals.note(refusals, Cursor(newest, contained.as_of))


def _refusals(rows: list[tuple[str, ...]], key: str, country: str) -> Iterator[Refusal]:
    @lru_cache(100_000)
    def hashed(kind: str, value: str) -> str | None:
        normal = normalise(kind, value, country)
        return None if normal is None else identifier_hash(key, kind, normal)

    newest: dict[tuple[str, str, str], tuple[int, datetime, datetime]] = {}
    for user_id, anonymous_id, identifiers, consent, *times in rows:
        purposes = refused_purposes(consent)
        for kind, value in _given(user_id, anonymous_id, identifiers) if purposes else ():
            known_by = hashed(kind, value)
            for purpose in purposes if known_by else ():
                name = (kind, str(known_by), purpose)
                before = newest.get(name)
                newest[name] = tuple(map(max, before, times)) if before else tuple(times)  # type: ignore[arg-type,assignment]
    for name, found in newest.items():
        yield Refusal(*name, *found)


@lru_cache(10_000)
def refused_purposes(consent: str) -> tuple[str, ...]:
    """The purposes that a stated consent names and does not allow: anything but JSON's true is a refusal, null says nothing."""
    stated = json.loads(consent)
    if not isinstance(stated, dict):
        return ()
    return tuple(purpose for purpose in PURPOSES if stated.get(purpose) is not None and stated[purpose] is not True)


def _given(user_id: str | None, anonymous_id: str | None, identifiers: str | None) -> Iterator[tuple[str, str]]:
    if user_id is not None:
        yield "user_id", user_id
    if anonymous_id is not None:
        yield "anonymous_id", anonymous_id
    listed = json.loads(identifiers) if identifiers else None
    for each in listed if isinstance(listed, list) else ():
        kind, value = (each.get("type"), each.get("value")) if isinstance(each, dict) else (None, None)
        if isinstance(kind, str) and isinstance(value, str | int | float) and not isinstance(value, bool):
            yield kind, str(value)
