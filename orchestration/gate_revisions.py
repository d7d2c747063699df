"""A number for each kind of fact that the gate obeys; it grows in the transaction that changes them."""

import sqlalchemy as sa

from orchestration.state_tables import metadata

# One row per kind of fact that was ever changed.
gate_revisions = sa.Table(
    "gate_revisions",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
)


def bump(connection: sa.Connection, name: str) -> None:
    """Say, in this transaction, that facts of this kind changed."""
    table = gate_revisions
    changed = connection.execute(
        table.update().where(table.c.name == name).values(revision=table.c.revision + 1)
    ).rowcount
    if not changed:
        connection.execute(table.insert().values(name=name, revision=1))


def revision(engine: sa.Engine, name: str) -> int:
    """The number of this kind of fact; 0 where there never was one."""
    with engine.begin() as connection:
        query = sa.select(gate_revisions.c.revision).where(gate_revisions.c.name == name)
        return connection.scalar(query) or 0
