"""A small served warehouse that rules can be tried on: a few customers, their events, and one audience in SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from orchestration.clock import BUILDS, CURRENT_RUN
from orchestration.collecting import ensure_raw_tables
from orchestration.consent_purposes import PURPOSES
from orchestration.warehouse import Connection, Warehouse, create_table, write_table
from tests.orchestration.gated_shop import TABLES as GATED

AS_OF = datetime(2026, 3, 31, 12)
SQL_AUDIENCE = "lapsed_buyers"
"""One that the dbt project declares; its table is written here."""
PROFILES = {
    "customer_id": "varchar",
    "email": "varchar",
    "country": "varchar",
    "channels": "varchar",
    "order_count": "bigint",
    "net_revenue": "decimal(18,4)",
    "churn_probability": "float8",
    "is_identified": "boolean",
    "last_seen_at": "timestamp",
}
EVENTS = {
    "landed_seq": "bigint",
    "customer_id": "varchar",
    "event": "varchar",
    "occurred_at": "timestamp",
    "product_id": "varchar",
    "category": "varchar",
}
MEMBERS = {"customer_id": "varchar", "entered_because": "varchar"}
CUSTOMERS = [
    ("ada", "ada@example.com", "NL", "pos,web", 3, "120.5000", 0.1, True, 40),
    ("bob", "bob@example.com", "BE", "web", 1, "99.9900", 0.7, True, 2),
    ("cid", None, None, "web", 0, "0.0000", None, False, 1),
    ("dee", "dee@example.com", "NL", None, 2, "300.0000", 0.65, True, 30),
]
# days before the as-of, event, product
HAPPENED = {
    "ada": [(60, "Order Completed", "p1"), (40, "Product Viewed", "p1")],
    "bob": [(20, "Product Viewed", "p1"), (18, "Order Completed", "p1"), (2, "Product Viewed", "p2")],
    "cid": [(9, "Product Viewed", "p1"), (8, "Product Viewed", "p2"), (1, "Product Viewed", "p1")],
    "dee": [(31, "Order Completed", "p2"), (30, "Product Viewed", "p1")],
}


def fill(connection: Connection) -> None:
    """Write everything that a rule reads, and the row that makes it a build."""
    events = [
        {
            "landed_seq": seq,
            "customer_id": customer,
            "event": event,
            "occurred_at": AS_OF - timedelta(days=days),
            "product_id": product,
            "category": "shoes",
        }
        for seq, (customer, days, event, product) in enumerate(
            (customer, *each) for customer, happened in HAPPENED.items() for each in happened
        )
    ]
    write(connection, "customer_360.events", EVENTS, events)
    write_profiles(connection, CUSTOMERS)
    write(connection, f"audiences.{SQL_AUDIENCE}", MEMBERS, [{"customer_id": "ada", "entered_because": "long ago"}])
    create_table(connection, "control.current_run", CURRENT_RUN)
    connection.execute("delete from control.current_run")
    connection.execute("insert into control.current_run (run_id, as_of, run_seq) values ('r', ?, 1)", [AS_OF])
    create_table(connection, "control.builds", BUILDS)
    ensure_raw_tables(connection)
    for table, columns in GATED.items():
        create_table(connection, table, columns)
    consenting = [
        {"customer_id": customer, **{f"has_consent_{each}": True for each in PURPOSES}} for customer, *_ in CUSTOMERS
    ]
    write(connection, "customer_360.customers", dict(GATED["customer_360.customers"]), consenting)


def write_profiles(connection: Connection, customers: Sequence[tuple[Any, ...]]) -> None:
    """Replace the profiles; the last column is the days since the customer was seen."""
    rows = [dict(zip(PROFILES, [*values, AS_OF - timedelta(days=days)], strict=True)) for *values, days in customers]
    connection.execute("create schema if not exists audiences")
    connection.execute("drop table if exists audiences.profiles")
    create_table(connection, "audiences.profiles", PROFILES)
    for row in rows:
        marks = ", ".join("?" * len(row))
        connection.execute(f"insert into audiences.profiles values ({marks})", list(row.values()))


def write(connection: Connection, table: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Replace a table."""
    write_table(connection, table, pa.Table.from_pylist(rows), columns)


def serve(warehouse: Warehouse, build_id: str) -> None:
    """Let readers see what stands in the warehouse now."""
    with warehouse.writer() as connection:
        connection.execute(
            "insert into control.builds (build_id, as_of, completed_at) values (?, ?, ?)",
            [build_id, AS_OF, AS_OF + timedelta(hours=len(build_id))],
        )
    assert warehouse.serve_newest_build() == build_id
