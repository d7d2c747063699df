"""What a run of the identity engine has to decide: everything, or the whole components that something new touches.

New is evidence that changed, an event on an identifier that several people share (its periods move), and a decision that came or
went. The engine's own state (identity.engine_state and control.identity_decisions, written with its answers) says what it decided
last; identity.evidence says which decision of the engine is the first to know each set as it is. So an increment builds on the engine's
last answer, whether or not the pass that asked for it came to its end.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from identity.rules import Rules
from identity.tables import DECISIONS
from orchestration.warehouse import SQL_TYPES, TEXT, Connection, create_table, first_row, row_count, scalar

ENGINE_STATE = {"decided_seq": "bigint", "fingerprint": "varchar", "dates": "varchar", "landed_seq": "bigint"}
DECISIONS_OF_LAST_RUN = "control.identity_decisions"
LARGEST_SHARE = 3
"""An increment is not worth it where more than one in this many sets of evidence has changed."""

_KEYS = """
    select evidence_id, first_at, first_source, first_message_id, first_known_at,
        cast(row_number() over () - 1 as integer) as place
    from (
        select evidence_id, first_at, first_source, first_message_id, key_known_at as first_known_at
        from identity.evidence {where}
        union all
        select evidence_id, first_at, first_source, first_message_id, first_known_at
        from identity.superseded_keys {where} {of_dates}
    ) as keys
"""
"""Sets of evidence at the earliest key that they have, and at those that they had at a date in use."""
_IDENTIFIERS = """
    select identifier_id, identifier_type, identifier_value, cast(row_number() over () - 1 as integer) as place
    from identity.identifiers {where}
"""


@dataclass(frozen=True)
class Scope:
    """`why_in_full`: one phrase, None for an increment. `run_seq`: of the run in progress. `state`: what to remember."""

    run_seq: int
    state: tuple[int, str, str, int]
    why_in_full: str | None


def find_scope(
    connection: Connection, *, rules: Rules, decisions: pa.Table, dates: Sequence[datetime], salt: str
) -> Scope:
    """Decide what to decide, and put it into temporary tables of the connection.

    given_decisions (with identifier_id), linked_identifiers (linked_group: what links make one person), touched_identifiers
    (something about them is new), decided_identifiers (with all of their components), engine_evidence and engine_identifiers (what
    the engine is handed, numbered by `place`). Cost: linear in what changed and its components, beside scans of single columns.
    """
    create_table(connection, "identity.engine_state", ENGINE_STATE)
    # the state of a version that did not look at events
    connection.execute("alter table identity.engine_state add column if not exists landed_seq bigint")
    _keep_decisions(connection, decisions)
    run_seq, since = first_row(connection, "select run_seq, since_run_seq from control.current_run") or (0, None)
    fingerprint = hashlib.sha256(f"{salt}\x1f{rules.model_dump_json()}".encode()).hexdigest()
    last = first_row(
        connection, "select decided_seq, fingerprint, dates, coalesce(landed_seq, -1) from identity.engine_state"
    )
    landed_seq = int(scalar(connection, "select coalesce(max(landed_seq), -1) from identity.event_evidence"))
    state = (int(last[0]) + 1 if last else 1, fingerprint, ",".join(date.isoformat() for date in dates), landed_seq)
    why = _why_in_full(last, since, fingerprint, dates)
    if last is not None and why is None:
        earlier = [datetime.fromisoformat(date) for date in last[2].split(",")]
        why = _select_increment(
            connection, decided_seq=int(last[0]), landed_seq=int(last[3]), as_of=dates[-1], gaps=_gaps(earlier, dates)
        )
    _number(connection, dates, in_full=why is not None)
    return Scope(int(run_seq), state, why)


def _why_in_full(
    last: tuple[int, str, str, int] | None, since: int | None, fingerprint: str, dates: Sequence[datetime]
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
    connection: Connection,
    *,
    decided_seq: int,
    landed_seq: int,
    as_of: datetime,
    gaps: Sequence[tuple[datetime, datetime]],
) -> str | None:
    """Fill touched_ and decided_identifiers; a reason to decide everything instead, where there is one."""
    spans = [(f"timestamp '{since.isoformat(' ')}'", f"timestamp '{date.isoformat(' ')}'") for since, date in gaps]
    known, key_known = (
        "".join(f" or ({column} >= {since} and {column} < {date})" for since, date in spans)
        for column in ("first_known_at", "key_known_at")
    )
    recorded = "".join(f" or (recorded_at > {since} and recorded_at <= {date})" for since, date in spans)
    happened = "".join(f" or (known_at >= {since} and known_at < {date})" for since, date in spans)
    _keep(
        connection,
        "changed_evidence",
        f"select evidence_id from identity.evidence where changed_seq > {decided_seq}{known}{key_known} "
        f"union select evidence_id from identity.superseded_keys where 1 = 0{known}",
    )
    if row_count(connection, "changed_evidence") * LARGEST_SHARE > row_count(connection, "identity.evidence"):
        return "much of the evidence changed"
    _keep(
        connection,
        "touched_identifiers",
        "select identifier_id from identity.evidence_identifiers "
        "where evidence_id in (select evidence_id from changed_evidence) "
        f"union select identifier_id from identity.customer_ids where 1 = 0{recorded} "
        f"union {_SHARED_WITH_NEWS.format(landed_seq=landed_seq, as_of=as_of.isoformat(' '), happened=happened)} "
        f"union {_NAMED_IN_CHANGED_DECISIONS}",
    )
    _add_linked(connection, "touched_identifiers")
    _keep(
        connection,
        "decided_identifiers",
        "select identifier_id from touched_identifiers union "
        "select identifier_id from identity.memberships where component_id in ("
        "select component_id from identity.memberships where identifier_id in ("
        "select identifier_id from touched_identifiers))",
    )
    # a linked identifier that is hot, blocked or not seen has no membership that says what it is decided with
    _add_linked(connection, "decided_identifiers")
    return None


_SHARED_WITH_NEWS = """
    select identifier_id from identity.memberships
    where valid_from is not null and identifier_id in (
        select identifier_id from identity.evidence_identifiers
        where evidence_id in (
            select evidence_id from identity.event_evidence
            where known_at < timestamp '{as_of}' and (landed_seq > {landed_seq}{happened})
        )
    )
