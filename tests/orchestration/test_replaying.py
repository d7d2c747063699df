"""`weft replay` on both targets: what was refused lands as if it had been good from the start, once, and nothing else changes."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ingestion.mappings import Mapping, load_mapping
from orchestration.cli import app, is_mistake
from orchestration.collecting import land_file
from orchestration.replaying import ReplayReport, Selection, replay
from orchestration.resources import Platform
from orchestration.warehouse import Connection
from tests.ingestion.landings import KEYLESS_SHOP, LANDED_AT, SHOP, csv, ndjson, order
from tests.orchestration.replayed import EVENTS, LATER, check_books, empty_platform, everything, know_currency, writer


@pytest.fixture(params=["duckdb", "postgres"])
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    """An empty installation on each target."""
    return empty_platform(request, tmp_path)


def land(connection: Connection, folder: Path, name: str, content: bytes, mapping: Mapping = SHOP) -> None:
    path = folder / name
    path.write_bytes(content)
    land_file(connection, path=path, mapping=mapping, landed_at=LANDED_AT)


def again(connection: Connection, mapping: Mapping = SHOP, **options: Any) -> ReplayReport:
    selection = Selection(**options.pop("select", {}))
    return replay(connection, selection, now=LATER, mapping=mapping, **options)


def foreign(id_: str, **changes: Any) -> dict[str, Any]:
    """An order in a currency that nobody knows yet."""
    return order(id_, currency="XTS", **changes)


def test_what_lands_is_what_another_import_would_have_landed(platform: Platform, tmp_path: Path) -> None:
    content = csv(order("1"), foreign("2"), foreign("3", email='"a, ""b"""'), b'4,2026-02-01 10:00:00,"1', order("5"))
    with writer(platform) as connection:
        land(connection, tmp_path, "a.csv", content)
        before = everything(connection)
        assert again(connection).sentence().endswith("3 stay refused (1 broken_csv, 2 unknown_currency).")
        assert everything(connection) == before
        know_currency(connection)
        report = again(connection)
        assert (report.taken, report.settled, report.accepted, dict(report.refused)) == (3, 2, 2, {"broken_csv": 1})
        check_books(connection)
        landed, settled = connection.rows(EVENTS), everything(connection)
        again(connection)
        assert everything(connection) == settled, "a second replay changes nothing"
        land(connection, tmp_path, "again.csv", content)
        assert connection.rows(EVENTS) == landed, "and so does another import"
        states = connection.rows("select reason, replayed_at from raw.rejected_events order by reason, replayed_at")
        assert states == [("broken_csv", None), ("unknown_currency", LATER), ("unknown_currency", LATER)]
        assert connection.rows("select origin, rows_read, accepted from raw.landings where origin = 'replay'") == [
            ("replay", 3, 2)
        ]


@pytest.mark.parametrize(
    ("platform", "suffix"),
    [*(("duckdb", suffix) for suffix in ("csv", "ndjson", "json", "parquet")), ("postgres", "ndjson")],
    indirect=["platform"],
)
def test_rows_without_ids_get_those_of_another_import_in_any_format_and_part_by_part(
    platform: Platform, tmp_path: Path, suffix: str
) -> None:
    """True duplicates, the same row in other bytes, and the same row in two files."""
    twin = foreign("7")
    files = {"a": [order("1"), twin, twin, foreign("8"), order("1")], "b": [twin, twin, twin, foreign("9")]}
    since = LANDED_AT + timedelta(minutes=1)
    contents = {name: written(rows, suffix, tmp_path) for name, rows in files.items()}
    with writer(platform) as connection:
        for name, content in contents.items():
            land(connection, tmp_path, f"{name}.{suffix}", content, KEYLESS_SHOP)
        know_currency(connection)
        connection.execute("update raw.rejected_events set rejected_at = ? where origin = ?", [since, f"b.{suffix}"])
        again(connection, KEYLESS_SHOP, select={"since": since})
        again(connection, KEYLESS_SHOP)
        replayed = connection.rows(EVENTS)
        assert len(replayed) == 2 + 3 + 2
        for name, content in contents.items():
            land(connection, tmp_path, f"{name}-again.{suffix}", content, KEYLESS_SHOP)
        assert connection.rows(EVENTS) == replayed


def written(rows: list[dict[str, Any]], suffix: str, folder: Path) -> bytes:
    if suffix == "csv":
        return csv(*rows)
    if suffix == "json":
        return json.dumps(rows, indent=2).encode()
    if suffix == "ndjson":
        return ndjson(*rows)
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return (folder / "rows.parquet").read_bytes()


def test_rows_that_say_the_same_in_other_bytes_are_all_there(platform: Platform, tmp_path: Path) -> None:
    row = foreign("7")
    spaced, tight = json.dumps(row).encode(), json.dumps(row, separators=(",", ":")).encode()
    content = ndjson(spaced, tight, spaced, tight, tight)
    with writer(platform) as connection:
        land(connection, tmp_path, "a.ndjson", content, KEYLESS_SHOP)
        know_currency(connection)
        assert again(connection, KEYLESS_SHOP).accepted == 5
        replayed = connection.rows(EVENTS)
        land(connection, tmp_path, "b.ndjson", content, KEYLESS_SHOP)
        assert connection.rows(EVENTS) == replayed


