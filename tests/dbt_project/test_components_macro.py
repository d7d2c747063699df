"""Components in SQL alone: the materialization `components` gives what SciPy gives, on every warehouse that it is written for."""

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import psycopg2
import pytest
import yaml
from dbt.cli.main import dbtRunner
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MACRO = Path(__file__).resolve().parents[2] / "dbt_project" / "macros" / "components.sql"
MODEL = "{{ config(materialized='components') }}\nselect a, b from pairs"
Pairs = list[tuple[str | None, str | None]]
Answer = list[tuple[str, int]]
Build = Callable[[Pairs], Answer]


def run_dbt(project: Path, profile: dict[str, Any]) -> None:
    """Build the one model of a project that has nothing but the macro under test."""
    (project / "macros").mkdir(exist_ok=True)
    (project / "models").mkdir(exist_ok=True)
    shutil.copy(MACRO, project / "macros")
    (project / "models" / "connected.sql").write_text(MODEL, encoding="utf-8")
    settings = {"name": "small", "version": "1.0.0", "profile": "small", "config-version": 2}
    (project / "dbt_project.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    profiles = {"small": {"target": "here", "outputs": {"here": profile}}}
    (project / "profiles.yml").write_text(yaml.safe_dump(profiles), encoding="utf-8")
    where = ["--project-dir", str(project), "--profiles-dir", str(project)]
    done = dbtRunner().invoke(["--no-send-anonymous-usage-stats", "--quiet", "run", *where])
    assert done.success, done.exception or [result.message for result in done.result]


@pytest.fixture
def on_duckdb(tmp_path: Path) -> Build:
    path = tmp_path / "pairs.duckdb"

    def build(pairs: Pairs) -> Answer:
        with duckdb.connect(str(path)) as native:
            native.execute("create or replace table pairs (a varchar, b varchar)")
            native.executemany("insert into pairs values (?, ?)", pairs)
        run_dbt(tmp_path, {"type": "duckdb", "path": str(path), "schema": "main"})
        with duckdb.connect(str(path)) as native:
            assert native.execute("select table_name from duckdb_tables() order by 1").fetchall() == [
                ("connected",),
                ("pairs",),
            ]
            return native.execute("select identifier, component from connected").fetchall()

    return build


@pytest.fixture
def on_postgres(tmp_path: Path, postgres_url: str) -> Build:
    def build(pairs: Pairs) -> Answer:
        with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
            cursor.execute("drop table if exists pairs")
            cursor.execute("create table pairs (a text, b text)")
            cursor.executemany("insert into pairs values (%s, %s)", pairs)
        given = psycopg2.extensions.parse_dsn(postgres_url)
        profile = {
            "type": "postgres",
            "host": given["host"],
            "port": int(given.get("port", 5432)),
            "user": given["user"],
            "password": given.get("password", ""),
            "dbname": given["dbname"],
            "schema": "public",
            "threads": 1,
        }
        run_dbt(tmp_path, profile)
        with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
            cursor.execute("select identifier, component from connected")
            return cursor.fetchall()

    return build


@pytest.fixture
def on_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    if not importlib.util.find_spec("pyspark"):
        pytest.skip("the extra spark is not installed")
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.sql.warehouse.dir", str(tmp_path / "spark"))
        .getOrCreate()
    )

    def build(pairs: Pairs) -> Answer:
        session.sql("drop table if exists pairs")
        session.createDataFrame(pairs, "a string, b string").write.saveAsTable("pairs")
        run_dbt(tmp_path, {"type": "spark", "method": "session", "host": "none", "schema": "default"})
        assert {row.tableName for row in session.sql("show tables in default").collect()} == {"connected", "pairs"}
        return [tuple(row) for row in session.sql("select identifier, component from default.connected").collect()]

    return build


@pytest.fixture(params=["on_duckdb", "on_postgres", "on_spark"])
def build(request: pytest.FixtureRequest) -> Build:
    return request.getfixturevalue(request.param)


def groups(answer: Sequence[tuple[str, int]]) -> set[frozenset[str]]:
    held: dict[int, set[str]] = {}
    for identifier, component in answer:
        held.setdefault(component, set()).add(identifier)
    assert sum(len(members) for members in held.values()) == len({identifier for identifier, _ in answer})
    return {frozenset(members) for members in held.values()}


def by_scipy(pairs: Pairs) -> set[frozenset[str]]:
    whole = [(a, b) for a, b in pairs if a is not None and b is not None]
    names = sorted({name for pair in whole for name in pair})
    code = {name: number for number, name in enumerate(names)}
    one, other = [code[a] for a, _ in whole], [code[b] for _, b in whole]
    graph = coo_array((np.ones(len(whole)), (one, other)), shape=(len(names), len(names)))
    _, label = connected_components(graph.tocsr(), directed=False)
    return groups(list(zip(names, label.tolist(), strict=True)))


def shapes() -> Pairs:
    """A chain, a hub, a ring, strangers, one alone, pairs said twice and turned round, halves of pairs, texts of all kinds."""
    random = np.random.default_rng(3)
    chain: Pairs = [(f"chain {link}", f"chain {link + 1}") for link in range(300)]
    hub: Pairs = [("hub", f"spoke {number}") for number in range(200)]
    ring: Pairs = [(f"ring {number}", f"ring {(number + 1) % 7}") for number in range(7)]
    drawn: Pairs = [(f"n{a}", f"n{b}") for a, b in random.integers(0, 400, (260, 2))]
    odd: Pairs = [("alone", "alone"), (None, "nobody"), ("nobody", None), ("é 'quoted'", ""), ("spoke 1", "hub")]
    return chain + hub + ring + drawn + odd


def test_components_are_those_of_scipy(build: Build) -> None:
    answer = build(shapes())
    assert len(answer) == len({identifier for identifier, _ in answer})
    assert groups(answer) == by_scipy(shapes())


def test_a_second_build_replaces_the_first_and_names_what_did_not_change_alike(build: Build) -> None:
    first = dict(build([("a", "b"), ("c", "d"), ("d", "e")]))
    again = dict(build([("e", "d"), ("d", "c"), ("x", "x")]))
    assert set(again) == {"c", "d", "e", "x"}
    assert {again[name] for name in "cde"} == {first[name] for name in "cde"}


def test_no_pairs_give_an_empty_table(on_duckdb: Build) -> None:
    assert on_duckdb([(None, "a")]) == []
