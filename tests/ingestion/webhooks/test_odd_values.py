"""Every field of every delivery with a value that nobody expects there: an event or a refusal, never a mistake of ours."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.ingestion.webhooks.payloads import SHOPIFY, WOOCOMMERCE, Json, body_of, changed, lines, normalised
from tests.ingestion.webhooks.test_stores import RECEIPT

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1.5, "", " ", "\0", "\ud800", "1e999", "NaN", "-Infinity", "9" * 5_000, "2026-13-45",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", [], {}, [None], {"a": {"b": []}}, [[1]], [{}], ["x"], {"": ""},
)  # fmt: skip
KINDS: dict[str, tuple[str, Json]] = {
    **{topic: ("shopify", body) for topic, body in SHOPIFY.items()},
    **{topic: ("woocommerce", body) for topic, body in WOOCOMMERCE.items()},
    "order_with_refund": ("shopify", changed(SHOPIFY["orders/create"], refunds=[SHOPIFY["refunds/create"]])),
    "receipt": ("pos", RECEIPT),
}


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path of a document."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*place, key)
            yield from places(child, (*place, key))


def with_value(document: Json, place: tuple[str | int, ...], value: Any) -> Json:
    """A copy with another value at a path."""
    copy: Any = deepcopy(document)
    inside = copy
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    return copy


@pytest.mark.parametrize("name", KINDS)
def test_an_odd_value_anywhere_is_an_event_or_a_refusal(name: str) -> None:
    kind, document = KINDS[name]
    for number, place in enumerate(places(document)):
        for odd in ODD[number % 3 :: 3]:
            body = json.dumps(with_value(document, place, odd)).encode()
            found = normalised(kind, body, source="shop", topic=name)
            told = lines(found.events) + lines(found.products) + lines(found.privacy)
            assert bool(told) is not bool(found.refused), (place, odd)
            for line in told:
                amounts = [line.get("properties", {}).get(each) for each in ("total", "revenue", "tax")]
                assert all(each is None or isinstance(each, int | float) for each in amounts)


@pytest.mark.parametrize("kind", ["shopify", "woocommerce", "pos", "twilio", "scan", "visit"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"id":',
        b'{"a":NaN}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"id":1e999}',
    ],
    ids=["empty", "null", "list", "bytes", "cut", "nan", "deep", "deep_object", "huge"],
)
def test_what_is_no_document_is_refused(kind: str, body: bytes) -> None:
    found = normalised(kind, body, source="shop")
    assert (found.events, found.products, found.privacy) == (b"", b"", b"")
    assert found.refused or (kind, body) == ("pos", b"[]")


def test_an_order_nested_too_deep_is_refused() -> None:
    deep: Any = {}
    for _ in range(70):
        deep = {"a": deep}
    [refused] = normalised("shopify", body_of(changed(SHOPIFY["orders/create"], note_attributes=deep))).refused
    assert refused.reason == "too_deep"
