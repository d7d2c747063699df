"""SQL text that settles staged rows: which are new, seen before or in conflict, and the books of a landing.

Works on temporary tables: weft_staged (what `compile` selects, in file order, so rowid is the place in the file), weft_standing (rows
of raw.events with a staged key), weft_verdict (rows whose key stands more than once), weft_refused (rows to reject, with bytes).
"""

from datetime import datetime
from pathlib import Path

from ingestion.compile import STAGED_COLUMNS
from ingestion.deliveries import said_by
from ingestion.envelope import EVENTS, REJECTED_EVENTS, RejectReason, Table
from ingestion.mapping_grammar import Mapping
from ingestion.sql_text import quoted_text
from ingestion.typed_columns import RULE, Rule

# compared apart, because a landing may have cut them; or not part of what happened
_NOT_BODY = frozenset({"known_at", "occurred_at", "source", "message_id", "payload"})

SETTLED_TABLES = ("weft_staged", "weft_standing", "weft_repeated", "weft_verdict", "weft_refused", "weft_rejects")
"""Scratch tables of one settlement."""

NUMBER_OCCURRENCES = f"""
update weft_staged set message_id = sha256(message_id || ':' || n)
from (
    select rowid as place, row_number() over (partition by source, message_id order by rowid) as n
    from weft_staged
    where weft__is_derived and {RULE} is null and (source, message_id) in (
        select (source, message_id) from weft_staged where weft__is_derived and {RULE} is null
        group by source, message_id having count(*) > 1
    )
) as occurrences
where weft_staged.rowid = place and n > 1
"""

# The same for rows that were refused once: weft_given says of each place which of the rows of its file with these very bytes it was. Rows
# that say the same in other bytes count as well, those before it in its file.
NUMBER_GIVEN_OCCURRENCES = f"""
update weft_staged set message_id = sha256(message_id || ':' || n)
from (
    select place, sum(step) over (
        partition by source, message_id, file order by row_number rows between unbounded preceding and current row
    )::bigint as n
    from (
        select place, source, message_id, file, given.row_number, occurrence - coalesce(
            lag(occurrence) over (partition by source, message_id, file, bytes order by given.row_number), 0
        ) as step
        from weft_given as given join weft_staged as staged on staged.rowid = place
        where weft__is_derived and {RULE} is null
    )
) as occurrences
where weft_staged.rowid = place and n > 1
"""

FIND_STANDING = f"""
create or replace temp table weft_standing as
select {", ".join(STAGED_COLUMNS)}, landed_at from raw.events
where (source, message_id) in (select (source, message_id) from weft_staged where {RULE} is null)
"""

# grouping by a hash first is several times faster than by two texts; the texts decide
FIND_REPEATED_KEYS = f"""
create or replace temp table weft_repeated as
select source, message_id from weft_staged
where {RULE} is null and hash(source, message_id) in (
    select hash(source, message_id) as key_hash from weft_staged where {RULE} is null
    group by key_hash having count(*) > 1
)
group by source, message_id having count(*) > 1
union
select source, message_id from weft_standing
"""

ADMITTED = f"{RULE} is null and rowid not in (select place from weft_verdict where verdict <> 'new')"

CREATE_REFUSED = """
create or replace temp table weft_refused (
    row_number bigint, source varchar, reason varchar, detail varchar, payload blob, is_conflict boolean,
    origin varchar, request json, received_at timestamp, told_apart_by varchar, said varchar, place bigint
)
"""

# one part of a request may become several lines: of those that are refused one stands for all. `said` is of a conflicting event that came
# over the log: delivered again it is the same conflict, whatever its bytes
NUMBER_REFUSED = """
create or replace temp table weft_rejects as
select *, row_number() over (partition by reject_id order by place, row_number) > 1 as is_known
from (
    select *, sha256(
        encode(source || chr(31) || coalesce(said, told_apart_by, occurrence::varchar) || chr(31))
        || case when said is null then payload else ''::blob end
    ) as reject_id
    from (select *, row_number() over (partition by source, payload order by row_number) as occurrence from weft_refused)
)
"""

MARK_KNOWN_REJECTS = """
update weft_rejects set is_known = true where reject_id in (select reject_id from raw.rejected_events)
"""

