"""SQL text that tells an event delivered again from another event under its key.

A sender that had no answer sends again, and the event comes with other times of sending and receipt, over another connection. Those, and
what is made of them (known_at, the corrected occurred_at), say nothing of what happened. Compared are the client's own clock and what the
event says, members of objects in any order. The first delivery that landed stands, with its times.

Works on the tables of `settlement`: what is in doubt are the conflicts of weft_verdict.
"""

import json
from collections.abc import Sequence

from ingestion.mapping_grammar import Deliveries
from ingestion.sql_text import quoted_text

HAS_CONFLICTS = "select count(*) from weft_verdict where verdict = 'conflict'"

_IN_DOUBT = """(source, message_id) in (
    select (source, message_id) from weft_staged where rowid in (select place from weft_verdict where verdict = 'conflict')
)"""

TIMES_IN_DOUBT = f"""
select min(landed_at), max(landed_at) from weft_standing where {_IN_DOUBT}
"""
"""When the rows landed that conflicts are in conflict with."""

DELIVERIES = """
select distinct source, landed_at from raw.landings where starts_with(origin, 'log/') and landed_at between ? and ?
"""
"""Source and time of what the event log landed between two times."""

IS_DELIVERED = "(source, landed_at) in (select (source, landed_at) from weft_delivered)"
"""Condition on weft_standing, with what DELIVERIES gave in weft_delivered."""

_SCALARS = ("type", "event", "user_id", "anonymous_id")
_DOCUMENTS = ("identifiers", "properties", "traits", "consent")
_COMPARED = (
    *_SCALARS, *_DOCUMENTS, "context", "payload", "original_timestamp", "occurred_at", "known_at", "is_known_at_assumed",
)  # fmt: skip
_COLUMNS = ", ".join(("source", "message_id", *_COMPARED))


# Where the client's clock was not told, occurred_at is what the sender says, unless it is the time of receipt (or was cut to it).
_SAME_MOMENT = """
case
    when again.original_timestamp is not null and standing.original_timestamp is not null
        then again.original_timestamp = standing.original_timestamp
    when again.original_timestamp is null and standing.original_timestamp is null
        then again.occurred_at = standing.occurred_at
            or (again.occurred_at = again.known_at and not again.is_known_at_assumed)
            or (standing.occurred_at = standing.known_at and not standing.is_known_at_assumed)
    else again.occurred_at = standing.occurred_at or coalesce(again.original_timestamp, again.occurred_at)
        = coalesce(standing.original_timestamp, standing.occurred_at)
end
"""


def let_deliveries_repeat(deliveries: Deliveries, *, stood: str | None = None) -> str:
    """Make duplicates of those conflicts that are the standing event, delivered again.

    `stood` is a condition on weft_standing where only some rows that stand are deliveries, because those in doubt are none.
    """
    standing = f"select -1 as place, {_COLUMNS} from weft_standing where {_IN_DOUBT}"
    if stood:
        standing = f"{standing} and {stood}"
    else:  # or what came first with this landing
        staged = f"select place, {_COLUMNS} from weft_staged join weft_verdict on place = weft_staged.rowid"
        standing = f"{standing} union all {staged} where verdict = 'new' and {_IN_DOUBT}"
    return f"""
update weft_verdict set verdict = 'duplicate' where place in (
    with doubtful as (
        select place, {_COLUMNS} from weft_staged join weft_verdict on place = weft_staged.rowid where verdict = 'conflict'
    ), standing as (
        {standing}
    ), pairs as materialized (
        select again.place, {_document("again", "standing", deliveries)} as said_again,
            {_document("standing", "again", deliveries)} as said_first
        from doubtful as again join standing using (source, message_id)
        where {" and ".join(f"again.{name} is not distinct from standing.{name}" for name in _SCALARS)} and {_SAME_MOMENT}
    )
    select place from pairs where said_again = said_first or {_members("said_again")} = {_members("said_first")}
)
"""


def said_by(row: str, deliveries: Deliveries) -> str:
    """A text that is the same for every delivery of the event in this row, for `<row>.<column>` of weft_staged."""
    clock = f"coalesce({row}.original_timestamp, nullif({row}.occurred_at, {row}.known_at))"
    scalars = ", ".join(f"{row}.{name}" for name in ("message_id", *_SCALARS))
    return f"sha256(json_array({scalars}, {clock}, {_members(_document(row, row, deliveries))})::varchar)"


def _document(row: str, other: str, deliveries: Deliveries) -> str:
    """One JSON object of what a row says; a payload counts where the other row has one as well (a file may not keep it)."""
    members = [f"'{name}', {row}.{name}" for name in _DOCUMENTS]
    members.append(f"'context', {_without(f'{row}.context', deliveries.context)}")
    payload = _without(f"{row}.payload", deliveries.payload)
    members.append(f"'payload', case when {other}.payload is not null then {payload} end")
    return f"json_object({', '.join(members)})"


def _without(document: str, names: Sequence[str]) -> str:
    """A JSON object without some of its members."""
    patch = quoted_text(json.dumps(dict.fromkeys(names)))
    return (
        f"(case when json_type({document}) = 'OBJECT' then json_merge_patch({document}, {patch}) else {document} end)"
    )


def _members(document: str) -> str:
    """What a JSON document holds, as a list that does not depend on the order of members; 2.0 is 2."""
    number = "try_cast(atom as double)"
    is_whole = f"type = 'DOUBLE' and abs({number}) < 1e15 and {number} = floor({number})"
    value = f"case when {is_whole} then try_cast({number} as bigint)::varchar else coalesce(atom::varchar, type) end"
    return f"(select list(fullkey || chr(31) || {value} order by fullkey, {value}) from json_tree({document}))"
