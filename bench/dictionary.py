"""The peer of the identity benchmarks: pairs of texts connected by dictionary encoding in DuckDB and SciPy, written back."""

from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.warehouse import row_count

CODES: Final = """
    create temp table codes as
    select identifier, cast(row_number() over () - 1 as integer) as code
    from (select a as identifier from pairs union select b from pairs)
"""
EDGES: Final = """
    select distinct one.code as a, other.code as b
    from pairs
    inner join codes as one on pairs.a = one.identifier
    inner join codes as other on pairs.b = other.identifier
"""


def connect_by_dictionary(native: duckdb.DuckDBPyConnection) -> int:
    """Write the table `components` (identifier, component) of the table `pairs` (a, b); gives the number of components."""
    native.execute(CODES)
    edges = native.execute(EDGES).fetchnumpy()
    count = row_count(DuckDBConnection(native), "codes")
    graph = coo_array((np.ones(len(edges["a"]), np.int8), (edges["a"], edges["b"])), shape=(count, count))
    components, label = connected_components(graph.tocsr(), directed=False)
    native.register("labels", pa.table({"code": np.arange(count, dtype=np.int32), "component": label}))
    native.execute("create table components as select identifier, component from codes inner join labels using (code)")
    native.execute("checkpoint")
    return int(components)