PLACES_TO_REFUSE = f"""
select rowid as place from weft_staged
where {RULE} is not null or rowid in (select place from weft_verdict where verdict = 'conflict')
order by place
"""

REJECTED_BY_REASON = """
select reason, count(*) from weft_rejects where not is_known and not is_conflict group by reason order by reason
"""

ORIGINS_OF_NEW_REJECTS = "select distinct origin from weft_rejects where not is_known and request is not null"

CURRENCIES = "select distinct currency from raw.exchange_rates order by currency"

COUNT_LANDINGS = "select count(*) from raw.landings where mapping = ? and file_sha256 = ?"

LAST_LANDED_SEQ = "select coalesce(max(landed_seq), 0) from raw.events"

SEED_EXCHANGE_RATES = """
insert into raw.exchange_rates
select * from read_csv(?, header = true, columns = {rate_date: 'DATE', currency: 'VARCHAR', rate: 'DECIMAL(18,8)'})
where not exists (from raw.exchange_rates)
"""


def staged_keys(table: Table) -> str:
    """The keys of the rows that broke no rule."""
    return f"select distinct {', '.join(table.key)} from weft_staged where {RULE} is null"


def decide_repeated(mapping: Mapping, landed_at: datetime) -> str:
    """weft_verdict: place in the file, and new, duplicate or conflict; the first body of a key stands."""
    body = _body(with_payload=mapping.event is not None and mapping.event.message_id is not None)
    landed = timestamp(landed_at)
    return f"""
create or replace temp table weft_verdict as
with arrived as (
    select rowid as place, source, message_id, {body} as body, occurred_at, known_at, {landed} as landed_at
    from weft_staged where {RULE} is null and (source, message_id) in (select (source, message_id) from weft_repeated)
), landed as (
    select -1 as place, source, message_id, {body} as body, occurred_at, known_at, landed_at
    from weft_standing
), standing as (
    select source, message_id, min(place) as place, arg_min(body, place) as body,
        arg_min(occurred_at, place) as occurred_at, arg_min(known_at, place) as known_at,
        arg_min(landed_at, place) as landed_at
    from (from landed union all from arrived) group by source, message_id
)
select arrived.place, case
    when arrived.place = standing.place then 'new'
    when arrived.body = standing.body and (
        (arrived.occurred_at = standing.occurred_at and arrived.known_at = standing.known_at)
        -- a time ahead of its landing was cut to it, so it differs from landing to landing
        or standing.known_at = standing.landed_at or arrived.known_at = arrived.landed_at
    ) then 'duplicate'
    else 'conflict' end as verdict
from arrived join standing using (source, message_id)
"""


def new_events(landed_at: datetime, last_landed_seq: int) -> str:
    """The new events in the columns of raw.events, numbered on from the last one in the order of the file."""
    values = {"landed_seq": f"{last_landed_seq} + 1 + rowid", "landed_at": timestamp(landed_at)}
    selected = ", ".join(values.get(name, name) for name in EVENTS.column_names)
    return f"select {selected} from weft_staged where {ADMITTED}"


def refuse_removed(mapping: Mapping, removed_path: Path) -> str:
    """Rows that were left out of the readable copy."""
    sentences = ", ".join(f"{quoted_text(reason)}: {quoted_text(reason.sentence)}" for reason in RejectReason)
    return (
        f"insert into weft_refused select row_number, coalesce(source, {quoted_text(mapping.source)}), reason, "
        f"coalesce(detail, map {{{sentences}}}[reason]), payload, false, origin, request, received_at, told_apart_by, null, null "
        f"from read_parquet({quoted_text(str(removed_path))})"
    )


