"""The tables of the sync ledger in the operator state. None of them holds personal data."""

import sqlalchemy as sa

from orchestration.state_tables import metadata

# One row per record that a sync ever wanted at its destination; clustered by sync, since that is how they are read.
sync_records = sa.Table(
    "sync_records",
    metadata,
    sa.Column("sync", sa.Text, primary_key=True),
    sa.Column("record_key", sa.Text, primary_key=True),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text),
    sa.Column("accepted_fingerprint", sa.Text),
    sa.Column("source", sa.BigInteger),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("is_unsure", sa.Boolean, nullable=False),
    sa.Column("next_try_at", sa.DateTime),
    sa.Column("words", sa.Text),
    sa.Column("remote_id", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("changed_at", sa.DateTime, nullable=False),
    sa.Column("sent_at", sa.DateTime),
    sa.Column("accepted_at", sa.DateTime),
    sqlite_with_rowid=False,
)
IS_OPEN = sync_records.c.status.in_(("pending", "sent"))
sa.Index(
    "sync_records_open",
    sync_records.c.sync,
    sync_records.c.next_try_at,
    sqlite_where=sa.text("status in ('pending', 'sent')"),
    postgresql_where=sa.text("status in ('pending', 'sent')"),
)

# One row per run; planned = accepted + refused + retried + quarantined + pending once it is over.
sync_runs = sa.Table(
    "sync_runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("sync", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("build_id", sa.Text),
    sa.Column("revision", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("words", sa.Text),
    sa.Column("members", sa.Integer, nullable=False),
    sa.Column("planned", sa.Integer, nullable=False),
    sa.Column("accepted", sa.Integer, nullable=False),
    sa.Column("refused", sa.Integer, nullable=False),
    sa.Column("retried", sa.Integer, nullable=False),
    sa.Column("quarantined", sa.Integer, nullable=False),
    sa.Column("pending", sa.Integer, nullable=False),
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("ended_at", sa.DateTime),
    sa.Index("sync_runs_newest", "sync", "started_at"),
)

# Append-only: one row per request (record_key null), and one per record that was not accepted.
sync_attempts = sa.Table(
    "sync_attempts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("sync", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("record_key", sa.Text),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("records", sa.Integer, nullable=False),
    sa.Column("accepted", sa.Integer, nullable=False),
    sa.Column("words", sa.Text),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("seconds", sa.Float),
    sa.Index("sync_attempts_newest", "sync", "at"),
    sqlite_autoincrement=True,
)

# One row per destination that ever wanted, or got, a rest.
sync_pauses = sa.Table(
    "sync_pauses",
    metadata,
    sa.Column("destination", sa.Text, primary_key=True),
    sa.Column("not_before", sa.DateTime),
    sa.Column("in_a_row", sa.Integer, nullable=False),
    sa.Column("words", sa.Text),
)
