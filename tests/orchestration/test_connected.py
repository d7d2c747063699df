"""Connected components in the warehouse: those of networkx, in full and whatever part of the pairs came later, on both warehouses."""

from pathlib import Path

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest

from orchestration import connected
from orchestration.connected import connect_new_pairs, connect_pairs
from orchestration.duckdb_warehouse import DuckDBWarehouse
from orchestration.postgres_warehouse import PostgresWarehouse
from orchestration.warehouse import Connection, Warehouse, write_table

Pairs = list[tuple[str, str]]
TEXTS = {"a": "varchar", "b": "varchar"}


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "duckdb":
        return DuckDBWarehouse(tmp_path / "warehouse.duckdb", tmp_path / "served")
    return PostgresWarehouse(request.getfixturevalue("postgres_url"))


def drawn(seed: int, *, nodes: int, count: int) -> Pairs:
    """Random pairs, some said twice, some of one with itself, with a hub and a chain."""
    random = np.random.default_rng(seed)
    pairs = [(f"n{a}", f"n{b}") for a, b in random.integers(0, nodes, (count, 2)).tolist()]
    pairs += [("hub", f"n{a}") for a in range(0, nodes, 40)] + [(f"c{link}", f"c{link + 1}") for link in range(60)]
    return [pairs[place] for place in random.permutation(len(pairs))]


def write(connection: Connection, table: str, pairs: Pairs) -> None:
    columns = {"a": pa.array([a for a, _ in pairs], pa.string()), "b": pa.array([b for _, b in pairs], pa.string())}
    write_table(connection, table, pa.table(columns), TEXTS)


def groups(connection: Connection) -> set[frozenset[str]]:
    held: dict[int, set[str]] = {}
    rows = connection.rows("select identifier, component from identity.connected")
    for identifier, component in rows:
        held.setdefault(component, set()).add(identifier)
    assert len({identifier for identifier, _ in rows}) == len(rows), "every identifier is in one component"
    return {frozenset(members) for members in held.values()}


def by_networkx(pairs: Pairs) -> set[frozenset[str]]:
    return {frozenset(members) for members in nx.connected_components(nx.Graph(pairs))}


@pytest.mark.parametrize("seed", range(3))
def test_in_full_and_in_parts_they_are_those_of_networkx(warehouse: Warehouse, seed: int) -> None:
    pairs = drawn(seed, nodes=400, count=250)
    with warehouse.writer() as connection:
        write(connection, "identity.some", pairs[: len(pairs) // 2])
        connect_pairs(connection, pairs="identity.some", into="identity.connected")
        assert groups(connection) == by_networkx(pairs[: len(pairs) // 2])
        for start in range(len(pairs) // 2, len(pairs), 60):
            write(connection, "identity.more", pairs[start : start + 60])
            connect_new_pairs(connection, pairs="identity.more", into="identity.connected")
            assert groups(connection) == by_networkx(pairs[: start + 60])
        write(connection, "identity.some", pairs)
        assert connect_pairs(connection, pairs="identity.some", into="identity.connected") == len(by_networkx(pairs))
        assert groups(connection) == by_networkx(pairs)


def test_texts_of_one_hash_are_kept_apart(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash that many texts share: what would happen once in a million years, every time."""
    monkeypatch.setattr(connected, "_HASH", dict.fromkeys(("duckdb", "postgres"), "cast(length({}) as bigint)"))
    pairs = drawn(5, nodes=100, count=30)
    with warehouse.writer() as connection:
        write(connection, "identity.some", pairs)
        connect_pairs(connection, pairs="identity.some", into="identity.connected")
        assert groups(connection) == by_networkx(pairs)


def test_no_pairs_connect_nobody(warehouse: Warehouse) -> None:
    with warehouse.writer() as connection:
        write(connection, "identity.some", [])
        assert connect_pairs(connection, pairs="identity.some", into="identity.connected") == 0
        assert connect_new_pairs(connection, pairs="identity.some", into="identity.connected") == 0
        assert groups(connection) == set()
