"""Which identifiers a Segment-shaped event carries besides its userId and anonymousId."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ingestion.normalise.lines import Identifier, PartRefusedError, text_of

# the types that Segment names for what a device calls itself
_DEVICE_TYPES = {f"{system}.{name}": "device_id" for system in ("ios", "android") for name in ("id", "idfa")}
_NOT_HERE = frozenset({"user_id", "anonymous_id"})  # columns of their own
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


def promoted(
    traits: Mapping[str, Any],
    about_person: Mapping[str, Any],
    properties: Mapping[str, Any],
    context: Mapping[str, Any],
) -> list[Identifier]:
    """E-mail, phone and loyalty card of traits, `context.traits` (about_person) or properties, the device, and `context.externalIds`.

    Of each of the first four kinds the first place that has one counts; external ids of persons all count, under their own type.
    """
    found: list[Identifier] = []
    places = (traits, about_person, properties)
    for type_, names in (("email", ("email",)), ("phone", ("phone",)), ("loyalty_id", ("loyalty_id", "loyaltyId"))):
        _add(found, type_, next(_values(places, names), None))
    device = context.get("device")
    if isinstance(device, dict):
        _add(found, "device_id", _text(device.get("id")))
        if device.get("adTrackingEnabled") is True:
            _add(found, "device_id", _text(device.get("advertisingId")))
    external = context.get("externalIds")
    if isinstance(external, list):
        for each in external:
            if isinstance(each, dict) and each.get("collection", "users") == "users":
                _add(found, _type(each.get("type")), _text(each.get("id")))
    return found


def _values(places: Iterable[Mapping[str, Any]], names: Iterable[str]) -> Iterator[str]:
    for place in places:
        for name in names:
            if name in place and (text := _text(place[name])) is not None:
                yield text


def _add(found: list[Identifier], type_: str | None, value: str | None) -> None:
    if type_ is not None and value is not None and (identifier := Identifier(type_, value)) not in found:
        found.append(identifier)


def _text(value: object) -> str | None:
    try:
        return text_of(value)
    except PartRefusedError:  # an object is no identifier, but no reason to refuse the event either
        return None


def _type(given: object) -> str | None:
    """loyaltyId and Loyalty_Id are loyalty_id; None for what has a column of its own."""
    if not isinstance(given, str) or not given.strip():
        return None
    snake = _HUMP.sub(r"_\1", given.strip()).lower()
    type_ = _DEVICE_TYPES.get(snake, snake)
    return None if type_ in _NOT_HERE else type_
