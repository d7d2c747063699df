"""The same events give the same tables on PostgreSQL as on DuckDB, row by row; and a whole pass of Dagster runs on PostgreSQL."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from identity.decisions import LINK, WALL
from ingestion.simulator import SimulationConfig, simulate
from ml import schema as ml_schema
from orchestration.building import build
from orchestration.clock import mark_build_whole
from orchestration.collecting import land_folder
from orchestration.decision_records import Decision
from orchestration.resources import Platform, build_platform
from orchestration.stitching import Statistics
from orchestration.transform import AUDIENCES, dbt_build
from orchestration.truth import load_truth
from orchestration.warehouse import Connection, scalar, tables_of, write_table

pytestmark = pytest.mark.slow

WEFT = str(Path(sys.executable).with_name("weft"))
CONFIG = SimulationConfig(events=3_000, seed=5)
COMPARED = ("raw", "truth", "staging", "identity", "customer_360", "features", "predictions", "audiences")
OWN_COLUMNS = {"raw.landings": {"landing_id"}, "identity.memberships": {"component_id"}}
"""Made at random by each landing; and numbers of components, in the order of the rows that a warehouse gives."""
TOGETHER = "select identifier_id, min(identifier_id) over (partition by component_id) from identity.memberships"
"""What is decided together, whatever its number."""


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated shop, and clients that send what no one expects."""
    folder = tmp_path_factory.mktemp("events")
    simulate(CONFIG, folder)
    (folder / "truth").rename(folder.parent / f"{folder.name}-truth")
    (folder / "segment").mkdir()
    lines = [json.dumps(event, ensure_ascii=number % 2 == 0) for number, event in enumerate(hostile_events())]
    (folder / "segment" / "hostile.ndjson").write_text("\n".join(lines), encoding="utf-8")
    _write_rows(folder, "bitten", bitten_events())
    return folder


@pytest.fixture(scope="module")
def both(home: Path, events: Path, module_postgres_url: str) -> tuple[Platform, Platform]:
    """The installation on DuckDB and the one on PostgreSQL after the same landings, decisions, two builds and scores."""
    duckdb = build_platform(home=home / "parity-duckdb", installation_salt="parity")
    postgres = build_platform(
        home=home / "parity-postgres", installation_salt="parity", target="postgres", postgres_url=module_postgres_url
    )
    for platform in (duckdb, postgres):  # one after the other: dbt is started anew for another target
        for decision in DECISIONS:
            platform.state.decisions.add(decision, note="", made_by="parity", now=CONFIG.end)
        with platform.warehouse.writer() as connection:
            load_truth(connection, events.parent / f"{events.name}-truth")
        later = events / "simulator_web" / "bitten later.parquet"
        later.unlink(missing_ok=True)
        _land_and_build(platform, events, as_of=CONFIG.end - timedelta(days=1))
        _write_rows(events, later.stem, bitten_later())
        platform.state.decisions.withdraw(len(DECISIONS), by="parity", now=CONFIG.end)
        assert _land_and_build(platform, events, as_of=CONFIG.end).decided_in_full == "no"
        with duckdb.warehouse.open_served() as served:
            customers = served.rows("select customer_id from customer_360.customers order by customer_id")
        _score(platform, [customer_id for (customer_id,) in customers])
    return duckdb, postgres


def _land_and_build(platform: Platform, folder: Path, *, as_of: datetime) -> Statistics:
    with platform.warehouse.writer() as connection:
        for report in land_folder(connection, folder=folder, landed_at=CONFIG.end):
            assert report.problem is None, report.problem
    return build(platform, as_of=as_of, quiet=True)[0]


def test_every_published_table_holds_the_same_rows(both: tuple[Platform, Platform]) -> None:
    with ExitStack() as stack:
        one, other = (stack.enter_context(platform.warehouse.open_served()) for platform in both)
        tables = [f"{schema}.{table}" for schema in COMPARED for table in sorted(tables_of(one, schema))]
        assert tables == [f"{schema}.{table}" for schema in COMPARED for table in sorted(tables_of(other, schema))]
        filled = {table for table in tables if scalar(one, f"select count(*) from {table}")}
        assert {"audiences.high_value", "audiences.churn_risk", "features.customer_features"} <= filled
        assert {f"identity.{table}" for table in BITTEN} <= filled
        differing = {table: difference for table in tables if (difference := _difference(one, other, table))}
        assert sorted(one.rows(TOGETHER)) == sorted(other.rows(TOGETHER))
    assert differing == {}


