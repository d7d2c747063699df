"""A warehouse with audiences and ids that merge and split, without dbt or the engine: what settling of membership reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from orchestration.audience_catalogue import Audience
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.membership_tables import ensure_tables
from orchestration.memberships import Settled, settle_memberships
from orchestration.postgres_connection import PostgresConnection, connect
from orchestration.warehouse import Connection, write_table

START = datetime(2026, 1, 1)
META = {"owner": "crm", "consent_purpose": "advertising", "destinations": ["redis"], "guards": {}}
MEMBER = {"customer_id": "varchar", "entered_because": "varchar"}
RULE_MEMBER = {"audience": "varchar", **MEMBER}
LEDGER = {"ledger_seq": "bigint", "customer_id": "varchar"}
HISTORY = {"change": "varchar", "customer_id_before": "varchar", "customer_id_after": "varchar"}
REDIRECTS = {"customer_id": "varchar", "living_customer_id": "varchar"}


def day(number: int) -> datetime:
    """The as-of of a build."""
    return START + timedelta(days=number)


def audience(name: str, kind: Any = "sql", **more: Any) -> Audience:
    """An audience as the catalogue gives it."""
    return Audience(name, kind, f"One row per customer of {name}.", f"hash of {name}", META, **more)


@contextmanager
def opened(where: str) -> Iterator[Connection]:
    """A connection to the DuckDB file or the PostgreSQL that `where` names."""
    if "://" in where:
        with closing(connect(where)) as session:
            yield PostgresConnection(session)
    else:
        with duckdb.connect(where) as native:
            native.execute("set threads = 1")
            yield DuckDBConnection(native)


@dataclass
class Shop:
    """Who is who (`living`: the id that holds each id now, None where nobody does), and builds of audiences on it."""

    connection: Connection
    living: dict[str, str | None] = field(default_factory=dict)
    splits: list[tuple[str, str]] = field(default_factory=list)

    def people(self, *ids: str) -> None:
        """New customers."""
        self.living |= {each: each for each in ids}

    def build(self, members: Mapping[str, Mapping[str, str | None]]) -> None:
        """Write identity as it stands and the members, with reasons, of each audience; names that begin with r_ are rules."""
        ensure_tables(self.connection)
        write = self._write
        write("identity.customer_ids", LEDGER, [(number, each) for number, each in enumerate(self.living, 1)])
        write("identity.customer_redirects", REDIRECTS, [pair for pair in self.living.items() if pair[1] is not None])
        write("identity.merge_history", HISTORY, [("split", *pair) for pair in self.splits])
        for name in [name for name in members if not name.startswith("r_")]:
            write(f"audiences.{name}", MEMBER, list(members[name].items()))
        ruled = [(name, *row) for name in members if name.startswith("r_") for row in members[name].items()]
        write("audiences.rule_members", RULE_MEMBER, ruled)

    def settle(self, members: Mapping[str, Mapping[str, str | None]], as_of: datetime, **more: Any) -> Settled:
        """Build, and settle who entered and left."""
        self.build(members)
        return settle(self.connection, members, as_of, **more)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the history: `query` is what follows `select`, from audiences.memberships as m."""
        what, _, rest = query.partition(" where ")
        return self.connection.rows(
            f"select {what} from audiences.memberships as m{f' where {rest}' if rest else ''} order by entered_seq"
        )

    def current(self) -> set[tuple[str, str]]:
        """Who is in what by the history."""
        rows = self.rows("audience, customer_id where left_seq is null")
        assert len(rows) == len(set(rows)), "somebody is in an audience twice"
        return set(rows)

    def everything(self) -> list[list[tuple[Any, ...]]]:
        """All that settling writes, to see whether anything changed."""
        tables = (
            "audiences.memberships",
            "audiences.sizes",
            "control.settled_redirects",
            "control.settled_memberships",
        )
        return [sorted(self.connection.rows(f"select * from {table}"), key=str) for table in tables]

    def _write(self, table: str, columns: Mapping[str, str], rows: list[tuple[Any, ...]]) -> None:
        types = {name: pa.int64() if type_ == "bigint" else pa.string() for name, type_ in columns.items()}
        arrays = [pa.array([row[place] for row in rows], types[name]) for place, name in enumerate(columns)]
        write_table(self.connection, table, pa.table(arrays, names=list(columns)), columns)


def settle(connection: Connection, names: Mapping[str, object], as_of: datetime, **more: Any) -> Settled:
    """Settle the audiences that are named."""
    found = [audience(name, "rule" if name.startswith("r_") else "sql") for name in names]
    return settle_memberships(connection, found, as_of, **more)
