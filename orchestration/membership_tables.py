"""Tables of the history of membership: who was in which audience from when to when and why, how many, and how audiences overlap.

The dbt project declares the same columns as sources; tests/test_contracts.py compares them.
"""

from orchestration.warehouse import Connection, create_table, first_row, scalar

MEMBERSHIPS = {
    "audience": "varchar",
    "customer_id": "varchar",
    "entered_at": "timestamp",
    "own_entered_at": "timestamp",
    "left_at": "timestamp",
    "entered_because": "varchar",
    "left_because": "varchar",
    "entered_kind": "varchar",
    "left_kind": "varchar",
    "entered_seq": "bigint",
    "left_seq": "bigint",
}
SIZES = {
    "audience": "varchar",
    "as_of": "timestamp",
    "change_seq": "bigint",
    "before_count": "bigint",
    "entered_count": "bigint",
    "left_count": "bigint",
    "member_count": "bigint",
}
OVERLAPS = {
    "audience": "varchar",
    "other_audience": "varchar",
    "customer_count": "bigint",
    "share_of_audience": "float8",
    "share_of_other": "float8",
    "as_of": "timestamp",
}
SETTLED = {"as_of": "timestamp", "change_seq": "bigint", "ledger_seq": "bigint"}
REDIRECTS = {"customer_id": "varchar", "living_customer_id": "varchar"}
LEDGER = {"ledger_seq": "bigint", "customer_id": "varchar"}
MERGE_HISTORY = {"change": "varchar", "customer_id_before": "varchar", "customer_id_after": "varchar"}

TABLES = {
    "audiences.memberships": MEMBERSHIPS,
    "audiences.sizes": SIZES,
    "audiences.overlaps": OVERLAPS,
    "control.settled_memberships": SETTLED,
    "control.settled_redirects": REDIRECTS,
}
"""What settling writes. `settled_memberships` is one row: the as-of, the last change and the newest customer id that were settled."""

_READ = {
    "identity.customer_redirects": REDIRECTS,
    "identity.customer_ids": LEDGER,
    "identity.merge_history": MERGE_HISTORY,
}
"""What settling reads of identity, and the least columns of it: on a warehouse without it nobody was ever merged."""


def ensure_tables(connection: Connection) -> None:
    """Create the tables that are missing, empty."""
    for table, columns in (TABLES | _READ).items():
        create_table(connection, table, columns)


def last_settled(connection: Connection) -> tuple[object, int, int]:
    """As-of of the last settlement (None before the first), the last change_seq and the newest ledger_seq that it saw."""
    row = first_row(connection, "select as_of, change_seq, ledger_seq from control.settled_memberships")
    return (row[0], int(row[1]), int(row[2])) if row else (None, 0, 0)


def newest_ledger_seq(connection: Connection) -> int:
    """The newest customer id ever given out, as its number in the ledger; 0 where there is none."""
    return int(scalar(connection, "select coalesce(max(ledger_seq), 0) from identity.customer_ids"))
