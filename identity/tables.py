"""The tables that the engine takes and gives, as pyarrow schemas, and the check that a table fits one.

Timestamps are naive UTC in microseconds. Key columns never hold nulls; the nullable ones are named in NULLABLE.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

TIMESTAMP = pa.timestamp("us")

IDENTIFIERS = pa.schema(
    [("identifier_id", pa.string()), ("identifier_type", pa.string()), ("identifier_value", pa.string())]
)
"""One row per identifier. The warehouse's table has more columns (first and last seen, count): they are not needed."""

EVIDENCE = pa.schema(
    [
        ("evidence_id", pa.string()),
        ("first_at", TIMESTAMP),
        ("first_source", pa.string()),
        ("first_message_id", pa.string()),
        ("first_known_at", TIMESTAMP),
    ]
)
"""One row per distinct set of identifiers, at its earliest key (first_at, first_source, first_message_id)."""

EVIDENCE_IDENTIFIERS = pa.schema([("evidence_row", pa.int32()), ("identifier_row", pa.int32())])
"""One row per identifier in a set: places in the tables of evidence and identifiers that come with it. A warehouse joins
ids to places faster than anything that has to be handed the strings first."""

MEMBERSHIPS = pa.schema(
    [
        ("identifier_id", pa.string()),
        ("identifier_type", pa.string()),
        ("identifier_value", pa.string()),
        ("customer_id", pa.string()),
        ("valid_from", TIMESTAMP),
        ("valid_to", TIMESTAMP),
        ("known_from", TIMESTAMP),
        ("known_to", TIMESTAMP),
        ("component_id", pa.int64()),
    ]
)
"""One row per identifier, customer, valid and known interval [known_from, known_to); known_to null = still.

valid_from and valid_to are null for an identifier that is one customer's. A shared one (rule 5) has a row per run of visits:
its events at ordered_at in [valid_from, valid_to) that no other identifier gives to somebody are that customer's.
component_id: what has to be decided together. Equal for identifiers that evidence or a customer id of the ledger connects
at any date in use, whatever rules keep them apart; a run that decides them again numbers them anew."""

LEDGER = pa.schema(
    [
        ("ledger_seq", pa.int64()),
        ("customer_id", pa.string()),
        ("identifier_id", pa.string()),
        ("identifier_type", pa.string()),
        ("identifier_value", pa.string()),
        ("is_strong", pa.bool_()),
        ("recorded_at", TIMESTAMP),
    ]
)
"""identity.customer_ids: one row per customer id and anchor, append-only; ledger_seq gives the age."""

MERGE_HISTORY = pa.schema(
    [
        ("merge_id", pa.string()),
        ("change", pa.string()),
        ("customer_id_before", pa.string()),
        ("customer_id_after", pa.string()),
        ("source", pa.string()),
        ("message_id", pa.string()),
        ("evidence_id", pa.string()),
        ("recorded_at", TIMESTAMP),
        ("decision_seq", pa.int64()),
    ]
)
"""One row per customer id that merged into another ('merged') or lost identifiers to another ('split').

What caused a merge: the event (source, message_id, evidence_id), or the decision of a person; neither where it took more."""

MEMBERSHIP_CHANGES = pa.schema([("identifier_id", pa.string()), ("customer_id", pa.string())])
"""One row per identifier whose customer changed at a date in use, and customer that held it before or holds it after."""

HOT_IDENTIFIERS = pa.schema(
    [
        ("identifier_id", pa.string()),
        ("identifier_type", pa.string()),
        ("identifier_value", pa.string()),
        ("other_type", pa.string()),
        ("distinct_values", pa.int64()),
        ("allowed_values", pa.int64()),
    ]
)
"""One row per hot identifier and strong type of which it was seen with too many values."""

DECISIONS = pa.schema(
    [
        ("decision_seq", pa.int64()),
        ("action", pa.string()),
        ("side", pa.int32()),
        ("identifier_type", pa.string()),
        ("identifier_value", pa.string()),
    ]
)
"""Decisions of people, in the order they were made (identity.decisions says what each does): one row per decision, side and
identifier. link: all of side 0 are one person; wall: nobody of side 0 is anybody of side 1; refuse: events whose strong
identifiers are those of side 0 join nothing. Values are normalised."""

EVENTS = pa.schema(
    [
        ("evidence_row", pa.int32()),
        ("ordered_at", TIMESTAMP),
        ("source", pa.string()),
        ("message_id", pa.string()),
        ("known_at", TIMESTAMP),
    ]
)
"""One row per event of the sets of evidence asked for (places in the table of evidence)."""