def refuse_staged(mapping: Mapping, rules: tuple[Rule, ...], *, fetched: str) -> str:
    """Staged rows that broke a rule or are in conflict, with the bytes that the query `fetched` brings.

    Columns of `fetched`: place, row_number, payload, reason and detail where a look at the bytes says more, and what is known of
    rows that did not come in a file: origin, request, received_at, and what tells them apart where not their occurrence in it.
    """
    has_source = mapping.target != "exchange_rates"
    said = (
        f"case when staged.{RULE} is null then {said_by('staged', mapping.deliveries)} end"
        if mapping.deliveries
        else "null"
    )
    source = f"coalesce({'staged.source' if has_source else 'null'}, {quoted_text(mapping.source)})"
    return f"""
insert into weft_refused
select fetched.row_number, {source},
    case when staged.{RULE} is null then {quoted_text(RejectReason.CONFLICTING_BODY)}
        else coalesce(fetched.reason, {_rule_texts(rules, "reason")}) end,
    case when staged.{RULE} is null then {quoted_text(RejectReason.CONFLICTING_BODY.sentence)}
        else coalesce(fetched.detail, {_rule_texts(rules, "detail")}) end,
    fetched.payload, staged.{RULE} is null,
    fetched.origin, fetched.request, fetched.received_at, fetched.told_apart_by, {said}, fetched.place
from ({fetched}) as fetched join weft_staged as staged on staged.rowid = fetched.place
"""


def new_rejects(mapping: Mapping, landed_at: datetime, *, origin: str, header: str | None) -> str:
    """Refused rows that are not known yet, in the columns of raw.rejected_events."""
    values = {
        "origin": f"coalesce(origin, {quoted_text(origin)})",
        "rejected_at": timestamp(landed_at),
        "mapping": quoted_text(mapping.name),
        "header": "null" if header is None else quoted_text(header),
        "replayed_at": "null",
    }
    selected = ", ".join(values.get(name, name) for name in REJECTED_EVENTS.column_names)
    return f"select {selected} from weft_rejects where not is_known"


def counts(removed: int) -> str:
    """rows_read, accepted, duplicates, conflicts, one row each; what was refused before counts as a duplicate.

    `removed` is the number of rows that were left out of the readable copy.
    """
    return f"""
select unnest([
    {{'name': 'rows_read', 'n': {removed} + staged.n}},
    {{'name': 'accepted', 'n': staged.passed - verdicts.others}},
    {{'name': 'duplicates', 'n': verdicts.duplicates + refused.known}},
    {{'name': 'conflicts', 'n': refused.conflicts}}
], recursive := true)
from (select count(*) as n, count(*) filter ({RULE} is null) as passed from weft_staged) as staged,
    (select count(*) filter (verdict <> 'new') as others, count(*) filter (verdict = 'duplicate') as duplicates
    from weft_verdict) as verdicts,
    (select count(*) filter (is_known) as known, count(*) filter (is_conflict and not is_known) as conflicts
    from weft_rejects) as refused
"""


def counts_by_source(mapping: Mapping) -> str:
    """source, rows_read, accepted, rejected, duplicates, conflicts: the same books, a row a source."""
    source = quoted_text(mapping.source)
    return f"""
select source, sum(accepted + rejected + duplicates + conflicts)::bigint, sum(accepted)::bigint, sum(rejected)::bigint,
    sum(duplicates)::bigint, sum(conflicts)::bigint
from (
    select coalesce(source, {source}) as source, count(*) filter (coalesce(verdict, 'new') = 'new') as accepted, 0 as rejected,
        count(*) filter (verdict = 'duplicate') as duplicates, 0 as conflicts
    from weft_staged left join weft_verdict on place = weft_staged.rowid
    where {RULE} is null group by all
    union all
    select source, 0, count(*) filter (not is_known and not is_conflict), count(*) filter (is_known),
        count(*) filter (is_conflict and not is_known)
    from weft_rejects group by all
)
group by source order by source
"""


def timestamp(instant: datetime) -> str:
    """A naive UTC instant as an SQL literal."""
    return f"timestamp {quoted_text(instant.isoformat(sep=' '))}"


def _body(*, with_payload: bool) -> str:
    """64-bit hash of what an event says; a derived id stands for its row, so there undeclared columns do not count."""
    names = [name for name in STAGED_COLUMNS if name not in _NOT_BODY or (name == "payload" and with_payload)]
    return f"hash({', '.join(names)})"


def _rule_texts(rules: tuple[Rule, ...], field: str) -> str:
    texts = ", ".join(quoted_text(getattr(rule, field)) for rule in rules)
    return f"([{texts}])[staged.{RULE}]"
