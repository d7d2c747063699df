"""However the same rows are split over files, ordered and repeated, raw.events holds the same set of events."""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.landing import land_file
from tests.ingestion.landings import LANDED_AT, SHOP, csv, ndjson, order

COLUMNS = "* exclude (landed_seq, landed_at, source)"

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
rows = st.builds(
    lambda price, currency, email: {"price": price, "currency": currency, "email": email},
    st.one_of(st.integers(-1, 50), st.just("x"), st.decimals(0, 99, places=2).map(str)),
    st.sampled_from(["EUR", "gbp", "ZZZ"]),
    texts.map(lambda text: text.strip() or "x"),
)


def _landed(files: list[tuple[str, bytes]]) -> tuple[set[Any], list[int]]:
    """Events, and for each file what the books say beyond rows_read = accepted + ... (which landing itself checks)."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as warehouse:
        read = []
        for name, content in files:
            (Path(folder) / name).write_bytes(content)
            report = land_file(warehouse, path=Path(folder) / name, mapping=SHOP, landed_at=LANDED_AT)
            read.append(report.rows_read)
        return set(warehouse.execute(f"select {COLUMNS} from raw.events").fetchall()), read


def _quoted(*given_rows: dict[str, Any]) -> bytes:
    quoted = [{name: '"' + str(value).replace('"', '""') + '"' for name, value in row.items()} for row in given_rows]
    return csv(*quoted)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    given_rows=st.lists(rows, min_size=1, max_size=12),
    seed=st.integers(0, 2**32),
    parts=st.integers(1, 4),
)
def test_splits_orders_and_repeats_give_the_same_events(
    given_rows: list[dict[str, Any]], seed: int, parts: int
) -> None:
    whole = [order(str(number), **row) for number, row in enumerate(given_rows)]
    chance = random.Random(seed)
    shuffled = whole + chance.choices(whole, k=len(whole))
    chance.shuffle(shuffled)
    writers: list[tuple[str, Callable[..., bytes]]] = [("ndjson", ndjson), ("csv", _quoted)]
    files = []
    for part in range(parts):
        ending, write = chance.choice(writers)
        files.append((f"{part}.{ending}", write(*shuffled[part::parts])))
    events, read = _landed(files)
    assert sum(read) == len(shuffled)
    assert events == _landed([("whole.ndjson", ndjson(*whole))])[0]


def _is_json_row(line: bytes) -> bool:
    return line.startswith(b'{"id": ') and line.endswith(b"}")


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    noise=st.lists(st.one_of(st.binary(max_size=12), st.sampled_from([b"", b" ", b"\x0b", b"{}", b"null", b"\x00"])))
)
def test_any_bytes_between_good_lines_are_kept_as_they_are(noise: list[bytes]) -> None:
    lines = [part for piece in noise for part in piece.split(b"\n")]
    good = [line for number in range(len(lines) + 1) for line in ndjson(order(str(number))).splitlines()]
    content = b"\n".join(line for pair in zip(good, [*lines, b""], strict=True) for line in pair)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as warehouse:
        path = Path(folder) / "noisy.ndjson"
        path.write_bytes(content)
        report = land_file(warehouse, path=path, mapping=SHOP, landed_at=LANDED_AT)
        kept = warehouse.execute("select payload from raw.rejected_events order by row_number").fetchall()
    assert report.accepted == len(good)
    bad = [line for line in lines if line.strip(b" \t\r\v\f")]
    assert [payload for (payload,) in kept] == [line.removesuffix(b"\r") for line in bad]


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(noise=st.lists(st.text('",\r\nx ', max_size=8)))
def test_any_quotes_and_breaks_in_a_csv_leave_the_books_balanced(noise: list[str]) -> None:
    # more delimiters than any good row has: the noise can never become one
    lines = [f",,,,,,,{text}".encode() for text in noise]
    good = [",".join(map(str, order(str(number)).values())).encode() for number in range(len(lines) + 1)]
    content = csv(*[line for pair in zip(good, [*lines, b""], strict=True) for line in pair])
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as warehouse:
        path = Path(folder) / "noisy.csv"
        path.write_bytes(content)
        report = land_file(warehouse, path=path, mapping=SHOP, landed_at=LANDED_AT)
        kept = b"".join(row[0] for row in warehouse.execute("select payload from raw.rejected_events").fetchall())
    assert report.is_balanced
    assert report.accepted == len(good)
    assert sorted(kept.replace(b"\r", b"").replace(b"\n", b"")) == sorted(
        b"".join(lines).replace(b"\r", b"").replace(b"\n", b"")
    )
