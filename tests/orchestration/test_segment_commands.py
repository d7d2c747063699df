"""`weft segments` on a served build: groups, moves and one customer."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from ml import schema
from orchestration.cli import app, is_mistake
from orchestration.segment_history import settle_segments
from orchestration.warehouse import write_table
from tests.orchestration.model_shop import TODAY, labelled, of_today, platform_at, write_shop

SEGMENTS = ("lapsed", "loyal")
WEEK_AGO = TODAY - timedelta(days=7)


@pytest.fixture
def weft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two settlements a week apart: 1 moved, 2 was merged into 1, 3 stayed, 4 is new."""
    platform = platform_at(tmp_path)
    rows = labelled(20)
    with platform.warehouse.writer() as connection:
        for day, found in ((WEEK_AGO, {"1": 0, "2": 0, "3": 1}), (TODAY, {"1": 1, "3": 1, "4": 0})):
            write_shop(connection, rows, of_today(day, 20), day)
            connection.execute("create schema if not exists identity")
            connection.execute(
                "create or replace table identity.customer_redirects as select * from "
                "(values ('1', '1'), ('2', '1'), ('3', '3'), ('4', '4')) as ids (customer_id, living_customer_id)"
            )
            columns = schema.PREDICTIONS["segments"]
            scores = [(customer, day, 7 + group, SEGMENTS[group], "v1") for customer, group in found.items()]
            table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in scores])
            write_table(connection, "predictions.segments", table, columns)
            settle_segments(connection, "v1")
    platform.warehouse.serve_newest_build()
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))

    def run(*arguments: str) -> list[str]:
        result = CliRunner().invoke(app, ["segments", *arguments])
        if isinstance(result.exception, Exception):
            assert is_mistake(result.exception)
            return [f"mistake: {result.exception}"]
        return [" ".join(line.split()) for line in result.output.splitlines() if line.strip()]

    return run


def test_the_groups_of_today_and_who_moved_between_them(weft: Any) -> None:
    said = weft()
    assert said[1].startswith("8 loyal 2 67% ")
    assert said[2].startswith("7 lapsed 1 33% ")
    assert said[3].startswith("Means per customer: days since the last order")
    assert said[4:] == [
        f"Moves since {WEEK_AGO}:",
        "from to customers",
        "lapsed loyal 1",
        "(new) lapsed 1",
    ]


def test_one_customer_with_the_ids_that_were_merged_into_it(weft: Any) -> None:
    assert weft("--customer", "2")[1:] == [
        f"{TODAY} loyal",
        f"{WEEK_AGO} {TODAY} lapsed moved",
        f"{WEEK_AGO} {TODAY} lapsed merged 2",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--days", "30"), "moves since 2025-03-26 cannot be told"),
        (("--customer", "99"), "has the id '99'"),
    ],
)
def test_what_cannot_be_told_is_one_sentence(weft: Any, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in weft(*arguments)[-1]