SET_ASIDE = pa.schema(
    [
        ("evidence_id", pa.string()),
        ("identifier_id", pa.string()),
        ("identifier_type", pa.string()),
        ("identifier_value", pa.string()),
        ("reason", pa.string()),
        ("limited_type", pa.string()),
        ("decision_seq", pa.int64()),
    ]
)
"""One row per set of evidence and strong identifier in it that did not join the ones kept before it (rule 4), at the last date.

reason 'limit' (limited_type: of which the customer would hold too many) or 'wall' (decision_seq: which). evidence_id is that of
the earliest set where several are equal once hot identifiers have left."""

REFUSED_JOINS = pa.schema(
    [
        ("identifier_id", pa.string()),
        ("identifier_type", pa.string()),
        ("identifier_value", pa.string()),
        ("step", pa.string()),
        ("is_shared", pa.bool_()),
        ("reason", pa.string()),
        ("limited_type", pa.string()),
        ("decision_seq", pa.int64()),
    ]
)
"""One row per weak identifier and step of rule 5 ('strong' or 'weak' neighbours) in which it joined nothing, at the last date.

reason 'several people' (limited_type: the strong type that two of the groups hold), 'limit' or 'wall' as in SET_ASIDE."""

REVIEW_QUEUE = pa.schema(
    [
        ("review_id", pa.string()),
        ("evidence_id", pa.string()),
        ("status", pa.string()),
        ("group_count", pa.int64()),
        ("known_from", TIMESTAMP),
        ("known_to", TIMESTAMP),
    ]
)
"""One row per set of evidence that rule 4 lets join nothing, and known interval (known_to null = still).

review_id: hash of its strong identifiers, what a person decides on; status 'open', or 'refused' by a decision; group_count:
customers that its strong identifiers lie in (the newest count)."""

WAITING_DECISIONS = pa.schema(
    [
        ("decision_seq", pa.int64()),
        ("identifier_type", pa.string()),
        ("identifier_value", pa.string()),
        ("reason", pa.string()),
    ]
)
"""One row per linked identifier that the link waits for: 'blocked', 'hot', or 'not seen' (that one joins all the same)."""

BLOCKED_IDENTIFIERS = pa.schema(
    [("identifier_id", pa.string()), ("identifier_type", pa.string()), ("reason", pa.string())]
)
"""One row per identifier that rule 1 refuses."""

IDENTIFIER_TYPES = pa.schema([("identifier_type", pa.string()), ("priority", pa.int32()), ("is_strong", pa.bool_())])
"""control.identifier_types: one row per configured type."""

NULLABLE = {"valid_from", "valid_to", "known_to", "limited_type", "decision_seq"}


class IdentityError(ValueError):
    """The engine was given a table or an argument that it cannot work with; the text says which and why."""


def conform(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """Give `table` with exactly the columns of `schema`, cast where nothing is lost; raise IdentityError otherwise."""
    if not isinstance(table, pa.Table):
        raise IdentityError(f"{name} must be a pyarrow Table, not {type(table).__name__}.")
    return pa.Table.from_arrays([_column(table, field, name) for field in schema], schema=schema)


def _column(table: pa.Table, field: pa.Field, name: str) -> pa.ChunkedArray:
    if table.column_names.count(field.name) != 1:
        given = ", ".join(table.column_names) or "none"
        raise IdentityError(f"{name} must have one column {field.name}; it has {given}.")
    column = table.column(field.name)
    if column.null_count and field.name not in NULLABLE:
        raise IdentityError(f"{name}.{field.name} holds {column.null_count} nulls; it must hold none.")
    if column.type == field.type:
        return column
    if not _is_castable(column.type, field.type):
        raise IdentityError(f"{name}.{field.name} must be {field.type}, not {column.type}.")
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid as error:
        raise IdentityError(f"{name}.{field.name} does not fit {field.type}: {error}.") from error


def _is_castable(given: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_null(given):
        return True
    if pa.types.is_dictionary(given):
        return _is_castable(given.value_type, wanted) or given.value_type == wanted
    if pa.types.is_string(wanted):
        return bool(pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given))
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(given) and given.tz is None)
    return bool(pa.types.is_integer(given) and pa.types.is_integer(wanted))


def positions(values: pa.ChunkedArray, keys: pa.ChunkedArray) -> pa.Array:
    """Give for each value its position among the (unique) keys as int32, null where it is not one of them."""
    found = pc.index_in(values, value_set=keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
