"""Text files are cut into rows with their exact bytes and numbers, at any block size."""

import csv as standard_csv
import io
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import records
from ingestion.csv_records import Dialect, csv_rows
from ingestion.records import Fault, line_rows


def _lines(content: bytes) -> list[tuple[int, bytes, Fault]]:
    return [
        (rows.first_number + index, rows.row(index), Fault(rows.faults[index]))
        for rows in line_rows(BytesIO(content))
        for index in range(len(rows.starts))
    ]


def _csv(content: bytes, fields: int) -> list[tuple[int, bytes, Fault]]:
    return [
        (rows.first_number + index, rows.row(index), Fault(rows.faults[index]))
        for rows in csv_rows(BytesIO(content), Dialect(",", fields))
        for index in range(len(rows.starts))
    ]


def test_blank_lines_and_the_byte_order_mark_are_no_rows() -> None:
    assert _lines(b"\xef\xbb\xbfa\r\n\r\n \t\nb") == [(1, b"a", Fault.NONE), (2, b"b", Fault.NONE)]
    assert _lines(b"") == _lines(b"\n\n") == []


def test_bad_bytes_mark_their_own_line_only() -> None:
    faults = [fault for _, _, fault in _lines("é\n".encode() + b"\xe9\n" + "日本\n".encode())]
    assert faults == [Fault.NONE, Fault.NOT_UTF8, Fault.NONE]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 64])
def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    lines = "first\n\nzwölf\r\nlast".encode()
    table = b'h,i\n1,"a\nb"\n"x ""y""",2\n3,4,5\n6,"never\n7,8'
    whole = _lines(lines), _csv(table, 2)
    monkeypatch.setattr(records, "BLOCK_BYTES", block_bytes)
    assert (_lines(lines), _csv(table, 2)) == whole


def test_an_endless_line_is_cut_and_the_next_line_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 16)
    monkeypatch.setattr(records, "KEPT_BYTES", 64)
    monkeypatch.setattr(records, "ROW_LIMIT_BYTES", 32)
    rows = _lines(b"a\n" + b"x" * 1000 + b"\nb\n")
    assert rows == [(1, b"a", Fault.NONE), (2, b"x" * 64, Fault.OVERSIZE), (3, b"b", Fault.NONE)]


def test_csv_rows_are_whole_or_broken_one_by_one() -> None:
    content = b'h,i\n1,"two\nlines"\n2,5" nail\n3\n4,"open\n5,x\n6,"a"b\n7,,\n8,"quote "" inside"\n'
    assert _csv(content, 2) == [
        (1, b'1,"two\nlines"', Fault.NONE),
        (2, b'2,5" nail', Fault.REPAIRED),
        (3, b"3", Fault.BROKEN_CSV),
        (4, b'4,"open', Fault.BROKEN_CSV),
        (5, b"5,x", Fault.NONE),
        (6, b'6,"a"b', Fault.REPAIRED),
        (7, b"7,,", Fault.BROKEN_CSV),
        (8, b'8,"quote "" inside"', Fault.NONE),
    ]


fields = st.text('a",\n\r é', max_size=6)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(table=st.lists(st.tuples(fields, fields, fields), max_size=12), ending=st.sampled_from(["\n", "\r\n"]))
def test_what_the_standard_library_writes_is_read_row_by_row(table: list[tuple[str, str, str]], ending: str) -> None:
    out = io.StringIO()
    standard_csv.writer(out, lineterminator=ending, quoting=standard_csv.QUOTE_ALL).writerows([("h", "i", "j"), *table])
    rows = _csv(out.getvalue().encode(), 3)
    assert all(fault in (Fault.NONE, Fault.REPAIRED) for _, _, fault in rows)
    read = [next(standard_csv.reader(io.StringIO(row.decode(), newline=""))) for _, row, _ in rows]
    assert [tuple(row) for row in read] == table
