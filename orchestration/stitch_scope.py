"""What a run of the identity engine has to decide: everything, or the whole components that changed evidence touches.

The engine's own state (identity.engine_state, written with its answers) says what it decided last; identity.evidence says
which decision is the first to know each set as it is. So an increment builds on the engine's last answer, whether or not the pass that
asked for it came to its end.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from identity.rules import Rules
from orchestration.warehouse import Connection, create_table, first_row, row_count, scalar

ENGINE_STATE = {"decided_seq": "bigint", "fingerprint": "varchar", "dates": "varchar"}
LARGEST_SHARE = 3
"""An increment is not worth it where more than one in this many sets of evidence has changed."""

_NUMBERED = {
    "engine_evidence": (
        "select evidence_id, first_at, first_source, first_message_id, first_known_at, "
        "cast(row_number() over () - 1 as integer) as place from identity.evidence"
    ),
    "engine_identifiers": (
        "select identifier_id, identifier_type, identifier_value, "
        "cast(row_number() over () - 1 as integer) as place from identity.identifiers"
    ),
}


@dataclass(frozen=True)
class Scope:
    """`why_in_full`: one phrase, None for an increment. `run_seq`: of the run in progress. `state`: what to remember."""

    run_seq: int
    state: tuple[int, str, str]
    why_in_full: str | None


def find_scope(connection: Connection, *, rules: Rules, dates: Sequence[datetime], salt: str) -> Scope:
    """Decide what to decide, and put it into temporary tables of the connection.

    touched_identifiers (evidence of them changed), decided_identifiers (with all of their components), engine_evidence and
    engine_identifiers (what the engine is handed, numbered by `place`). Cost: linear in what changed and its components,
    beside scans of single columns.
    """
    create_table(connection, "identity.engine_state", ENGINE_STATE)
    run_seq, since = first_row(connection, "select run_seq, since_run_seq from control.current_run") or (0, None)
    fingerprint = hashlib.sha256(f"{salt}\x1f{rules.model_dump_json()}".encode()).hexdigest()
    last = first_row(connection, "select decided_seq, fingerprint, dates from identity.engine_state")
    state = (int(last[0]) + 1 if last else 1, fingerprint, ",".join(date.isoformat() for date in dates))
    why = _why_in_full(last, since, fingerprint, dates)
    if last is not None and why is None:
        earlier = [datetime.fromisoformat(date) for date in last[2].split(",")]
        why = _select_increment(connection, decided_seq=int(last[0]), gaps=_gaps(earlier, dates))
    _number(connection, in_full=why is not None)
    return Scope(int(run_seq), state, why)


def _why_in_full(
    last: tuple[int, str, str] | None, since: int | None, fingerprint: str, dates: Sequence[datetime]
) -> str | None:
    if last is None:
        return "nothing was decided before"
    if since is None:
        return "nothing of the last build stands"
    if last[1] != fingerprint:
        return "the rules or the salt changed"
    earlier = last[2].split(",")
    if dates[-1] < datetime.fromisoformat(earlier[-1]):
        return "the run's clock went back"
    if dates[0] < datetime.fromisoformat(earlier[0]):
        return "a date in use lies before all that were"
    return None


def _gaps(earlier: Sequence[datetime], dates: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    """For every new date the span since the last date that was decided: what nothing happened to in it is as it was then."""
    return [(max(d for d in earlier if d < date), date) for date in dates if date not in earlier]


def _select_increment(
    connection: Connection, *, decided_seq: int, gaps: Sequence[tuple[datetime, datetime]]
) -> str | None:
    """Fill touched_ and decided_identifiers; a reason to decide everything instead, where there is one."""
    spans = [(f"timestamp '{since.isoformat(' ')}'", f"timestamp '{date.isoformat(' ')}'") for since, date in gaps]
    known = "".join(f" or (first_known_at >= {since} and first_known_at < {date})" for since, date in spans)
    recorded = "".join(f" or (recorded_at > {since} and recorded_at <= {date})" for since, date in spans)
    _keep(
        connection,
        "changed_evidence",
        f"select evidence_id from identity.evidence where changed_seq > {decided_seq}{known}",
    )
    if row_count(connection, "changed_evidence") * LARGEST_SHARE > row_count(connection, "identity.evidence"):
        return "much of the evidence changed"
    _keep(
        connection,
        "touched_identifiers",
        "select identifier_id from identity.evidence_identifiers "
        "where evidence_id in (select evidence_id from changed_evidence) "
        f"union select identifier_id from identity.customer_ids where 1 = 0{recorded}",
    )
    _keep(
        connection,
        "decided_identifiers",
        "select identifier_id from touched_identifiers union "
        "select identifier_id from identity.memberships where component_id in ("
        "select component_id from identity.memberships where identifier_id in ("
        "select identifier_id from touched_identifiers))",
    )
    return None


def _number(connection: Connection, *, in_full: bool) -> None:
    if in_full:
        for table, query in _NUMBERED.items():
            _keep(connection, table, query)
        return
    of_decided = (
        "where evidence_id in (select evidence_id from identity.evidence_identifiers "
        "where identifier_id in (select identifier_id from decided_identifiers))"
    )
    _keep(connection, "engine_evidence", f"{_NUMBERED['engine_evidence']} {of_decided}")
    beside = (
        "where identifier_id in (select identifier_id from identity.evidence_identifiers "
        "where evidence_id in (select evidence_id from engine_evidence))"
    )
    _keep(connection, "engine_identifiers", f"{_NUMBERED['engine_identifiers']} {beside}")


def _keep(connection: Connection, table: str, query: str) -> None:
    connection.execute(f"drop table if exists {table}")
    connection.execute(f"create temporary table {table} as {query}")


def remember(connection: Connection, scope: Scope) -> None:
    """Write what was decided; in the transaction of the answers."""
    connection.execute("delete from identity.engine_state")
    connection.execute(
        "insert into identity.engine_state (decided_seq, fingerprint, dates) values (?, ?, ?)", scope.state
    )


def next_number(connection: Connection, table: str, column: str) -> int:
    """The number after the largest of a column, 0 where the table is empty."""
    return int(scalar(connection, f"select coalesce(max({column}), -1) + 1 from {table}"))
