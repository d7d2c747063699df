"""Components only: what connects before any rule, beside the obvious way and Splink's clustering; in full and after 1 % new pairs."""

import importlib.util
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import numpy as np
import pandas as pd  # noqa: F401  (pyarrow imports it at its first array; imports are in nobody's time)
import pyarrow as pa

from bench.comparison import Comparison, Ratio
from bench.dictionary import CODES, EDGES, connect_by_dictionary
from bench.harness import BenchError, Contender, Facts, Run
from bench.pairs import NAME_PAIRS, pair_codes
from orchestration.connected import connect_new_pairs, connect_pairs
from orchestration.duckdb_warehouse import DuckDBConnection

WHOLE, CONNECTED = "pairs.duckdb", "connected.duckdb"
"""What was prepared: all pairs; and the first 99 % of them connected, the rest in table `fresh`."""
NEW_SHARE = 100

SHAPE = "select sum(members), count(*), sum(members * members) from (select count(*) as members from components group by component)"


def prepare(run: Run) -> Facts:
    """Write the pairs, and for the increment what all but the last of them connect."""
    one, other = pair_codes(run.size)
    with duckdb.connect(str(run.inputs / WHOLE)) as native:
        native.register("pair_codes", pa.table({"place": np.arange(len(one)), "one": one, "other": other}))
        native.execute(NAME_PAIRS)
    shutil.copyfile(run.inputs / WHOLE, run.inputs / CONNECTED)
    with duckdb.connect(str(run.inputs / CONNECTED)) as native:
        held_back = run.size - run.size // NEW_SHARE
        native.execute(f"create table fresh as select * from pairs where rowid >= {held_back}")
        native.execute(f"delete from pairs where rowid >= {held_back}")
        connect_pairs(DuckDBConnection(native), pairs="pairs", into="components")
    return {}


def in_full(run: Run) -> Facts:
    """orchestration.connected on all pairs: hashes joined instead of texts, checked to be as many; SciPy; written back."""
    with _warehouse(run, WHOLE) as native:
        with run.clock.running():
            connect_pairs(DuckDBConnection(native), pairs="pairs", into="components")
            native.execute("checkpoint")
        return _found(native)


def after_new_pairs(run: Run) -> Facts:
    """orchestration.connected on the last 1 % of the pairs, the others connected before."""
    with _warehouse(run, CONNECTED) as native:
        with run.clock.running():
            connect_new_pairs(DuckDBConnection(native), pairs="fresh", into="components")
            native.execute("checkpoint")
        return _found(native)


def dictionary_and_scipy(run: Run) -> Facts:
    """Dictionary encoding by joins in DuckDB, SciPy's components, identifiers with their component written back."""
    with _warehouse(run, WHOLE) as native:
        with run.clock.running():
            connect_by_dictionary(native)
        return _found(native)


def splink_on_texts(run: Run) -> Facts:
    """Splink's clustering of the pairs as they are."""
    with _warehouse(run, WHOLE) as native:
        with run.clock.running():
            native.execute("create temp table nodes as select a as unique_id from pairs union select b from pairs")
            native.execute("create temp table edges as select distinct a as unique_id_l, b as unique_id_r from pairs")
            clusters = _clustered_by_splink(native)
            native.execute(
                f"create table components as select unique_id as identifier, cluster_id as component from {clusters}"
            )
            native.execute("checkpoint")
        return _found(native)


def splink_on_codes(run: Run) -> Facts:
    """Splink's clustering of pairs of integers, encoded before by the dictionary of DuckDB."""
    with _warehouse(run, WHOLE) as native:
        with run.clock.running():
            native.execute(CODES)
            native.execute("create temp table nodes as select code as unique_id from codes")
            native.execute(f"create temp table edges as select a as unique_id_l, b as unique_id_r from ({EDGES})")
            clusters = _clustered_by_splink(native)
            native.execute(
                "create table components as select identifier, cluster_id as component "
                f"from codes inner join {clusters} on codes.code = unique_id"
            )
            native.execute("checkpoint")
        return _found(native)


def _clustered_by_splink(native: duckdb.DuckDBPyConnection) -> str:
    from splink import DuckDBAPI  # noqa: PLC0415  (an extra)
    from splink.clustering import cluster_pairwise_predictions_at_threshold  # noqa: PLC0415

    logging.disable(logging.INFO)
    tables = native.table("nodes"), native.table("edges")
    clusters = cluster_pairwise_predictions_at_threshold(*tables, DuckDBAPI(native), "unique_id")
    return str(clusters.physical_name)


@contextmanager
def _warehouse(run: Run, prepared: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of the prepared warehouse that this run may write to; Splink is imported before anybody's clock runs."""
    if SPLINK_IS_HERE:
        importlib.import_module("splink.clustering")
    shutil.copyfile(run.inputs / prepared, run.scratch / prepared)
    with duckdb.connect(str(run.scratch / prepared)) as native:
        native.execute("set preserve_insertion_order = false")
        yield native


def _found(native: duckdb.DuckDBPyConnection) -> Facts:
    row = native.execute(SHAPE).fetchone()
    if row is None:
        raise BenchError("there are no components")
    return dict(zip(("identifiers", "components", "sum of squared sizes"), map(int, row), strict=True))


SPLINK_IS_HERE = importlib.util.find_spec("splink") is not None
WEFT, NEW, DICTIONARY = "Weft", "Weft, after 1 % new pairs", "DuckDB dictionary + SciPy"
TEXTS, CODED = "Splink on the texts", "Splink on integers encoded first"

COMPARISON = Comparison(
    title="Identity: components only",
    unit="pairs",
    prepare=prepare,
    contenders=(
        Contender(WEFT, in_full),
        Contender(DICTIONARY, dictionary_and_scipy),
        Contender(NEW, after_new_pairs),
        *((Contender(CODED, splink_on_codes), Contender(TEXTS, splink_on_texts)) if SPLINK_IS_HERE else ()),
    ),
    ratios=(
        Ratio(WEFT, DICTIONARY, at_most=1),
        Ratio(WEFT, NEW, at_least=20),
        *((Ratio(CODED, WEFT, at_least=2), Ratio(TEXTS, WEFT, at_least=6)) if SPLINK_IS_HERE else ()),
    ),
    note=""
    if SPLINK_IS_HERE
    else "Splink is not installed (extra `fuzzy`): at 10 M pairs the reference measured it at 1.8 and 6.5 times the dictionary.",
)
