"""Compile a mapping and a file's shape to one DuckDB `select` that reads, types, builds and checks every row.

The select keeps the order of the file. Its columns are the envelope without landed_seq and landed_at, then
weft__rule (number of the first broken rule, null for a good row) and weft__is_derived (the message id was derived).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingestion.envelope import EVENTS, RejectReason
from ingestion.event_checks import (
    add_event_rules,
    add_money_rules,
    amount_columns,
    amounts_of,
    combined_rule,
    json_without_nul,
)
from ingestion.mapping_grammar import EventFields, Mapping
from ingestion.readers import PAYLOAD, FileShape, reader_sql
from ingestion.sql_text import json_list, json_object, quoted_name, quoted_text
from ingestion.typed_columns import RULE, Rule, Rules, typed_columns, utc_timestamp, within_calendar

STAGED_COLUMNS = tuple(name for name in EVENTS.column_names if name not in {"landed_seq", "landed_at"})
_IDENTIFIER = '{{"type":"{}","value":'
_TIMES = ("original_timestamp", "sent_at", "received_at", "occurred_at", "known_at")


@dataclass(frozen=True)
class Compiled:
    """SQL text and the rules that its weft__rule numbers point to (from 1)."""

    select: str
    rules: tuple[Rule, ...]


def compile_events(mapping: Mapping, shape: FileShape, *, currencies: Sequence[str], landed_at: datetime) -> Compiled:
    """The select for a mapping with target events; `currencies` are those with an exchange rate."""
    rules = Rules()
    typed = typed_columns(mapping, shape.format, reader_sql(mapping, shape), rules)
    built = _built(mapping, shape, typed, rules)
    landed = f"timestamp {quoted_text(landed_at.isoformat(sep=' '))}"
    given = f"select *, {amounts_of('weft__properties')} as weft__amounts from ({built})"
    timed = f"select *, {_clocks()}, {amount_columns('weft__properties')} from ({given})"
    checked = _checked(mapping, shape, timed, landed_at=landed, currencies=currencies, rules=rules)
    return Compiled(checked, tuple(rules.listed))


def _built(mapping: Mapping, shape: FileShape, typed: str, rules: Rules) -> str:
    """The envelope's parts as weft__* columns, from the expressions over the typed columns."""
    event = mapping.event
    assert event is not None
    for rule in mapping.rejects:
        rules.add(rule.reason, f"({rule.when})", rule.detail)
    columns = {
        "source": f"coalesce({_text(event.source, shape)}, {quoted_text(mapping.source)})",
        "type": f"lower({_text(event.type, shape)})",
        "event": _text(event.event, shape),
        "message_id": _text(event.message_id, shape),
        "user_id": _text(event.user_id, shape),
        "anonymous_id": _text(event.anonymous_id, shape),
        "identifiers": _identifiers(mapping),
        "properties": _json(mapping.properties),
        "traits": _json(mapping.traits),
        "context": _json(mapping.context),
        "consent": _json(mapping.consent),
        "has_bad_time": _has_bad_time(mapping, event),
    }
    for name in _TIMES:
        columns[name] = _time(mapping, getattr(event, name))
    if event.message_id is None:
        columns["canonical"] = _canonical(mapping)
    else:  # worked out only for the rows that lack an id
        columns["canonical"] = f"(case when {columns['message_id']} is null then {_canonical(mapping)} end)"
    payload = PAYLOAD if mapping.keep_payload else f"{_json(mapping.payload)} as {PAYLOAD}"
    built = ", ".join(f"{expression} as weft__{name}" for name, expression in columns.items())
    return f"select {built}, {payload}, {combined_rule(rules)} as {RULE} from ({typed})"


def _clocks() -> str:
    """occurred and known before any cut; a client's clock is corrected by what it was off when it sent."""
    corrected = "weft__received_at - (weft__sent_at - weft__original_timestamp)"
    occurred = f"coalesce(weft__occurred_at, {corrected}, weft__original_timestamp, weft__received_at, weft__sent_at)"
    return (
        f"{occurred} as weft__occurred, coalesce(weft__known_at, weft__received_at, {occurred}) as weft__known, "
        "(weft__known_at is null and weft__received_at is null) as weft__is_known_at_assumed"
    )


