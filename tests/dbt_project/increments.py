"""An installation that is built run by run, killed in between, and built again from nothing beside; dbt runs in a forked process each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from identity.rules import load_rules
from identity.tables import DECISIONS
from ingestion.envelope import EVENTS
from orchestration.clock import mark_build_whole, start_run
from orchestration.collecting import ensure_raw_tables
from orchestration.duckdb_warehouse import DuckDBWarehouse
from orchestration.settings import Settings
from orchestration.state import State
from orchestration.stitching import stitch
from orchestration.transform import AUDIENCES, CUSTOMERS, DBT_PROJECT, EVIDENCE, PASS_VARS
from orchestration.warehouse import Connection, scalar
from tests.forked import PROCESSES

SCHEMAS = ("identity", "customer_360", "features", "audiences")
OF_THE_RUN = {"touched_evidence", "touched_orders", "touched_refunds", "touched_customers", "order_evidence"}
"""Tables that say what a run has to do, not what it came to."""
COMPARED = "select columns(lambda c: c <> 'changed_seq')"
"""All but the column that says in which run something changed."""
NO_DECISIONS = DECISIONS.empty_table()
_ARROW_TYPES = {"BIGINT": pa.int64(), "BOOLEAN": pa.bool_(), "TIMESTAMP": pa.timestamp("us")}


def _dbt(project: Path, warehouse: Path, arguments: Sequence[str]) -> None:
    from dbt.cli.main import dbtRunner

    os.environ["WEFT_DUCKDB_PATH"] = str(warehouse)
    folders = [
        "--project-dir",
        str(project),
        "--profiles-dir",
        str(project),
        "--target-path",
        str(project / "target" / "increments"),
    ]
    options = ["--vars", PASS_VARS, "--no-version-check", *folders]
    result = dbtRunner().invoke(["--quiet", "--log-level-file", "none", *arguments, *options])
    os._exit(0 if result.success else 1)


def dbt(warehouse: Path, arguments: Sequence[str], *, project: Path = DBT_PROJECT) -> None:
    """One dbt command; a process of its own, so that the warehouse's lock and file are free afterwards."""
    process = PROCESSES.Process(target=_dbt, args=(project, warehouse, arguments))
    process.start()
    process.join()
    assert process.exitcode == 0, f"dbt {' '.join(arguments)} failed"


@dataclass
class Shop:
    """A warehouse in `home` that events are put into directly, built with the dbt project at `project`."""

    home: Path
    project: Path = DBT_PROJECT
    landed: int = 0

    @property
    def warehouse(self) -> DuckDBWarehouse:
        return DuckDBWarehouse(self.home / "warehouse.duckdb", self.home / "served")

    def land(self, events: Sequence[dict[str, object]]) -> None:
        """Append events (columns of raw.events; what is missing is null) in the order in which they land."""
        rows = []
        for event in events:
            self.landed += 1
            rows.append({column: event.get(column) for column in EVENTS.column_names} | {"landed_seq": self.landed})
        schema = pa.schema([(column.name, _ARROW_TYPES.get(column.type, pa.string())) for column in EVENTS.columns])
        with self.warehouse.writer() as connection:
            ensure_raw_tables(connection)
            connection.append("raw.events", pa.Table.from_pylist(rows, schema=schema))

    def run(self, as_of: datetime, *, until: str | None = None, decisions: pa.Table = NO_DECISIONS) -> None:
        """One pass with the decisions in force; with `until` it is killed when that model of the customers' step (or those, and
        what they need) is built."""
        settings = Settings(home=self.home)
        state, rules = State(settings.state_url), load_rules(None)
        with self.warehouse.writer() as connection:
            dates = start_run(connection, run_id="run", as_of=as_of, settings=settings, state=state, rules=rules)
        dbt(self.warehouse.path, ["run", "--select", EVIDENCE], project=self.project)
        with self.warehouse.writer() as connection:
            stitch(connection, rules=rules, decisions=decisions, dates=dates, salt="tests")
        rest = [CUSTOMERS, AUDIENCES] if until is None else [f"{CUSTOMERS},+{model}" for model in until.split()]
        dbt(self.warehouse.path, ["run", "--select", *rest], project=self.project)
        if until is None:
            with self.warehouse.writer() as connection:
                mark_build_whole(connection, f"build-{as_of}-{self.landed}")

    def bitten(self) -> set[str]:
        """Which of the rules that take events from their first identifier have had something to do."""
        with self.warehouse.writer() as connection:
            counts = {
                "shared": "identity.memberships where valid_from is not null",
                "review": "identity.review_queue",
            }
            return {name for name, rows in counts.items() if scalar(connection, f"select count(*) from {rows}")}

    def misattributed(self) -> dict[datetime, dict[int, tuple[str | None, str | None]]]:
        """By date in use, the events of which the models say another owner than the rule read event by event does: (said, read)."""
        with self.warehouse.writer() as connection:
            said = {
                date: dict(connection.rows(_SAID_AT, [date]))
                for (date,) in connection.rows("select as_of from control.feature_dates")
            }
            [(as_of,)] = connection.rows("select as_of from control.current_run")
            assert said[as_of] == dict(
                connection.rows("select landed_seq, customer_id from identity.event_customers")
            ), "the map of now is not that of the run's own date"
            read = {date: _owners_at(connection, date) for date in said}
        return {
            date: {
                event: (said[date].get(event), owner)
                for event, owner in owners.items()
                if said[date].get(event) != owner
            }
            for date, owners in read.items()
        }

    def differences(self) -> dict[str, list[tuple[object, ...]]]:
        """Rows that only the warehouse as it stands has, and rows that only the same models built from nothing have, by table."""
        rebuilt = self.home / "rebuilt.duckdb"
        shutil.copyfile(self.warehouse.path, rebuilt)
        with duckdb.connect(str(rebuilt)) as native:
            native.execute(
                "update control.current_run set since_run_seq = null, since_as_of = null, since_landed_seq = null"
            )
            native.execute("delete from control.standing_dates")
        dbt(rebuilt, ["run", "--full-refresh"])
        with duckdb.connect(str(self.warehouse.path), read_only=True) as native:
            native.execute(f"attach '{rebuilt}' as rebuilt (read_only)")
            found: dict[str, list[tuple[object, ...]]] = {}
            for table in _tables(native):
                for side, one, other in (("stands", table, f"rebuilt.{table}"), ("rebuilt", f"rebuilt.{table}", table)):
                    rows = native.execute(f"{COMPARED} from {one} except all {COMPARED} from {other}").fetchall()
                    if rows:
                        found.setdefault(table, []).extend((side, *row) for row in rows)
        return found