def test_the_compared_history_has_something_for_every_rule(both: tuple[Platform, Platform]) -> None:
    with both[0].warehouse.open_served() as served:
        kept_apart = {rule for (rule,) in served.rows("select distinct kept_apart_by from identity.edges")}
        standings = {standing for (standing,) in served.rows("select distinct standing from identity.nodes")}
        users = dict(
            served.rows("select identifier_value, customer_id from identity.nodes where identifier_type = 'user_id'")
        )
        tablet = served.rows(
            "select stg.message_id, owners.customer_id from staging.stg_events as stg "
            "left join identity.event_customers as owners on stg.landed_seq = owners.landed_seq "
            "where stg.message_id like 'bitten-tablet-%' order by 1"
        )
    assert standings == {"member", "shared", "hot", "blocked"}
    assert kept_apart >= {"hot", "blocked", "forbidden", "set aside", "review", "shared"}
    assert users["linked-1"] == users["linked-2"] != users["unlinked-1"]
    assert users["unlinked-1"] != users["unlinked-2"]
    anna, ben = users["anna"], users["ben"]
    owners = {message.removeprefix("bitten-tablet-"): owner for message, owner in tablet}
    assert {message: owners[message] for message in ("anna", "after anna", "ben", "before ben", "after ben")} == {
        "anna": anna,
        "after anna": anna,
        "ben": ben,
        "before ben": ben,
        "after ben": ben,
    }
    assert owners["nobody"] not in (anna, ben, None)
    assert (owners["anna again"], owners["after anna again"]) == (anna, anna)


def test_every_text_is_ordered_by_its_bytes(both: tuple[Platform, Platform]) -> None:
    """Whatever collation the database has: PostgreSQL takes the one that a column names."""
    _, postgres = both
    query = """
        select n.nspname || '.' || c.relname || '.' || a.attname
        from pg_attribute as a join pg_class as c on a.attrelid = c.oid join pg_namespace as n on c.relnamespace = n.oid
        join pg_collation as o on a.attcollation = o.oid
        where c.relkind = 'r' and a.attnum > 0 and o.collname <> 'C' and n.nspname = any(?)
    """
    with postgres.warehouse.writer() as connection:
        assert connection.rows(query, [list(COMPARED)]) == []


def test_a_pass_of_dagster_runs_on_postgres_and_publishes(both: tuple[Platform, Platform]) -> None:
    settings = both[1].settings
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEFT_")} | {
        "WEFT_TARGET": "postgres",
        "WEFT_POSTGRES_URL": settings.postgres_dsn,
        "WEFT_HOME": str(settings.home),
        "WEFT_INSTALLATION_SALT": "parity",
    }
    unknown = settings.inbox / "nobody"
    unknown.mkdir(parents=True)
    (unknown / "a.csv").write_text("id\n1\n", encoding="utf-8")
    command = [WEFT, "run", "--as-of", CONFIG.end.isoformat()]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "profiles v1" in result.stdout
    assert "every_inbox_file_landed" in result.stdout
    command = [WEFT, "status"]
    status = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert status.returncode == 0, status.stderr[-3000:]
    assert "postgres" in status.stdout


def _score(platform: Platform, customers: Sequence[str]) -> None:
    """The same made-up scores for both, halves between two percents among them, and the audiences that come of them."""
    day = CONFIG.end.date()
    rank = range(len(customers))
    tables: dict[str, dict[str, tuple[str, list[Any]]]] = {
        "churn_scores": {"churn_probability": ("float8", [(number % 200) / 200 for number in rank])},
        "ltv_scores": {
            name: ("float8", [number / 2 + offset for number in rank])
            for days in (90, 365)
            for name, offset in zip(ml_schema.value_columns(days), (0.0, -1.0, 1.0), strict=True)
        },
    }
    with platform.warehouse.writer() as connection:
        for table, columns in tables.items():
            values = {"customer_id": customers, "as_of_date": [day] * len(customers)}
            values |= {name: given for name, (_, given) in columns.items()}
            types = {"customer_id": "varchar", "as_of_date": "date"} | {n: t for n, (t, _) in columns.items()}
            write_table(connection, f"predictions.{table}", pa.table(values), types)
    with platform.warehouse.dbt_turn():
        dbt_build(platform.settings, select=[AUDIENCES], quiet=True)
    with platform.warehouse.writer() as connection:
        mark_build_whole(connection, "scored")
    assert platform.warehouse.serve_newest_build() == "scored"


