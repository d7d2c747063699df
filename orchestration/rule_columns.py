"""What rules may name, read from a warehouse: the columns of profiles and events with their types, and the audiences there are."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from activation.rules import Column, Known, column
from orchestration.audience_catalogue import Audience
from orchestration.errors import NothingServedError
from orchestration.transform import read_manifest
from orchestration.warehouse import Connection, tables_of

NO_PROPERTIES = {"landed_seq", "customer_id", "evidence_id", "source", "message_id", "event", "occurred_at", "known_at"}
"""Columns of events that are no property of what happened: keys, and what a rule says in other ways."""
AUDIENCE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def known_names(connection: Connection, audiences: Iterable[Audience]) -> Known:
    """What a rule may name in this warehouse. Of the audiences in SQL those whose table stands. Raises NothingServedError."""
    tables = tables_of(connection, "audiences")
    if "profiles" not in tables:
        raise NothingServedError("The warehouse has no audiences.profiles yet; run `weft run` or `weft build` first.")
    personal = _personal_columns(read_manifest())
    events = _columns(connection, "customer_360", "events", personal)
    return Known(
        profiles=_columns(connection, "audiences", "profiles", personal),
        events={name: found for name, found in events.items() if name not in NO_PROPERTIES},
        audiences=frozenset(
            each.name
            for each in audiences
            if AUDIENCE_NAME.fullmatch(each.name) and (each.kind == "rule" or each.name in tables)
        ),
    )


def _columns(connection: Connection, schema: str, table: str, personal: set[str]) -> Mapping[str, Column]:
    query = (
        "select column_name, data_type from information_schema.columns "
        "where table_schema = ? and table_name = ? order by ordinal_position"
    )
    rows = connection.rows(query, [connection.schema(schema), table])
    found = (column(name, type_, is_personal=name in personal) for name, type_ in rows)
    return {each.name: each for each in found if each is not None}


def _personal_columns(manifest: Mapping[str, Any]) -> set[str]:
    """Columns of any model that say of themselves `meta: {personal: true}`; some names are personal by themselves."""
    return {
        name
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        for name, each in node["columns"].items()
        if ({**each.get("config", {}).get("meta", {}), **each.get("meta", {})}).get("personal")
    }