_SAID_AT = """
    select event_evidence.landed_seq, known_evidence.customer_id
    from features.known_evidence
    inner join identity.event_evidence
        on known_evidence.evidence_id = event_evidence.evidence_id and event_evidence.known_at < known_evidence.as_of
        and (known_evidence.valid_from is null
        or (event_evidence.ordered_at >= known_evidence.valid_from and event_evidence.ordered_at < known_evidence.valid_to))
    where known_evidence.as_of = ?
"""


def _owners_at(connection: Connection, date: datetime) -> dict[int, str | None]:
    """Whose each event known before a date is: event by event, from the tables of the engine."""
    known = "known_from <= ? and (known_to is null or ? < known_to)"
    waiting = {
        row[0] for row in connection.rows(f"select evidence_id from identity.review_queue where {known}", [date, date])
    }
    held: dict[str, list[tuple[str, datetime | None, datetime | None]]] = {}
    columns = "identifier_id, customer_id, valid_from, valid_to"
    for identifier, *rest in connection.rows(f"select {columns} from identity.memberships where {known}", [date, date]):
        held.setdefault(identifier, []).append(tuple(rest))
    carried: dict[int, list[tuple[bool, int, str, str]]] = {}
    for event, *identifier in connection.rows(
        "select landed_seq, not is_strong, priority, identifier_value, identifier_id "
        "from identity.event_identifiers inner join control.identifier_types using (identifier_type)"
    ):
        carried.setdefault(event, []).append(tuple(identifier))
    found: dict[int, str | None] = {}
    for event, evidence, at in connection.rows(
        "select landed_seq, evidence_id, ordered_at from identity.event_evidence where known_at < ?", [date]
    ):
        owned = [each for each in sorted(carried.get(event, [])) if each[3] in held]
        strong = [each for each in owned if not each[0] and evidence not in waiting]
        own = [each for each in owned if each[0] and held[each[3]][0][1] is None]
        shared = [each for each in owned if each[0] and held[each[3]][0][1] is not None]
        first = (strong or own or shared or [None])[0]
        periods = held[first[3]] if first else []
        [found[event]] = [
            customer for customer, since, until in periods if since is None or since <= at < (until or since)
        ] or [None]
    return found


def _tables(native: duckdb.DuckDBPyConnection) -> list[str]:
    query = "select table_schema, table_name from information_schema.tables where table_catalog = current_database()"
    tables = native.execute(f"{query} order by all").fetchall()
    return [f"{schema}.{name}" for schema, name in tables if schema in SCHEMAS and name not in OF_THE_RUN]