def _difference(one: Connection, other: Connection, table: str) -> str | None:
    """What is first found to differ, None where the rows are the same."""
    columns = "select column_name, data_type from information_schema.columns where table_schema = ? and table_name = ?"
    schema, _, name = table.partition(".")
    found = one.rows(f"{columns} order by ordinal_position", [schema, name])
    names = [column for column, _ in found if column not in OWN_COLUMNS.get(table, ())]
    json_columns = {names.index(column) for column, kind in found if kind == "JSON"}
    query = f"select {', '.join(names)} from {table}"
    rows, others = (sorted((_plain(row, json_columns) for row in c.rows(query)), key=_key) for c in (one, other))
    if len(rows) != len(others):
        return f"{len(rows)} rows against {len(others)}"
    for row, another in zip(rows, others, strict=True):
        for column, value, same in zip(names, row, another, strict=True):
            if not _is_same(value, same):
                return f"{column}: {value!r} against {same!r}"
    return None


def _plain(row: tuple[Any, ...], json_columns: set[int]) -> tuple[Any, ...]:
    """JSON by what it says: DuckDB writes the numbers in it anew."""
    values = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    return tuple(
        json.loads(value) if number in json_columns and value is not None else value
        for number, value in enumerate(values)
    )


def _key(row: tuple[Any, ...]) -> tuple[list[str], list[str]]:
    """Rows are put in order by what is exact; doubles only tell those apart that are the same otherwise."""
    exact = [repr(value) for value in row if not isinstance(value, float)]
    return exact, [f"{value:.6g}" for value in row if isinstance(value, float)]


def _is_same(value: Any, another: Any) -> bool:
    if isinstance(value, float) and isinstance(another, float):
        return math.isclose(value, another, rel_tol=1e-9, abs_tol=1e-12)
    return type(value) is type(another) and value == another


BITTEN = (
    "hot_identifiers",
    "set_aside",
    "refused_joins",
    "review_queue",
    "waiting_decisions",
    "merge_history",
    "superseded_keys",
)
"""Tables of the engine that only a rule or a decision fills."""
DECISIONS = (
    Decision(LINK, "link", ((("user_id", "linked-1"), ("user_id", "linked-2"), ("email", "never@seen.example")),)),
    Decision(WALL, "forbid", ((("user_id", "walled"),), (("email", "walled@mail.example"),))),
    Decision(LINK, "link", ((("user_id", "unlinked-1"), ("user_id", "unlinked-2")),)),
)
"""The last is withdrawn before the second build."""


def _seen(name: str, at: str, *, received: str | None = None, **carried: str) -> dict[str, Any]:
    """An event as the simulated web shop exports it, from June 2026 ('10 09:30')."""
    told, got = (datetime.fromisoformat(f"2026-06-{instant}") for instant in (at, received or at))
    row = dict.fromkeys(("properties", "traits", "context", "consent"), "{}") | carried
    what = {"message_id": f"bitten-{name}", "type": "track", "event": "Product Viewed"}
    return row | what | {"original_timestamp": told, "sent_at": got, "received_at": got}


