"""Files: replaced whole or not at all, read by their owner only, and no cell of them is a formula to whoever opens them."""

import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from activation.csv_cells import cell, line
from activation.destinations import KINDS, Tools
from activation.destinations.files import replacing
from activation.syncs.clock import Clock
from activation.syncs.contract import (
    DestinationMisconfiguredError,
    DestinationUnavailableError,
    Export,
    Record,
)

ENTRY: dict[str, Any] = {"name": "files", "purposes": ["analytics"]}
FIELDS = {"Customer": "customer_id", "E-mail": "email", "Phone": "phone", "Balance": "balance", "Seen": "seen"}
MEMBERS = pa.table(
    {
        "customer_id": ["c1", "c2", "c3"],
        "email": ["anna@example.com", "=1+1@example.com", None],
        "phone": pa.array(["+4917112345678", None, "+1;=1+1"], pa.string()),
        "balance": pa.array([Decimal("-12.50"), None, Decimal("3.00")], pa.decimal128(18, 4)),
        "seen": pa.array([datetime(2026, 11, 21, 19), None, datetime(2026, 1, 1)], pa.timestamp("us")),
    }
).replace_schema_metadata({"weft_as_of": "2026-11-21T18:00:00Z"})


def opened(home: Path, audience: str = "lapsed", **settings: Any) -> Export:
    entry = {"type": "csv", **ENTRY, **settings}
    kind = KINDS[entry["type"]]

    def no_client(url: str) -> Any:
        raise AssertionError("a file needs no network")

    tools = Tools(audience, no_client, lambda name: "", home, Clock(now=lambda: 1_790_000_000.0))
    made = kind.open(kind.config_model.model_validate(entry), tools)
    assert isinstance(made, Export)
    return made


def replaced(export: Export, members: pa.Table = MEMBERS) -> int:
    return export.replace(export.records(members))


def test_a_file_for_people_has_numbers_as_numbers_and_no_formula(tmp_path: Path) -> None:
    assert replaced(opened(tmp_path, fields=FIELDS, phone_columns=["Phone"])) == 3
    assert (tmp_path / "lapsed.csv").read_bytes().decode() == (
        '"Customer","E-mail","Phone","Balance","Seen"\r\n'
        '"c1","anna@example.com","+4917112345678",-12.5000,"2026-11-21T19:00:00Z"\r\n'
        '"c2","\'=1+1@example.com",,,\r\n'
        '"c3",,"\'+1;\'=1+1",3.0000,"2026-01-01T00:00:00Z"\r\n'
    )


def test_an_undeclared_phone_is_told_as_text_with_an_apostrophe(tmp_path: Path) -> None:
    replaced(opened(tmp_path, fields={"Phone": "phone"}))
    assert (tmp_path / "lapsed.csv").read_text().splitlines()[1] == '"\'+4917112345678"'


def test_a_file_for_machines_has_every_value_as_it_is(tmp_path: Path) -> None:
    replaced(opened(tmp_path, fields=FIELDS, **{"for": "machines"}))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "lapsed.csv").read_text(), newline="")))
    assert rows[1]["E-mail"] == "=1+1@example.com" and rows[2]["Phone"] == "+1;=1+1"


