"""A preview reads one build and nothing else of the machine, and is stopped where it takes too long or too much."""

from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

from orchestration.errors import PreviewError
from orchestration.limited_reading import limited_reading
from orchestration.resources import Platform
from orchestration.settings import load_settings
from tests.orchestration.rule_shop import fill, serve

ENDLESS = {
    "cross join": "select count(*) from range(100000) a, range(100000) b, range(100000) c where a.range + b.range = c.range",
    "a billion rows": "select sum(hash(range)) from range(100000000000)",
    "recursion": "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
}
ENDLESS_IN_POSTGRES = {
    "cross join": "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b where a + b = 7",
    "a billion rows": "select sum(n) from generate_series(1, 100000000000) n",
    "recursion": "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
}


@pytest.fixture
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    target: dict[str, Any] = {"home": tmp_path / "home"}
    if getattr(request, "param", "duckdb") == "postgres":
        target |= {"target": "postgres", "postgres_url": request.getfixturevalue("postgres_url")}
    platform = Platform(load_settings(**target))
    with platform.warehouse.writer() as connection:
        fill(connection)
    serve(platform.warehouse, "a")
    return platform


@pytest.mark.parametrize("query", ENDLESS)
def test_a_query_without_end_is_stopped_and_readers_go_on(platform: Platform, query: str) -> None:
    with platform.warehouse.open_served() as reader:
        stopped = pytest.raises(PreviewError, match=r"stopped (after 0\.5 seconds|at 64 MB)")
        with stopped, limited_reading(platform.warehouse, seconds=0.5, memory_mb=64) as served:
            served.rows(ENDLESS[query])
        assert reader.rows("select count(*) from audiences.profiles") == [(4,)]


@pytest.mark.parametrize("platform", ["postgres"], indirect=True)
def test_so_it_is_on_postgresql_which_may_only_be_read(platform: Platform) -> None:
    for query in ENDLESS_IN_POSTGRES.values():
        with (
            pytest.raises(PreviewError, match="stopped after"),
            limited_reading(platform.warehouse, seconds=0.3) as served,
        ):
            served.rows(query)
    with limited_reading(platform.warehouse) as served:
        assert served.rows("select count(*) from audiences.profiles") == [(4,)]
        for statement in ("create table audiences.mine (n integer)", "delete from audiences.profiles"):
            with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
                served.execute(statement)


def test_what_takes_too_much_memory_is_stopped(platform: Platform) -> None:
    with (
        pytest.raises(PreviewError, match="stopped at 32 MB"),
        limited_reading(platform.warehouse, memory_mb=32) as served,
    ):
        served.rows("select count(distinct hash(range)) from range(50000000)")


def test_files_extensions_and_settings_are_out_of_reach(platform: Platform, tmp_path: Path) -> None:
    secret, stolen = tmp_path / "secret.csv", tmp_path / "stolen.csv"
    secret.write_text("a\n1\n", encoding="utf-8")
    statements = [
        f"select * from read_csv('{secret}')",
        f"select * from read_text('{secret}')",
        f"select * from '{secret}'",
        f"select * from glob('{tmp_path}/*')",
        f"copy (select 1) to '{stolen}'",
        f"attach '{tmp_path / 'other.duckdb'}' as other",
        f"export database '{tmp_path / 'exported'}'",
        "install httpfs",
        "load httpfs",
        "set memory_limit = '100GB'",
        "set enable_external_access = true",
        "reset lock_configuration",
        "create table served.audiences.mine (n integer)",
        "delete from audiences.profiles",
        "update audiences.profiles set country = 'XX'",
    ]
    before = sorted(tmp_path.iterdir())
    with limited_reading(platform.warehouse) as served:
        for statement in statements:
            with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException, duckdb.CatalogException)):
                served.execute(statement)
    assert sorted(tmp_path.iterdir()) == before


def test_without_limits_the_same_statements_work_so_that_the_test_can_fail(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n", encoding="utf-8")
    with duckdb.connect() as native:
        assert native.execute(f"select * from read_csv('{secret}')").fetchall() == [(1,)]
        native.execute("set memory_limit = '1GB'")
