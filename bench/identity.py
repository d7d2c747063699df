"""Who is who: Weft's engine from evidence to memberships, beside components alone on the same pairs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import duckdb
import pandas as pd  # noqa: F401  (pyarrow imports it at its first array; imports are in nobody's time)

from bench.comparison import Comparison, Ratio
from bench.dictionary import connect_by_dictionary
from bench.evidence import ARRIVED, DECISIONS, HELD_BACK, PEOPLE_PER_SET, SETS, SHARE, SHARE_BITTEN, TABLES
from bench.harness import Contender, Facts, Run
from identity import tables
from identity.rules import load_rules
from identity.tables import conform
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.stitching import Statistics, stitch
from orchestration.warehouse import row_count, scalar

AS_OF = datetime(2027, 1, 1)
STEP = timedelta(days=30)
WHOLE, DECIDED = "evidence.duckdb", "decided.duckdb"
"""What was prepared: everything new to the engine; and 99 % of it decided, 1 % arrived since."""


def prepare(run: Run) -> Facts:
    """Write identity.evidence and its tables as dbt leaves them, and the same pairs for the reference."""
    with duckdb.connect(str(run.inputs / WHOLE)) as native:
        native.execute(SETS.format(size=run.size, people=PEOPLE_PER_SET, bitten=SHARE_BITTEN))
        native.execute(TABLES)
        native.execute(f"create table decided_by_people as {DECISIONS.format(bitten=SHARE_BITTEN)}")
        connection = DuckDBConnection(native)
        written = ("identity.evidence", "identity.identifiers", "identity.event_evidence", "decided_by_people", "pairs")
        counts = {name: row_count(connection, name) for name in written}
        per_set = scalar(connection, "select avg(len(identifiers)) from sets")
    shutil.copyfile(run.inputs / WHOLE, run.inputs / DECIDED)
    with duckdb.connect(str(run.inputs / DECIDED)) as native:
        native.execute(HELD_BACK.format(size=run.size))
        _stitch(native, [AS_OF])
        bitten = scalar(DuckDBConnection(native), SHARE)
        native.execute(ARRIVED)
    return counts | {"identifiers per set": round(per_set, 2), "percent of sets where rules bit": bitten}


def engine(run: Run) -> Facts:
    """The whole engine at one date: rules, components, ids, memberships, ledger, history, written in one transaction."""
    return _stitched(run, [AS_OF])


def engine_seven_dates(run: Run) -> Facts:
    """The same at seven dates, 30 days apart, as in a pass that trains models; evidence is spread over the year before."""
    return _stitched(run, [AS_OF - STEP * number for number in reversed(range(7))])


def increment(run: Run) -> Facts:
    """One date, 99 % of the sets decided before: the components that the other 1 % touches are decided again."""
    return _stitched(run, [AS_OF], prepared=DECIDED)


def _stitched(run: Run, dates: list[datetime], *, prepared: str = WHOLE) -> Facts:
    with _warehouse(run, prepared) as native:
        with run.clock.running():
            statistics = _stitch(native, dates)
            native.execute("checkpoint")
        facts = {
            "customers": statistics.customers,
            "hot": statistics.hot,
            "blocked": statistics.blocked,
            "shared": statistics.shared,
            "set aside": statistics.set_aside,
            "in review": statistics.in_review,
        }
        return facts | ({"decided again": statistics.decided_identifiers} if prepared == DECIDED else {})


def _stitch(native: duckdb.DuckDBPyConnection, dates: list[datetime]) -> Statistics:
    connection = DuckDBConnection(native)
    decisions = conform(connection.arrow("select * from decided_by_people"), tables.DECISIONS, "decisions")
    return stitch(connection, rules=load_rules(), decisions=decisions, dates=dates, salt="bench")


def components_only(run: Run) -> Facts:
    """Dictionary encoding in DuckDB, SciPy's components, identifiers with their component written back: no rule, no history."""
    with _warehouse(run, WHOLE) as connection:
        with run.clock.running():
            components = connect_by_dictionary(connection)
        return {"components": components}


@contextmanager
def _warehouse(run: Run, prepared: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of the prepared warehouse that this run may write to."""
    copy = run.scratch / "evidence.duckdb"
    shutil.copyfile(run.inputs / prepared, copy)
    with duckdb.connect(str(copy)) as connection:
        connection.execute("set preserve_insertion_order = false")
        yield connection


ENGINE, SEVEN, COMPONENTS = "Weft engine, 1 date", "Weft engine, 7 dates", "DuckDB dictionary + SciPy components"
INCREMENT = "Weft engine, 1 date, after 1 % new sets"

COMPARISON = Comparison(
    title="Identity: the whole engine beside components only",
    unit="sets of evidence",
    prepare=prepare,
    contenders=(
        Contender(ENGINE, engine),
        Contender(COMPONENTS, components_only),
        Contender(SEVEN, engine_seven_dates),
        Contender(INCREMENT, increment),
    ),
    ratios=(
        Ratio(ENGINE, COMPONENTS, at_most=2),
        Ratio(SEVEN, COMPONENTS),
        Ratio(SEVEN, ENGINE),
        Ratio(ENGINE, INCREMENT, at_least=4),
    ),
    note="Components alone join kiosks and blocked values, so their count is lower than that of the customers.",
)
