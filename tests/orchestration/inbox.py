"""An inbox with every kind of row, the ledger of what it holds, and what must stand in `raw` after any kill.

The child processes of the kill tests land it (`python -m tests.orchestration.inbox`).
"""

import hashlib
import json
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg2

from orchestration import postgres_landing
from orchestration.duckdb_warehouse import ensure_file
from orchestration.landing import DuckDBTarget, land_folder
from orchestration.postgres_landing import land_folder_into_postgres
from orchestration.settings import load_settings

LANDED_AT = datetime(2026, 3, 1, 12)


@dataclass
class Ledger:
    """What was sent, row by row, and what must become of it: the first body of an id stands, bad rows are kept aside."""

    rows: int = 0
    bodies: dict[str, str] = field(default_factory=dict)
    refused: set[bytes] = field(default_factory=set)

    def add(self, line: bytes) -> None:
        self.rows += 1
        try:
            row = json.loads(line)
        except ValueError:
            self.refused.add(line)
            return
        body = _hash(row["properties"])
        if self.bodies.setdefault(row["messageId"], body) != body:
            self.refused.add(line)


def _hash(properties: Any) -> str:
    return hashlib.sha256(json.dumps(properties, sort_keys=True).encode()).hexdigest()


def fill_inbox(folder: Path, *, files: int, rows: int) -> Ledger:
    """Write `files` files of `rows` rows: 5 % repeated, 2 % late, 1 % broken, 1 % the same id with another body."""
    inbox, ledger = folder / "segment", Ledger()
    inbox.mkdir(parents=True)
    for file in range(files):
        lines = []
        for number in range(rows):
            id_ = f"m{file}-{number}"
            call = {"messageId": id_, "type": "track", "event": "Order Completed", "properties": {"order_id": id_}}
            call["timestamp"] = "2026-01-05T10:00:00Z" if number % 50 == 0 else "2026-02-05T10:00:00Z"
            lines.append(json.dumps(call).encode())
            if number % 20 == 0 and file:
                lines.append(lines[-1].replace(b"m%d-" % file, b"m%d-" % (file - 1)))  # stands in the file before
            if number % 100 == 7:
                lines.append(b'{"broken %d-%d' % (file, number))
            if number % 100 == 9:
                lines.append(lines[0].replace(b'"order_id"', b'"changed_%d"' % number))
        for line in lines:
            ledger.add(line)
        (inbox / f"{file}.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    return ledger


def query(where: str, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a warehouse, a DuckDB file or a PostgreSQL URL; none where raw has no tables yet."""
    if where.startswith("postgresql:"):
        with closing(psycopg2.connect(where)) as connection, connection.cursor() as cursor:
            cursor.execute("select to_regclass('raw.landings')")
            if cursor.fetchone() == (None,):
                return []
            cursor.execute(sql)
            return cursor.fetchall()
    if not Path(where).exists():
        return []
    with duckdb.connect(where) as connection:
        try:
            return connection.execute(sql).fetchall()
        except duckdb.CatalogException:
            return []


def check_books(where: str) -> None:
    """What stands is what the books say: no file torn, nothing beside them."""
    [(read, accepted, rejected, others, files)] = query(
        where,
        "select coalesce(sum(rows_read), 0), coalesce(sum(accepted), 0), coalesce(sum(rejected + conflicts), 0), "
        "coalesce(sum(duplicates), 0), count(distinct file_sha256) from raw.landings",
    ) or [(0, 0, 0, 0, 0)]
    assert read == accepted + rejected + others
    assert (query(where, "select count(*) from raw.events") or [(0,)]) == [(accepted,)]
    assert (query(where, "select count(*) from raw.rejected_events") or [(0,)]) == [(rejected,)]
    assert (query(where, "select count(*) from raw.landings") or [(0,)]) == [(files,)]


def check_ledger(where: str, ledger: Ledger) -> None:
    """Nothing lost, doubled, made up or changed."""
    stored = query(where, "select message_id, properties, landed_seq from raw.events order by landed_seq")
    found = {id_: _hash(json.loads(text) if isinstance(text, str) else text) for id_, text, _ in stored}
    assert Counter(id_ for id_, _, _ in stored) == Counter(ledger.bodies.keys())
    assert found == ledger.bodies
    assert [id_ for id_, _, _ in stored] == list(ledger.bodies)  # the order of the files
    assert len({seq for _, _, seq in stored}) == len(stored)
    kept = [bytes(payload) for (payload,) in query(where, "select payload from raw.rejected_events")]
    assert sorted(kept) == sorted(ledger.refused)
    assert query(where, "select sum(rows_read) from raw.landings") == [(ledger.rows,)]


def _two_transactions() -> None:
    """The broken variant: rows are committed before their books are written."""

    def run_in_duckdb(self: Any, statement: str, parameters: Any = ()) -> Any:
        if statement.startswith("insert into raw.landings"):
            self.scratch.execute("commit; begin")
        return self.scratch.execute(statement, list(parameters)).fetchall()

    def run_in_postgres(self: Any, statement: str, parameters: Any = ()) -> Any:
        if statement.startswith("insert into raw.landings"):
            self.connection.commit()
        return postgres_landing._run(self.connection, statement.replace("?", "%s"), parameters)

    DuckDBTarget.run = run_in_duckdb  # type: ignore[method-assign]
    postgres_landing._PostgresTarget.run = run_in_postgres  # type: ignore[method-assign]


def main(where: str, folder: str, variant: str) -> None:
    load_settings()  # arms WEFT_CRASH_AT
    if variant == "two-transactions":
        _two_transactions()
    if where.startswith("postgresql:"):
        with closing(psycopg2.connect(where)) as connection:
            reports = list(land_folder_into_postgres(connection, folder=folder, landed_at=LANDED_AT))
    else:
        ensure_file(Path(where))
        with duckdb.connect(where) as connection:
            reports = list(land_folder(connection, folder=folder, landed_at=LANDED_AT))
    for report in reports:
        print(report.sentence())
    sys.exit(3 if any(report.problem for report in reports) else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