def _write_rows(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> None:
    like = next((folder / "simulator_web").glob("*.parquet"))
    table = pa.Table.from_pylist(list(rows), schema=parquet.read_schema(like))
    parquet.write_table(table, folder / "simulator_web" / f"{name}.parquet")


def bitten_events() -> list[dict[str, Any]]:
    """A kiosk, a family's tablet, a till that books four people at once, a mail with too many logins, and who decisions name."""
    four = {"user_id": "till-1", "email": "till-2@mail.example", "phone": "+4930111222", "loyalty_id": "till-4"}
    return [
        *(_seen(f"kiosk-{n}", f"{n} 10:00", user_id=f"kiosk-{n}", device_id="bitten-kiosk") for n in range(10, 22)),
        _seen("tablet-anna", "10 10:00", user_id="anna", device_id="bitten-tablet"),
        _seen("tablet-after anna", "10 10:20", device_id="bitten-tablet"),
        _seen("tablet-before ben", "11 10:00", device_id="bitten-tablet"),
        _seen("tablet-ben", "11 10:10", user_id="ben", device_id="bitten-tablet"),
        _seen("tablet-after ben", "11 10:40", device_id="bitten-tablet"),
        _seen("tablet-nobody", "12 10:00", device_id="bitten-tablet"),
        *(_seen(f"till-{kind}", "13 10:00", **{kind: value}) for kind, value in four.items()),
        _seen("till", "14 10:00", anonymous_id="bitten-till", **four),
        _seen("walled", "15 10:00", user_id="walled", email="walled@mail.example"),
        _seen("busy-1", "15 11:00", user_id="busy-1", email="busy@mail.example"),
        _seen("busy-2", "15 12:00", user_id="busy-2", email="busy@mail.example"),
        *(_seen(name, "16 10:00", user_id=name) for name in ("linked-1", "linked-2", "unlinked-1", "unlinked-2")),
    ]


def bitten_later() -> list[dict[str, Any]]:
    """Known sets once more on the shared tablet, one of them learnt late and earlier than the set's first."""
    return [
        _seen("tablet-anna again", "29 10:00", received="30 12:00", user_id="anna", device_id="bitten-tablet"),
        _seen("tablet-after anna again", "29 10:25", received="30 12:00", device_id="bitten-tablet"),
        _seen("tablet-ben earlier", "08 09:00", received="12 13:00", user_id="ben", device_id="bitten-tablet"),
        _seen("walled again", "27 10:00", received="30 13:00", user_id="walled"),
    ]


def hostile_events() -> list[dict[str, Any]]:
    """What clients send that is valid JSON and little else: odd amounts, clocks, texts, consents, lists and cases."""
    amounts = [
        "12.5",
        " 7 ",
        "+3.",
        ".5",
        "1e2",
        1e2,
        "1_000",
        "n/a",
        "",
        "0x10",
        "12.34565",
        "9" * 30,
        99999999999999.5,
        True,
        [1],
    ]
    names = [
        "Öl",
        "öl",
        "Zebra",
        "apple",
        "Apple",
        "_under",
        "ß",
        "a b",
        "a-b",
        "a",
        'q"uote',
        "new\nline",
        "\u0000nul",
        "😀",
    ]
    consents: list[Any] = [
        {"advertising": True},
        {"Advertising": "true"},
        {"a.b/c~d": False},
        [],
        "yes",
        {"analytics": None},
        {},
    ]
    hosts = [" Max.Müller@EXAMPLE.com ", "mailto:a@b.de", "a@b", "\uff2dAX@b.de", "max@b.de\u200b"]
    events: list[dict[str, Any]] = []
    for number, amount in enumerate(amounts):
        line = {
            "product_id": f"p{number % 3}",
            "category": names[number % len(names)],
            "price": amount,
            "quantity": amounts[-1 - number],
        }
        products: list[Any] = [[line, line], {"no": "list"}, None, "text", [None, 1, "x"], [line]]
        properties = {
            "order_id": f"o{number // 2}",
            "revenue": amount,
            "currency": ["EUR", "usd", " gbp ", "", None][number % 5],
            "products": products[number % len(products)],
            "tax": amounts[number - 3],
        }
        for event in ("Order Completed", "Order Updated", "Order Refunded"):
            events.append({"event": event, "userId": f"u{number % 4}", "properties": properties})
    for number, name in enumerate(names):
        events.append(
            {"event": "Product Viewed", "anonymousId": name, "properties": {"product_id": name, "category": name}}
        )
        events.append({"event": "Product Viewed", "userId": "u1", "properties": {"product_id": name, "category": name}})
        context = {
            "campaign": {"source": name, "name": name},
            "location": {"country": name, "city": names[-number]},
            "channel": name,
        }
        events.append({"event": "Product Added", "userId": f"u{number % 4}", "anonymousId": name, "context": context})
    for number, consent in enumerate(consents):
        events.append(
            {"event": "Consent Given", "userId": f"u{number % 4}", "consent": consent, "context": {"consent": consent}}
        )
    for number, host in enumerate(hosts):
        events.append(
            {
                "type": "identify",
                "userId": f"u{number % 4}",
                "traits": {"email": host, "phone": f"0{number}151 / 2345678"},
            }
        )
    clocks = ["1900-01-01T00:00:00Z", "2026-06-30T23:59:59.999999Z", "9999-12-31T00:00:00Z", "2025-02-29T00:00:00Z"]
    for number, event in enumerate(events):
        event.setdefault("type", "track")
        event["messageId"] = f"hostile-{number}"
        event["timestamp"] = (
            clocks[number % 97]
            if number % 97 < len(clocks)
            else f"2026-0{1 + number % 6}-1{number % 10}T08:{number % 60:02d}:00Z"
        )
    return events
