"""Snowplow's entities: self-describing JSON that says more about an event."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

OWN = "iglu:com.snowplowanalytics."
_SCHEMA = re.compile(r"iglu:[^/]+/([^/]+)/[^/]+/[^/]+")


class Entity(NamedTuple):
    """One entity: its schema (iglu:vendor/name/format/version), the schema's name, and its data."""

    schema: str
    name: str
    data: dict[str, Any]


def name_of(schema: str) -> str:
    """`add_to_cart` of `iglu:com.acme/add_to_cart/jsonschema/1-0-0`; what is no such address is its own name."""
    found = _SCHEMA.fullmatch(schema.strip())
    return found[1] if found else schema


def entities_of(contexts: Mapping[str, Any]) -> list[Entity]:
    """The entities of a `contexts` document; what is none is left out (the payload keeps it)."""
    listed = contexts.get("data")
    return list(_entities(listed)) if isinstance(listed, list) else []


def first_of(entities: Sequence[Entity], name: str) -> dict[str, Any] | None:
    """Data of the first entity whose schema is Snowplow's own of this name: a shop's `user` may be anything."""
    return next(iter(all_of(entities, name)), None)


def all_of(entities: Sequence[Entity], name: str) -> list[dict[str, Any]]:
    """Data of every entity whose schema is Snowplow's own of this name."""
    return [entity.data for entity in entities if entity.name == name and entity.schema.startswith(OWN)]


def _entities(listed: Sequence[Any]) -> Iterator[Entity]:
    for each in listed:
        if isinstance(each, dict) and isinstance(each.get("schema"), str) and isinstance(each.get("data"), dict):
            yield Entity(each["schema"], name_of(each["schema"]), each["data"])