"""
"""A known set tells the engine nothing new about who is who, but one more event of it moves the periods of what is shared."""

_NAMED_IN_CHANGED_DECISIONS = f"""
    select identifier_id from given_decisions where not exists (
        select 1 from {DECISIONS_OF_LAST_RUN} as last
        where last.decision_seq = given_decisions.decision_seq and last.action = given_decisions.action
        and last.side = given_decisions.side and last.identifier_type = given_decisions.identifier_type
        and last.identifier_value = given_decisions.identifier_value
    )
    union select md5(last.identifier_type || ':' || last.identifier_value)
    from {DECISIONS_OF_LAST_RUN} as last where not exists (
        select 1 from given_decisions
        where last.decision_seq = given_decisions.decision_seq and last.action = given_decisions.action
        and last.side = given_decisions.side and last.identifier_type = given_decisions.identifier_type
        and last.identifier_value = given_decisions.identifier_value
    )
"""


def _keep_decisions(connection: Connection, decisions: pa.Table) -> None:
    """Put the decisions into given_decisions, and what their links join, through whatever others, into linked_identifiers."""
    create_table(connection, DECISIONS_OF_LAST_RUN, {field.name: SQL_TYPES[field.type] for field in DECISIONS})
    _keep(connection, "given_decisions", f"select * from {DECISIONS_OF_LAST_RUN} limit 0")
    connection.execute(f"alter table given_decisions add column identifier_id {TEXT}")
    connection.append("given_decisions", decisions.select(DECISIONS.names))
    connection.execute("update given_decisions set identifier_id = md5(identifier_type || ':' || identifier_value)")
    links = connection.rows("select decision_seq, identifier_id from given_decisions where action = 'link'")
    groups = _joined(links)
    connection.execute("drop table if exists linked_identifiers")
    connection.execute(f"create temporary table linked_identifiers (identifier_id {TEXT}, linked_group bigint)")
    rows = {"identifier_id": pa.array(groups, pa.string()), "linked_group": pa.array(groups.values(), pa.int64())}
    connection.append("linked_identifiers", pa.table(rows))


def _joined(links: Sequence[tuple[int, str]]) -> dict[str, int]:
    """identifier_id -> number of its group: decisions that name one identifier join all of theirs."""
    parent: dict[int | str, int | str] = {}

    def root(node: int | str) -> int | str:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    for decision, identifier in links:
        parent[root(decision)] = root(identifier)
    numbers: dict[int | str, int] = {}
    return {identifier: numbers.setdefault(root(identifier), len(numbers)) for _, identifier in links}


def _add_linked(connection: Connection, table: str) -> None:
    """Links join identifiers that no evidence connects, also through one that nobody has seen yet."""
    connection.execute(
        f"insert into {table} select identifier_id from linked_identifiers where linked_group in ("
        f"select linked_group from linked_identifiers where identifier_id in (select identifier_id from {table})) "
        f"and identifier_id not in (select identifier_id from {table})"
    )


def number_all(connection: Connection, dates: Sequence[datetime]) -> None:
    """Put everything into engine_evidence and engine_identifiers, numbered by `place`."""
    _number(connection, dates, in_full=True)


def _number(connection: Connection, dates: Sequence[datetime], *, in_full: bool) -> None:
    instants = [f"timestamp '{date.isoformat(' ')}'" for date in dates]
    at_dates = " or ".join(f"(first_known_at < {at} and superseded_at >= {at})" for at in instants)
    of_decided = (
        "where evidence_id in (select evidence_id from identity.evidence_identifiers "
        "where identifier_id in (select identifier_id from decided_identifiers))"
    )
    beside = (
        "where identifier_id in (select identifier_id from identity.evidence_identifiers "
        "where evidence_id in (select evidence_id from engine_evidence))"
    )
    where = "where true" if in_full else of_decided
    _keep(connection, "engine_evidence", _KEYS.format(where=where, of_dates=f"and ({at_dates})"))
    _keep(connection, "engine_identifiers", _IDENTIFIERS.format(where="" if in_full else beside))


def _keep(connection: Connection, table: str, query: str) -> None:
    connection.execute(f"drop table if exists {table}")
    connection.execute(f"create temporary table {table} as {query}")


def remember(connection: Connection, scope: Scope) -> None:
    """Write what was decided; in the transaction of the answers."""
    connection.execute("delete from identity.engine_state")
    connection.execute(
        "insert into identity.engine_state (decided_seq, fingerprint, dates, landed_seq) values (?, ?, ?, ?)",
        scope.state,
    )


def next_number(connection: Connection, table: str, column: str) -> int:
    """The number after the largest of a column, 0 where the table is empty."""
    return int(scalar(connection, f"select coalesce(max({column}), -1) + 1 from {table}"))
