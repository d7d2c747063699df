"""Who was in which segment when, and how many moved where: settled with the scores, in their transaction.

One SQL for DuckDB and PostgreSQL. What agrees with the open rows is not touched: rows are written in proportion to what changed.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from ml import schema
from orchestration.run_features import RUN_DATE
from orchestration.state import utc_now
from orchestration.warehouse import Connection, create_table, scalar, tables_of

log = logging.getLogger(__name__)

HISTORY: Final = "predictions.segment_history"
TRANSITIONS: Final = "predictions.segment_transitions"
NOBODY: Final = {"from": "(new)", "to": "(no more)"}
CHANGES: Final = {
    "customer_id": "varchar",
    "living_customer_id": "varchar",
    "from_segment_id": "integer",
    "from_segment_name": "varchar",
    "to_segment_id": "integer",
    "to_segment_name": "varchar",
    "ended": "varchar",
}
"""What differs between the open rows and the scores: `ended` says why an open row ends, null where there was none."""

FIND_CHANGES: Final = """
    insert into segment_changes
    select
        coalesce(standing.customer_id, scores.customer_id),
        {living},
        standing.segment_id,
        standing.segment_name,
        scores.segment_id,
        scores.segment_name,
        case
            when standing.customer_id is null then null
            when scores.segment_id = standing.segment_id then 'renamed'
            when scores.segment_id is not null then 'moved'
            when {living} <> standing.customer_id then 'merged'
            else 'gone'
        end
    from (select * from predictions.segment_history where valid_to is null) as standing
    full outer join predictions.segments as scores on standing.customer_id = scores.customer_id
    {redirects}
    where
        standing.segment_id is distinct from scores.segment_id
        or standing.segment_name is distinct from scores.segment_name
"""

MOVES: Final = """
    with merged as (
        select
            living_customer_id as customer_id,
            from_segment_id,
            from_segment_name,
            row_number() over (partition by living_customer_id order by customer_id) as place
        from segment_changes
        where ended = 'merged'
    ),

    moves as (
        select
            coalesce(changes.from_segment_id, merged.from_segment_id) as from_segment_id,
            coalesce(changes.from_segment_name, merged.from_segment_name) as from_segment_name,
            changes.to_segment_id,
            changes.to_segment_name
        from segment_changes as changes
        left join merged
            on changes.customer_id = merged.customer_id and merged.place = 1 and changes.ended is null
        where changes.ended is distinct from 'merged'
        union all
        select scores.segment_id, scores.segment_name, scores.segment_id, scores.segment_name
        from predictions.segments as scores
        where not exists (select 1 from segment_changes as changes where changes.customer_id = scores.customer_id)
    )

    insert into predictions.segment_transitions
    select cast(? as date), from_segment_id, from_segment_name, to_segment_id, to_segment_name, count(*), ?, ?
    from moves
    group by from_segment_id, from_segment_name, to_segment_id, to_segment_name
"""
"""A customer who got a new id with a merge comes from the segment of the id that was merged into it."""


@dataclass(frozen=True)
class SettledSegments:
    """What a settlement of `day` changed: customers by why their row ended, and new ones; or why it changed nothing."""

    day: date
    ended: dict[str, int]
    entered: int = 0
    postponed: str | None = None


def settle_segments(connection: Connection, version: str) -> SettledSegments:
    """Write who changed segment since the last settlement, from predictions.segments as `version` has just made it.

    Twice for one day is once. A run that looks back from before the last settlement changes nothing; a settlement that
    lies ahead of the clock on the wall was a mistake, and is undone. Call it in the transaction that writes the scores.
    """
    for table in (HISTORY, TRANSITIONS):
        create_table(connection, table, schema.PREDICTIONS[table.partition(".")[2]])
    day: date = scalar(connection, f"select {RUN_DATE}")
    last = scalar(connection, f"select max(as_of_date) from {TRANSITIONS}")
    if last is not None and day < last <= utc_now().date():
        said = f"This run looks back from {day}, the history of segments goes to {last}: nobody moved."
        log.warning(said)
        return SettledSegments(day, {}, postponed=said)
    _undo_since(connection, day)
    connection.execute("drop table if exists segment_changes")
    create_table(connection, "segment_changes", CHANGES, temporary=True)
    connection.execute(_find_changes(connection))
    settled = _counts(connection, day)
    _write(connection, day, version)
    connection.execute("drop table segment_changes")
    return settled


def _undo_since(connection: Connection, day: date) -> None:
    """The history as it was before `day` was settled."""
    connection.execute(f"delete from {HISTORY} where valid_from >= ?", [day])
    connection.execute(f"update {HISTORY} set valid_to = null, ended = null where valid_to >= ?", [day])
    connection.execute(f"delete from {TRANSITIONS} where as_of_date >= ?", [day])


def _find_changes(connection: Connection) -> str:
    """Where dbt has not made the redirects yet (some models alone were built), nobody was merged."""
    if "customer_redirects" not in tables_of(connection, "identity"):
        return FIND_CHANGES.format(living="standing.customer_id", redirects="")
    return FIND_CHANGES.format(
        living="coalesce(redirects.living_customer_id, standing.customer_id)",
        redirects="left join identity.customer_redirects as redirects on standing.customer_id = redirects.customer_id",
    )


def _counts(connection: Connection, day: date) -> SettledSegments:
    counts: dict[str | None, int] = dict(
        connection.rows("select ended, count(*) from segment_changes group by ended order by ended")
    )
    return SettledSegments(day, {why: int(count) for why, count in counts.items() if why}, int(counts.get(None, 0)))


def _write(connection: Connection, day: date, version: str) -> None:
    connection.execute(
        f"update {HISTORY} set valid_to = ?, ended = changes.ended from segment_changes as changes "
        "where segment_history.customer_id = changes.customer_id and segment_history.valid_to is null",
        [day],
    )
    connection.execute(
        f"insert into {HISTORY} select customer_id, to_segment_id, to_segment_name, cast(? as date), null, null "
        "from segment_changes where to_segment_id is not null order by customer_id",
        [day],
    )
    before = scalar(connection, f"select model_version from {TRANSITIONS} order by as_of_date desc limit 1")
    connection.execute(MOVES, [day, version, before not in (None, version)])


def newest_transitions(connection: Connection) -> list[dict[str, Any]]:
    """The transitions of the newest settlement, the largest first; empty where there is none."""
    if "segment_transitions" not in tables_of(connection, "predictions"):
        return []
    columns = [*schema.PREDICTIONS["segment_transitions"]]
    rows = connection.rows(
        f"select {', '.join(columns)} from {TRANSITIONS} where as_of_date = (select max(as_of_date) from {TRANSITIONS}) "
        "order by customers desc, from_segment_id, to_segment_id"
    )
    return [dict(zip(columns, row, strict=True)) for row in rows]


def transition_table(transitions: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a row per segment before, a column per segment since, customers in the cells; empty where there are none."""
    if not transitions:
        return ""
    before, since = (
        sorted({str(row[f"{side}_segment_name"] or NOBODY[side]) for row in transitions}) for side in ("from", "to")
    )
    counts: Counter[tuple[str, str]] = Counter()
    for row in transitions:
        pair = (row["from_segment_name"] or NOBODY["from"], row["to_segment_name"] or NOBODY["to"])
        counts[pair] += row["customers"]
    lines = [["from / to", *since], ["---", *("---:" for _ in since)]]
    lines += [[one, *(f"{counts[one, other]:,}" for other in since)] for one in before]
    day = transitions[0]["as_of_date"]
    return f"Scores of {day}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)
