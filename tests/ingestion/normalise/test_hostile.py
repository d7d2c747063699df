"""Whatever is sent: nothing raises, every part is one line or one refusal, twice the same, and DuckDB reads every line."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingestion.event_log import Normalized, Received
from ingestion.normalise import KINDS, normalise, part_bytes
from ingestion.normalise.parts import EVENT_BYTES
from tests.ingestion.normalise.sent import lines_of, received

HOSTILE = [
    rb'"\u0000"', rb'"\ud800"', rb'"\udc00\ud800"', rb'"\\ud800"', b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e-999", b"9" * 5000,
    b"-0", b"1.0000000000000000000001", b'"\xff"', b'"\xed\xa0\x80"', b'"\x01"', b"[" * 1500 + b"]" * 1500, b"[" * 65 + b"]" * 65,
    b'{"a":1,"a":2}', b'{"":{"":{}}}', b"[1,]", b"{,}", b"01", b"'x'", b"\xef\xbb\xbf1", b"\x00", b'"\n"', b"\n1\r\n", b"true", b"null",
    b'"' + b"x" * EVENT_BYTES + b'"', b"18446744073709551616", b'"\xf0\x9f\x98\x80"', b'"\xe2\x80\xa8"',
]  # fmt: skip
PLACES = [
    b'{"batch":[{"type":"track","event":"X","userId":"u","properties":{"a":%s}},{"type":"page","userId":"u"}]}',
    b'{"batch":[{"type":"track","event":%s,"userId":"u"},{"type":"page","userId":"u"}]}',
    b'{"batch":[{"type":"identify","userId":%s,"traits":%s,"context":%s,"timestamp":"2026-02-01"}],"context":%s,"sentAt":%s}',
    b'{"batch":[{"type":"track","event":"X","userId":"u","messageId":%s,"timestamp":%s,"context":{"device":%s,"externalIds":[%s]}}]}',
    b'{"type":"track","event":"X","userId":"u","unknown":%s}',
    b'{"event_type":"X","email":%s,"properties":{"a":%s},"occurred_at":%s}',
    b'{"data":[{"e":"se","se_ac":%s,"dtm":%s,"duid":"d"},{"e":"pv"},{"e":"ue","ue_pr":%s}]}',
    b"%s",
]
PATHS = {
    "segment": ("batch", "track", "alias"),
    "mini": ("track", "identify"),
    "pixel": ("track",),
    "snowplow": ("tp2", "i"),
}
SHAPES = [(kind, path) for kind, paths in PATHS.items() for path in paths]

bodies = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(PLACES).flatmap(
        lambda place: st.lists(st.sampled_from(HOSTILE), min_size=place.count(b"%s"), max_size=place.count(b"%s")).map(
            lambda values: place % tuple(values)
        )
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "batch",
                        "type",
                        "event",
                        "userId",
                        "traits",
                        "context",
                        "data",
                        "e",
                        "device",
                        "consent",
                        "sentAt",
                        "x",
                    ]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)


def checked(request: Received) -> Normalized:
    """What becomes of a request, with what holds for every one of them."""
    normalized = normalise(request, "1-0")
    assert normalise(request, "1-0") == normalized
    parts = sorted([line["part"] for line in lines_of(normalized)] + [refused.index for refused in normalized.refused])
    assert parts == list(range(len(parts)))
    assert len(parts) == len(KINDS[request.kind].split(request))
    assert sum(normalized.counts.values()) == len(parts)
    for refused in normalized.refused:
        part_bytes(request, refused.index)
    return normalized


def read_by_duckdb(lines: bytes, path: Path) -> list[tuple[Any, ...]]:
    """Parts of the lines, read as landing reads them but without passing over what is no JSON."""
    path.write_bytes(lines)
    columns = "columns = {part: 'BIGINT', message_id: 'VARCHAR', properties: 'JSON', traits: 'JSON', context: 'JSON', payload: 'JSON'}"
    return duckdb.sql(f"from read_json('{path}', format = 'newline_delimited', {columns})").fetchall() if lines else []


@settings(max_examples=150, deadline=None)
@given(body=bodies, shape=st.sampled_from(SHAPES), is_gzip=st.sampled_from([False, False, False, True]))
@example(body=b"{" * 100_000, shape=("mini", "track"), is_gzip=False)
@example(body=b'{"batch":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}", shape=("segment", "batch"), is_gzip=False)
def test_any_body_is_read_or_refused(body: bytes, shape: tuple[str, str], is_gzip: bool) -> None:
    kind, path = shape
    encoding = {"encoding": "gzip"} if is_gzip else {}
    checked(received(kind, body, path=path, query=body.decode("latin-1"), **encoding))


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_duckdb_reads_every_line_that_a_hostile_value_leaves(number: int, tmp_path: Path) -> None:
    lines = b""
    for place in PLACES:
        for kind, path in SHAPES:
            body = place % ((HOSTILE[number],) * place.count(b"%s"))
            lines += checked(received(kind, body, path=path, query=body.decode("latin-1"))).events
    assert len(read_by_duckdb(lines, tmp_path / "lines.ndjson")) == len(lines.splitlines())


def test_a_million_keys_are_read_in_bounded_time() -> None:
    keys = b",".join(b'"k%d":1' % number for number in range(500_000))
    body = b'{"type":"track","event":"X","userId":"u","properties":{%s}}' % keys
    (refused,) = checked(received("segment", body, path="track")).refused
    assert refused.reason == "oversize"


def test_an_unknown_kind_is_refused_with_its_bytes() -> None:
    request = received("fax", b"hello")
    assert [refused.reason for refused in normalise(request, "1-0").refused] == ["unreadable"]
    assert part_bytes(request, 0) == b"hello"