def _checked(
    mapping: Mapping, shape: FileShape, timed: str, *, landed_at: str, currencies: Sequence[str], rules: Rules
) -> str:
    given = {"properties": mapping.properties, "traits": mapping.traits, "context": mapping.context}
    clean = str if shape.is_free_of_nul else json_without_nul
    objects = [name for name, value in {**given, "consent": mapping.consent}.items() if isinstance(value, str)]
    documents = [name for name, value in {**given, "consent": mapping.consent}.items() if value]
    documents += ["payload"] if mapping.keep_payload or mapping.payload else []
    if isinstance(mapping.identifiers, str):
        is_list = f"starts_with(ltrim({clean('weft__identifiers')}::varchar), '[')"
        rules.add(RejectReason.BAD_VALUE, f"not {is_list}", "identifiers is not a JSON list.")
    add_event_rules(rules, objects=objects, documents=documents, landed_at=landed_at)
    add_money_rules(rules, currencies)
    known = f"least(weft__known, {landed_at})"
    columns = {
        "source": "weft__source",
        "message_id": "coalesce(weft__message_id, weft__canonical)",
        "known_at": known,
        "is_known_at_assumed": "weft__is_known_at_assumed",
        **{name: f"weft__{name}" for name in ("type", "event", "user_id", "anonymous_id")},
        "identifiers": clean("weft__identifiers") if isinstance(mapping.identifiers, str) else "weft__identifiers",
        **{name: f"coalesce({clean(f'weft__{name}')}, '{{}}'::json)" for name in given},
        **{name: f"weft__{name}" for name in _TIMES[:3]},
        "occurred_at": f"least(weft__occurred, {known})",
        "payload": clean(PAYLOAD),
        "consent": clean("weft__consent"),
    }
    selected = ", ".join(f"{columns[name]} as {name}" for name in STAGED_COLUMNS)
    return (
        f"select {selected}, {combined_rule(rules)} as {RULE}, weft__message_id is null as weft__is_derived "
        f"from ({timed})"
    )


def _text(expression: str | None, shape: FileShape) -> str:
    """Text without blanks around and NULs inside; blank is null."""
    if expression is None:
        return "null::varchar"
    text = f"({expression})::varchar"
    # most texts are clean, and seeing that is much cheaper than making a clean copy; '!' is the first after the blank
    is_unclean = f"{text} < '!' or ends_with({text}, ' ')"
    if shape.is_free_of_nul:
        return f"(case when {is_unclean} then nullif(trim({text}), '') else {text} end)"
    cleaned = f"nullif(trim(replace({text}, chr(0), '')), '')"
    return f"(case when {is_unclean} or contains({text}, chr(0)) then {cleaned} else {text} end)"


def _json(value: object) -> str:
    """A JSON document: built from a tree, or one expression, 'null' being null."""
    if value is None:
        return "null::json"
    if isinstance(value, str):
        document = f"try_cast(({value}) as json)"
        return f"(case when {document} = 'null' then null else {document} end)"
    assert isinstance(value, dict)
    return f"nullif({json_object(value)}, '{{}}')::json" if value else "null::json"


def _identifiers(mapping: Mapping) -> str:
    """The list of identifiers; most events carry none, and for them nothing is built."""
    if isinstance(mapping.identifiers, str):
        return f"coalesce({_json(mapping.identifiers)}, '[]'::json)"
    if not mapping.identifiers:
        return "'[]'::json"
    texts = [f"({expression})::varchar" for expression in mapping.identifiers.values()]
    items = [
        f"(case when trim({text}) <> '' then {quoted_text(_IDENTIFIER.format(type_))} "
        f"|| to_json(replace({text}, chr(0), ''))::varchar || '}}' end)"
        for type_, text in zip(mapping.identifiers, texts, strict=True)
    ]
    return f"(case when coalesce({', '.join(texts)}) is null then '[]'::json else {json_list(items)}::json end)"


def _time(mapping: Mapping, expression: str | None) -> str:
    if expression is None:
        return "null::timestamp"
    if mapping.columns.get(expression) == "timestamp":
        return quoted_name(expression)
    return within_calendar(utc_timestamp(f"({expression})"))


def _has_bad_time(mapping: Mapping, event: EventFields) -> str:
    """True where a time was given and cannot be read."""
    given = [expression for name in _TIMES if (expression := getattr(event, name))]
    unchecked = [expression for expression in given if mapping.columns.get(expression) != "timestamp"]
    return " or ".join(f"(({each}) is not null and {_time(mapping, each)} is null)" for each in unchecked) or "false"


def _canonical(mapping: Mapping) -> str:
    """sha256 of the source and the typed row, columns by name; the same row in CSV and Parquet gives the same."""
    columns = ", ".join(quoted_name(name) for name in sorted(mapping.columns))
    return f"sha256(json_array({quoted_text(mapping.source)}, {columns})::varchar)"
