"""Connected components of pairs in the warehouse, in full and kept up to date: what connects before any rule, as a table.

The dbt materialization `components` does the same in SQL alone. This way needs Python beside the warehouse and is faster, above all where
few pairs are new: those are contracted to what they join, and only the labels that merge are written.
"""

import numpy as np
import pyarrow as pa

from identity.components import connect
from orchestration.warehouse import Connection, row_count, scalar

_HASH = {"duckdb": "hash({})", "postgres": "hashtextextended({}, 0)"}
_CODES = (
    "create temporary table component_codes as select identifier, {hash} as hashed, "
    "cast(row_number() over () - 1 as integer) as code from ({identifiers}) as identifiers"
)
_IDENTIFIERS = "select a as identifier from {pairs} union select b from {pairs}"
_EDGES = """
    select one.code as a, other.code as b
    from (select {a} as a, {b} as b from {pairs}) as pairs
    inner join component_codes as one on pairs.a = one.{key}
    inner join component_codes as other on pairs.b = other.{key}
"""


def connect_pairs(connection: Connection, *, pairs: str, into: str) -> int:
    """Write `into` (identifier, component) anew from all pairs (a table with texts a and b, no nulls); the number of components.

    All or nothing. Texts become numbers in the warehouse, SciPy connects them. Cost: linear in pairs.
    """
    with connection.transaction():
        _drop(connection, "component_codes", "component_labels")
        identifiers = _IDENTIFIERS.format(pairs=pairs)
        connection.execute(_CODES.format(hash=_HASH[connection.dialect].format("identifier"), identifiers=identifiers))
        _analyze(connection, "component_codes")
        edges = _edges(connection, pairs)
        found, label = connect(*edges, row_count(connection, "component_codes"))
        _labels(connection, np.arange(len(label), dtype=np.int32), label)
        connection.execute(f"drop table if exists {into}")
        connection.execute(
            f"create table {into} as select identifier, component "
            "from component_codes inner join component_labels on component_codes.code = component_labels.code"
        )
        _drop(connection, "component_codes", "component_labels")
    return found


def connect_new_pairs(connection: Connection, *, pairs: str, into: str) -> int:
    """Take new pairs into what connect_pairs wrote; the number of labels that merged into another.

    All or nothing. Cost: linear in the new pairs and in the identifiers whose label changes, beside two scans of `into`.
    """
    with connection.transaction():
        _drop(connection, "component_codes", "component_labels")
        connection.execute(
            "create temporary table component_codes as select named.identifier, known.component, "
            "cast(row_number() over () - 1 as integer) as code "
            f"from ({_IDENTIFIERS.format(pairs=pairs)}) as named left join {into} as known on named.identifier = known.identifier"
        )
        _analyze(connection, "component_codes")
        a, b = _edges_by(connection, pairs, key="identifier", a="a", b="b")
        nodes = connection.arrow("select component from component_codes order by code")["component"]
        fresh = np.asarray(nodes.is_null())
        next_label = int(scalar(connection, f"select coalesce(max(component), -1) + 1 from {into}"))
        held = nodes.fill_null(-1).to_numpy().copy()
        held[fresh] = next_label + np.arange(int(fresh.sum()))
        labels, node = np.unique(held, return_inverse=True)
        _, group = connect(node[a].astype(np.int32), node[b].astype(np.int32), len(labels))
        least = np.full(int(group.max(initial=-1)) + 1, np.iinfo(np.int64).max)
        np.minimum.at(least, group, labels)
        merged = least[group]
        moved = np.flatnonzero((merged != labels) & (labels < next_label))
        _labels(connection, labels[moved], merged[moved])
        connection.execute(
            f"update {into} set component = component_labels.component from component_labels "
            f"where {into}.component = component_labels.code"
        )
        code = np.flatnonzero(fresh)
        _labels(connection, code, merged[node[code]])
        connection.execute(
            f"insert into {into} (identifier, component) select identifier, component_labels.component "
            "from component_codes inner join component_labels on component_codes.code = component_labels.code"
        )
        _drop(connection, "component_codes", "component_labels")
    return len(moved)


def _edges(connection: Connection, pairs: str) -> tuple[np.ndarray, np.ndarray]:
    """By code. Joining 64-bit hashes is faster than joining texts; two texts of one hash would make more edges than there are pairs."""
    form = _HASH[connection.dialect]
    a, b = _edges_by(connection, pairs, key="hashed", a=form.format("a"), b=form.format("b"))
    if len(a) == row_count(connection, pairs):
        return a, b
    return _edges_by(connection, pairs, key="identifier", a="a", b="b")


def _edges_by(connection: Connection, pairs: str, *, key: str, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
    found = connection.arrow(_EDGES.format(pairs=pairs, key=key, a=a, b=b))
    return found["a"].to_numpy(), found["b"].to_numpy()


def _labels(connection: Connection, code: np.ndarray, component: np.ndarray) -> None:
    _drop(connection, "component_labels")
    connection.execute("create temporary table component_labels (code bigint, component bigint)")
    connection.append(
        "component_labels",
        pa.table({"code": pa.array(code, pa.int64()), "component": pa.array(component, pa.int64())}),
    )
    _analyze(connection, "component_labels")


def _analyze(connection: Connection, table: str) -> None:
    if connection.dialect == "postgres":  # its planner knows nothing of a table that was written a moment ago
        connection.execute(f"analyze {table}")


def _drop(connection: Connection, *tables: str) -> None:
    for table in tables:
        connection.execute(f"drop table if exists {table}")
