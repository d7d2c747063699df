"""Settle who entered and who left each audience since the last settlement, and keep the history.

One set-based transaction in the one SQL that DuckDB and PostgreSQL share. It compares the members of the build with the open rows
of the history: what agrees is not touched. Cost: one scan of the members, of the history and of the redirects of merged ids; rows are
written in proportion to what changed.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from orchestration import membership_sql as sql
from orchestration.audience_catalogue import Audience, audiences, members_query
from orchestration.failpoints import OnStep, failpoints
from orchestration.membership_tables import ensure_tables, last_settled, newest_ledger_seq
from orchestration.overlaps import write_overlaps
from orchestration.rule_audiences import explain_leaving
from orchestration.state import State, utc_now
from orchestration.warehouse import Connection, create_table, scalar, tables_of

log = logging.getLogger(__name__)

RULE, MERGED, SPLIT, WITHDRAWN, GONE = "rule", "merged", "split", "withdrawn", "gone"
"""Why a row begins or ends: the definition; an id became part of another; it left one; the audience, or the customer, is no more."""

NO_LONGER = "no longer matches"
"""What is known of leaving where nobody can say which clause fails: an audience in SQL."""
MOST_EXPLAINED = 20_000

ExplainLeaving = Callable[[Connection, Audience, Sequence[str]], dict[str, str]]
"""The clauses that fail now, by customer, of some customers who left a rule audience."""


@dataclass(frozen=True)
class Settled:
    """What a settlement changed, by audience (customers), or why it left everything as it was.

    `entered` and `left` count every row that began or ended, those of merged and split ids too.
    """

    entered: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    members: dict[str, int] = field(default_factory=dict)
    change_seq: int = 0
    postponed: str | None = None


def settle_memberships(
    connection: Connection,
    wanted: Sequence[Audience],
    as_of: datetime,
    *,
    explain_leaving: ExplainLeaving | None = None,
    now: datetime | None = None,
    on_step: OnStep = failpoints("memberships"),
) -> Settled:
    """Write who entered and left the `wanted` audiences by the build in the warehouse. Twice for the same build changes nothing.

    An audience of the history that is not among them was withdrawn; one whose table does not stand yet is left alone. A run that
    looks back from before the last settlement changes nothing: a look into the past moves nobody. (A settlement
    that lies ahead of the clock on the wall was a mistake and binds nobody.)
    """
    ensure_tables(connection)
    last_as_of, change_seq, ledger_seq = last_settled(connection)
    if isinstance(last_as_of, datetime) and as_of < last_as_of <= (now or utc_now()):
        return Settled(
            members=_open_counts(connection),
            change_seq=change_seq,
            postponed=f"This run looks back from {as_of}, the history of membership goes to {last_as_of}: nobody moved.",
        )
    built = _built(connection, wanted)
    with connection.transaction(), _temporary_tables(connection):
        _load(connection, built, wanted, ledger_seq)
        before = _open_counts(connection)
        entered, left = _diff(connection, as_of, change_seq)
        _explain(connection, built, explain_leaving)
        on_step("compared")
        _write(connection, as_of)
        on_step("written")
        members = _open_counts(connection)
        counts = {
            name: (before.get(name, 0), entered.get(name, 0), left.get(name, 0), members.get(name, 0))
            for name in {*entered, *left}
        }
        change_seq += sum(entered.values()) + sum(left.values())
        for name, each in sorted(counts.items()):
            connection.execute(
                "insert into audiences.sizes values (?, ?, ?, ?, ?, ?, ?)", [name, as_of, change_seq, *each]
            )
        if counts:
            write_overlaps(connection, members, as_of)
        _remember(connection, as_of, change_seq)
        on_step("before_commit")
    on_step("committed")
    return Settled(entered, left, members, change_seq)


def settle_audiences(connection: Connection, state: State) -> Settled:
    """Settle every audience of the catalogue at the clock of the run in progress."""
    as_of = scalar(connection, "select as_of from control.current_run")
    settled = settle_memberships(connection, audiences(state), as_of, explain_leaving=explain_leaving(state, as_of))
    if settled.postponed:
        log.warning(settled.postponed)
    return settled


def changes_after(connection: Connection, seq: int, *, limit: int = 100_000) -> pa.Table:
    """The next changes of membership after `seq` in their order: one row per entering or leaving, its change_seq strictly growing.

    Columns: change_seq, audience, customer_id, change (entered or left), changed_at, change_kind, because, living_customer_id. Page with
    the largest change_seq that was dealt with. Only the kind `rule` is somebody who came or went: the other kinds are ids that were
    merged or split, audiences that were withdrawn, customers that are no more. Empty where nothing was settled yet.
    """
    query = sql.CHANGES.format(after=int(seq), limit=int(limit))
    if "memberships" in tables_of(connection, "audiences"):
        return connection.arrow(query)
    return pa.schema(
        [
            ("change_seq", pa.int64()),
            *((name, pa.string()) for name in ("audience", "customer_id", "change")),
            ("changed_at", pa.timestamp("us")),
            *((name, pa.string()) for name in ("change_kind", "because", "living_customer_id")),
        ]
    ).empty_table()


def _built(connection: Connection, wanted: Sequence[Audience]) -> list[Audience]:
    """Those whose members stand in the warehouse."""
    tables = tables_of(connection, "audiences")
    return [each for each in wanted if (each.name if each.kind == "sql" else "rule_members") in tables]


@contextmanager
def _temporary_tables(connection: Connection) -> Iterator[None]:
    for table, columns in sql.TEMPORARY.items():
        connection.execute(f"drop table if exists {table}")
        create_table(connection, table, columns, temporary=True)
    yield
    for table in sql.TEMPORARY:
        connection.execute(f"drop table {table}")


def _load(connection: Connection, built: Sequence[Audience], wanted: Sequence[Audience], ledger_seq: int) -> None:
    """What the build says, and what stands, side by side."""
    connection.append("settling_names", pa.table({"audience": pa.array([each.name for each in built], pa.string())}))
    for each in built:
        if each.kind == "sql":
            connection.execute(
                sql.MEMBERS.format(audience=f"'{each.name}'", members=f"({members_query(each)}) as members")
            )
    if any(each.kind == "rule" for each in built):
        names = "inner join settling_names as names on members.audience = names.audience"
        connection.execute(
            sql.MEMBERS.format(audience="members.audience", members=f"audiences.rule_members as members {names}")
        )
    waiting = ", ".join(f"'{each.name}'" for each in wanted if each not in built)
    connection.execute(sql.ORIGINS.format(ledger_seq=ledger_seq))
    connection.execute(sql.OPEN.format(but=f"and memberships.audience not in ({waiting})" if waiting else ""))
    connection.execute(sql.TOUCHED)
    for table in sql.TEMPORARY:  # PostgreSQL plans joins of tables it knows nothing of as if they were small
        connection.execute(f"analyze {table}")


def _diff(connection: Connection, as_of: datetime, change_seq: int) -> tuple[dict[str, int], dict[str, int]]:
    """Rows that begin and rows that end, by audience. Those that end are numbered after those that begin."""
    connection.execute(sql.ENTERED.format(as_of=as_of.isoformat(sep=" "), change_seq=change_seq))
    entered = _counts(connection, "settling_entered")
    connection.execute(sql.LEFT.format(change_seq=change_seq + sum(entered.values()), no_longer=NO_LONGER))
    return entered, _counts(connection, "settling_left")


def _explain(connection: Connection, built: Sequence[Audience], explain_leaving: ExplainLeaving | None) -> None:
    """Put the clauses that fail now in place of the plain reason, for those who left a rule audience by its rule.

    Of a rule that more than MOST_EXPLAINED left at once, the others keep the plain reason: explaining asks the rule again.
    """
    query = "select customer_id from settling_left where audience = ? and left_because = ? order by customer_id"
    for audience in built if explain_leaving else ():
        if audience.kind != "rule":
            continue
        left = [row[0] for row in connection.rows(f"{query} limit {MOST_EXPLAINED}", [audience.name, NO_LONGER])]
        if not left or explain_leaving is None:
            continue
        reasons = explain_leaving(connection, audience, left)
        columns = {"customer_id": "varchar", "because": "varchar"}
        create_table(connection, "settling_reasons", columns, temporary=True)
        connection.append("settling_reasons", pa.table({"customer_id": [*reasons], "because": [*reasons.values()]}))
        connection.execute(
            "update settling_left set left_because = reasons.because from settling_reasons as reasons "
            "where settling_left.customer_id = reasons.customer_id and settling_left.audience = ? "
            "and settling_left.left_because = ?",
            [audience.name, NO_LONGER],
        )
        connection.execute("drop table settling_reasons")


def _write(connection: Connection, as_of: datetime) -> None:
    connection.execute(
        "update audiences.memberships set left_at = greatest(cast(? as timestamp), memberships.own_entered_at), "
        "left_because = ended.left_because, left_kind = ended.left_kind, left_seq = ended.left_seq "
        "from settling_left as ended where memberships.entered_seq = ended.entered_seq",
        [as_of],
    )
    connection.execute(
        "insert into audiences.memberships (audience, customer_id, entered_at, own_entered_at, entered_because, "
        "entered_kind, entered_seq) select audience, customer_id, entered_at, entered_at, entered_because, entered_kind, "
        "entered_seq from settling_entered order by entered_seq"
    )
    connection.execute(sql.SINCE)
    connection.execute(
        "update audiences.memberships set entered_at = since.entered_at from settling_since as since "
        "where memberships.entered_seq = since.entered_seq"
    )


def _remember(connection: Connection, as_of: datetime, change_seq: int) -> None:
    """What was settled, so that the next settlement finds what changed in identity; unchanged rows are not written."""
    same = "settled.customer_id = now.customer_id and settled.living_customer_id = now.living_customer_id"
    connection.execute(
        "delete from control.settled_redirects as settled where not exists (select 1 from identity.customer_redirects as now "
        f"where {same} and now.customer_id <> now.living_customer_id)"
    )
    connection.execute(
        "insert into control.settled_redirects select now.customer_id, now.living_customer_id "
        "from identity.customer_redirects as now where now.customer_id <> now.living_customer_id "
        f"and not exists (select 1 from control.settled_redirects as settled where {same})"
    )
    connection.execute("delete from control.settled_memberships")
    connection.execute(
        "insert into control.settled_memberships values (?, ?, ?)", [as_of, change_seq, newest_ledger_seq(connection)]
    )


def _counts(connection: Connection, table: str) -> dict[str, int]:
    return {
        name: int(count) for name, count in connection.rows(f"select audience, count(*) from {table} group by audience")
    }


def _open_counts(connection: Connection) -> dict[str, int]:
    query = "(select audience from audiences.memberships where left_seq is null) as standing"
    return _counts(connection, query)