def test_broken_bytes_hold_up_nobody_and_stay(platform: Platform, tmp_path: Path) -> None:
    lines = [
        b'{"broken',
        b"\xff\xfe{}",
        b"[1]",
        b'{"id": "n", "at": "never"}',
        b" " + b"x" * (1 << 20),
        b'{"id": "\\u0000"}',
    ]
    rows = [b'1,"open', b"a,b", b"\xff,1,2,3,4", b'x,y,"z', b"6,2026-02-01,1,XTS,\xc3\xa9"]
    with writer(platform) as connection:
        land(connection, tmp_path, "a.ndjson", ndjson(*lines, foreign("good")))
        land(connection, tmp_path, "a.csv", csv(*rows, foreign("8")))
        before = connection.rows(
            "select reject_id, reason, detail, payload from raw.rejected_events order by reject_id"
        )
        again(connection)
        after = connection.rows("select reject_id, reason, detail, payload from raw.rejected_events order by reject_id")
        assert [[*row[:3], bytes(row[3])] for row in after] == [[*row[:3], bytes(row[3])] for row in before]
        know_currency(connection)
        assert again(connection).accepted == 3
        assert sorted(connection.rows("select message_id from raw.events")) == [("6",), ("8",), ("good",)]
        check_books(connection)


def test_only_what_was_asked_for_is_sent_and_a_dry_run_writes_nothing(platform: Platform, tmp_path: Path) -> None:
    with writer(platform) as connection:
        land(
            connection,
            tmp_path,
            "a.ndjson",
            ndjson(order("1"), foreign("2"), order("1", price=9), order("3", at="never")),
        )
        know_currency(connection)
        before = everything(connection)
        report = again(connection, is_dry=True)
        assert (report.taken, report.settled, dict(report.refused)) == (2, 1, {"bad_timestamp": 1})
        assert everything(connection) == before
        assert again(connection, select={"reason": "oversize"}).taken == 0
        assert again(connection, select={"source": "elsewhere"}).taken == 0
        assert again(connection, select={"since": LATER}).taken == 0
        conflicts = again(connection, select={"reason": "conflicting_body"})
        assert (conflicts.taken, dict(conflicts.refused)) == (1, {"conflicting_body": 1})
        assert everything(connection) == before
        assert again(connection, select={"source": "shop", "reason": "unknown_currency"}).accepted == 1


def test_a_mapping_that_is_not_there_is_a_sentence_and_the_others_are_sent(platform: Platform, tmp_path: Path) -> None:
    with writer(platform) as connection:
        land(connection, tmp_path, "a.ndjson", ndjson(foreign("1")))
        segment = {"messageId": "s", "type": "track", "event": "X", "userId": "u", "timestamp": "2026-02-01T00:00:00Z"}
        path = tmp_path / "calls.ndjson"
        path.write_bytes(ndjson(segment | {"properties": {"revenue": 1, "currency": "XTS"}}))
        land_file(connection, path=path, mapping=load_mapping("segment"), landed_at=LANDED_AT)
        know_currency(connection)
        report = replay(connection, Selection(), now=LATER)
        assert report.accepted == 1
        [(problem, rows)] = report.problems.items()
        assert "There is no mapping 'shop'" in problem
        assert rows == 1


def test_a_person_sees_what_was_refused_sends_it_again_and_is_told_what_became_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "home"))
    own = tmp_path / "shop.yml"
    own.write_text(SHOP.model_dump_json(exclude_none=True, exclude_defaults=True))  # JSON is YAML
    (tmp_path / "a.ndjson").write_bytes(ndjson(order("1"), foreign("2", email="ann@example.com")))

    def weft(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            assert is_mistake(result.exception)  # type: ignore[arg-type]
            return 2, str(result.exception)
        return result.exit_code, " ".join(result.output.split())

    assert weft("rejected") == (0, "Nothing was refused.")
    assert weft("import", str(tmp_path / "a.ndjson"), "--mapping", str(own))[0] == 0
    code, said = weft("rejected")
    assert "unknown_currency 1 0" in said
    assert "ann@" not in said + weft("rejected", "--list", "5")[1]
    reject_id = weft("rejected", "--list", "5")[1].split("settled ")[1].split()[0]
    assert json.loads(weft("rejected", "--show", reject_id)[1])["id"] == "2"
    assert weft("rejected", "--show", "zzzz")[0] == 2
    assert weft("replay")[0] == 2, "nobody knows the mapping by its name alone"
    code, said = weft("replay", "--mapping", str(own), "--dry-run")
    assert code == 0
    assert said.endswith("1 stay refused (1 unknown_currency). Nothing was written (--dry-run).")
    (tmp_path / "rates.csv").write_text("rate_date,currency,rate\n2020-01-01,XTS,2\n")
    weft("import", str(tmp_path / "rates.csv"), "--mapping", "exchange_rates")
    assert "1 are settled (1 rows are new)" in weft("replay", "--mapping", str(own), "--since", "2026-01-01")[1]
    assert weft("replay") == (0, "Nothing that was refused waits there.")
    assert "unknown_currency 0 1" in weft("rejected")[1]