def test_parquet_keeps_the_types(tmp_path: Path) -> None:
    assert replaced(opened(tmp_path, type="parquet", fields=FIELDS)) == 3
    read = pq.read_table(tmp_path / "lapsed.parquet")
    assert read.column_names == list(FIELDS)
    assert read.schema.field("Balance").type == pa.decimal128(18, 4) and read.schema.field("Seen").type == pa.timestamp(
        "us"
    )
    assert read["E-mail"].to_pylist() == MEMBERS["email"].to_pylist()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_manifest_says_what_the_file_is(tmp_path: Path, kind: str) -> None:
    replaced(opened(tmp_path, type=kind, fields=FIELDS))
    file = tmp_path / f"lapsed.{kind}"
    manifest = json.loads((tmp_path / f"{file.name}.manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    told = (manifest["file"], manifest["count"], manifest["as_of"], manifest["written_at"])
    assert told == (file.name, 3, "2026-11-21T18:00:00Z", "2026-09-21T14:13:20Z")
    assert manifest["columns"]["Balance"] == "decimal128(18, 4)"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_empty_audience_is_a_file_of_no_customers(tmp_path: Path, kind: str) -> None:
    assert replaced(opened(tmp_path, type=kind, fields=FIELDS), MEMBERS.slice(0, 0)) == 0
    file = tmp_path / f"lapsed.{kind}"
    heading = pq.read_schema(file).names if kind == "parquet" else next(csv.reader([file.read_text()]))
    assert heading == list(FIELDS)


def test_only_the_owner_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        replaced(opened(tmp_path / "new" / "folder"))
    finally:
        os.umask(before)
    made = list((tmp_path / "new" / "folder").iterdir())
    assert {file.name: file.stat().st_mode & 0o777 for file in made} == {
        "lapsed.csv": 0o600,
        "lapsed.csv.manifest.json": 0o600,
    }
    assert (tmp_path / "new" / "folder").stat().st_mode & 0o777 == 0o700


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    export = opened(tmp_path)
    replaced(export)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def broken() -> Iterator[Record]:
        yield Record("c9", "c9", {"customer_id": "c9"})
        raise OSError(28, "No space left on device")

    with pytest.raises(DestinationUnavailableError, match=r"lapsed.csv cannot be written: No space left"):
        export.replace(broken())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_what_a_killed_writer_left_is_cleared_and_the_old_file_stood(tmp_path: Path) -> None:
    replaced(opened(tmp_path))
    before = (tmp_path / "lapsed.csv").read_bytes()
    program = (
        "import os, pathlib, signal\n"
        "from activation.destinations.files import replacing\n"
        f"with replacing(pathlib.Path({str(tmp_path)!r}) / 'lapsed.csv') as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", program], cwd=root, env={"PYTHONPATH": str(root)}, check=False)
    assert killed.returncode == -9
    assert (tmp_path / "lapsed.csv").read_bytes() == before and len(list(tmp_path.glob(".*.part"))) == 1
    replaced(opened(tmp_path), MEMBERS.slice(0, 1))
    assert list(tmp_path.glob(".*.part")) == []
    assert (tmp_path / "lapsed.csv").read_text().count("\n") == 2


def test_a_link_in_the_files_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("precious")
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "lapsed.csv").symlink_to(elsewhere)
    replaced(opened(tmp_path / "exports"))
    assert elsewhere.read_text() == "precious" and not (tmp_path / "exports" / "lapsed.csv").is_symlink()


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "a/b", "a\\b", "..", ".", "", ".hidden", "a\0b", "x" * 300, "C:out", "a b"]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "exports"
    with pytest.raises(DestinationMisconfiguredError, match="letters, digits"):
        opened(inside, name + "/" if name in ("..", ".", "") else name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DestinationMisconfiguredError, match="cannot be written"):
        replaced(opened(tmp_path, folder=str(tmp_path / "file" / "below")))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"folder": "exports"}, "whole path"),
        ({"for": "robots"}, "people"),
        ({"phone_columns": ["Phone"]}, "which fields does not have"),
    ],
)
def test_an_export_that_may_not_be_is_refused(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        opened(tmp_path, **change)


# what OWASP says makes a spreadsheet compute, in half and full width
FORMULAS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
TRIGGERS = (*FORMULAS, "\t", "\r", "\n")
HOSTILE = st.text(st.sampled_from([*"=+-@\t\r\n;,|\"' a1(", "\uff1d", "\uff20"]), max_size=12)


@given(st.lists(st.one_of(HOSTILE, st.text(max_size=20), st.none()), min_size=1, max_size=4))
@example(['=HYPERLINK("http://evil","x")'])
@example(["x;=1+1"])
@example(['x;"=1+1'])
@example(["x\n=1+1"])
@example(["\u00a0=1+1"])
@example([" =1+1", '"=1+1', "''=1"])
def test_no_cell_begins_a_formula_whatever_separator_is_expected(values: list[str | None]) -> None:
    written = line(cell(value, for_people=True) for value in values).decode()
    # as it is meant to be read: every value is there, with apostrophes at most
    (row,) = csv.reader(io.StringIO(written, newline=""), strict=True)
    assert [text.replace("'", "") for text in row] == [(value or "").replace("'", "") for value in values]
    for text in row:
        assert not text.startswith(TRIGGERS) and not text.strip(' "\t\r\n').startswith(TRIGGERS)
    # as a spreadsheet reads it that splits at something else
    for separator in ";|\t,\n":
        for piece in re.split(f"[{separator}\r\n]", written):
            assert not piece.strip(' "\t\r\n').startswith(FORMULAS), (separator, piece)


@given(
    st.lists(
        st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20)), min_size=1, max_size=4
    )
)
def test_what_machines_read_is_what_was_written(values: list[str | None]) -> None:
    written = line(cell(value, for_people=False) for value in values).decode()
    (row,) = csv.reader(io.StringIO(written, newline=""), strict=True)
    assert row == [value or "" for value in values]


@given(
    st.one_of(
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.decimals(allow_nan=False, allow_infinity=False),
    )
)
def test_a_number_stays_that_number(value: int | float | Decimal) -> None:
    assert Decimal(cell(value, for_people=True)) == Decimal(str(value))


def test_other_values_are_written_as_is_usual() -> None:
    values = [True, None, float("nan"), date(2026, 1, 2), ["a", "=b"], {"a": 1}]
    cells = [cell(value, for_people=False) for value in values]
    assert cells == ["true", "", "", '"2026-01-02"', '"[""a"", ""=b""]"', '"{""a"": 1}"']


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    with replacing(path) as first:
        first.write(b"first")
    assert path.read_bytes() == b"first"
    with pytest.raises(KeyboardInterrupt), replacing(path) as second:
        second.write(b"second")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"first" and list(tmp_path.iterdir()) == [path]
