"""Whole builds for readers of PostgreSQL: each in schemas of its own, and views of the current one under stable names.

`build_<n>_<schema>` hold build n: copies of its tables, and views on the event-level ones, bounded at its newest event.
`served_<schema>` are what BI tools read: views of the current build, swapped in one transaction.
"""

import logging
import re
from dataclasses import dataclass

import psycopg2
import psycopg2.errors

from orchestration.postgres_connection import PostgresConnection, renamed_schemas
from orchestration.warehouse import KEEP_BUILDS, scalar, tables_of

log = logging.getLogger(__name__)

SERVED = "served_builds"
"""control.served_builds: one row per build that can be read; the one with the highest serve_seq is the current one."""
SCHEMAS = ("raw", "control", "truth", "staging", "identity", "customer_360", "features", "predictions", "audiences")
EVENT_LEVEL = ("raw.events", "staging.stg_events", "identity.event_identifiers", "identity.event_evidence")
"""Append-only tables with landed_seq: too big to copy, and what a build saw of them never changes."""
RETIRED = "weft_retired"
"""Where dbt's macro drop_table puts a table that a served build still reads."""
READERS_LOCK = 0x57656675
NEWEST_EVENT = """
    select coalesce(landed_seq, (select max(landed_seq) from raw.events), 0) from control.builds where build_id = ?
"""
"""The newest event that a build saw; an analyst's own build has no bound: it saw what there was when it was served."""
PATIENCE = "2s"
"""How long dropping waits for a reader before it leaves the rest to the next time."""


READ = re.compile(r"\b(?:FROM|JOIN)\s+\(*(\w+)\.(\w+)")
"""What a view reads, in the form that pg_get_viewdef gives its query."""


@dataclass(frozen=True)
class Relation:
    """One table or view of the warehouse; `definition` is a view's query."""

    schema: str
    name: str
    definition: str | None


def served_build(connection: PostgresConnection) -> str | None:
    """Id of the current build, None where there is none."""
    if SERVED not in tables_of(connection, "control"):
        return None
    build_id = scalar(connection, f"select build_id from control.{SERVED} order by serve_seq desc limit 1")
    return None if build_id is None else str(build_id)


def pin(connection: PostgresConnection, build_id: str | None) -> dict[str, str] | None:
    """Keep a build (the current one by default) from being dropped while this session lives; its schemas by their names.

    None where it is not served.
    """
    if SERVED not in tables_of(connection, "control"):
        return None
    where = "" if build_id is None else "where build_id = ?"
    query = f"select serve_seq from control.{SERVED} {where} order by serve_seq desc limit 1"
    parameters = [] if build_id is None else [build_id]
    while (found := scalar(connection, query, parameters)) is not None:
        connection.execute("select pg_advisory_lock_shared(?, ?)", [READERS_LOCK, found])
        if scalar(connection, f"select count(*) from control.{SERVED} where serve_seq = ?", [found]):
            return _schemas(int(found))
        connection.execute("select pg_advisory_unlock_shared(?, ?)", [READERS_LOCK, found])  # dropped meanwhile
    return None


def publish(connection: PostgresConnection, build_id: str) -> None:
    """Copy the build and lead readers to it, all in one transaction; the caller is the only writer."""
    connection.execute(
        f"create table if not exists control.{SERVED} (serve_seq integer primary key, build_id varchar, served_at timestamp)"
    )
    relations = _relations(connection)
    with connection.transaction():
        seq = int(scalar(connection, f"select coalesce(max(serve_seq), 0) + 1 from control.{SERVED}"))
        schemas = _schemas(seq)
        landed_seq = int(scalar(connection, NEWEST_EVENT, [build_id]))
        for name in schemas.values():
            connection.execute(f"create schema {name}")
        for relation in _in_order(relations):
            connection.execute(_copy_statement(relation, schemas, landed_seq))
        _swap_views(connection, seq, relations)
        connection.execute(
            f"insert into control.{SERVED} values (?, ?, cast(now() at time zone 'UTC' as timestamp))", [seq, build_id]
        )


def drop_old(connection: PostgresConnection) -> None:
    """Drop the views that were swapped out, builds beyond the newest few, and retired tables that nothing reads any more.

    What somebody reads right now is left for the next time.
    """
    connection.execute(f"set lock_timeout = '{PATIENCE}'")
    for (schema,) in connection.rows(r"select nspname from pg_namespace where nspname like 'served\_old\_%'"):
        _try_to_drop(connection, [schema])
    old = f"select serve_seq from control.{SERVED} order by serve_seq desc offset {KEEP_BUILDS}"
    for (seq,) in connection.rows(old):
        if not scalar(connection, "select pg_try_advisory_lock(?, ?)", [READERS_LOCK, seq]):
            continue
        if _try_to_drop(connection, [*_schemas(seq).values()]):
            connection.execute(f"delete from control.{SERVED} where serve_seq = ?", [seq])
        connection.execute("select pg_advisory_unlock(?, ?)", [READERS_LOCK, seq])
    for table in sorted(tables_of(connection, RETIRED)):
        try:
            connection.execute(f'drop table {RETIRED}."{table}"')
        except (psycopg2.errors.DependentObjectsStillExist, psycopg2.errors.LockNotAvailable):
            log.debug("%s is still read by a served build", table)
    connection.execute("set lock_timeout = 0")


def _schemas(seq: int) -> dict[str, str]:
    return {name: f"build_{seq}_{name}" for name in SCHEMAS}


def _relations(connection: PostgresConnection) -> list[Relation]:
    """Tables and views of the warehouse's schemas but the list of builds itself and what dbt left half done."""
    query = r"""
        select n.nspname, c.relname, case when c.relkind = 'v' then pg_get_viewdef(c.oid) end
        from pg_class as c join pg_namespace as n on c.relnamespace = n.oid
        where c.relkind in ('r', 'v', 'p') and c.relname not like '%\_\_dbt\_%' and n.nspname = any(?)
        order by n.nspname, c.relname
    """
    found = [Relation(*row) for row in connection.rows(query, [list(SCHEMAS)])]
    return [relation for relation in found if (relation.schema, relation.name) != ("control", SERVED)]


def _in_order(relations: list[Relation]) -> list[Relation]:
    """Every view after what it reads."""
    ordered = [relation for relation in relations if relation.definition is None]
    views = [relation for relation in relations if relation.definition is not None]
    while views:
        waiting = {(view.schema, view.name) for view in views}
        ready = [view for view in views if waiting.isdisjoint(READ.findall(view.definition or ""))]
        assert ready, "views do not read each other in a circle"
        ordered += ready
        views = [view for view in views if view not in ready]
    return ordered


def _copy_statement(relation: Relation, schemas: dict[str, str], landed_seq: int) -> str:
    target = f'{schemas[relation.schema]}."{relation.name}"'
    if relation.definition is not None:
        return f"create view {target} as {renamed_schemas(relation.definition, schemas)}"
    source = f'{relation.schema}."{relation.name}"'
    if f"{relation.schema}.{relation.name}" in EVENT_LEVEL:
        return f"create view {target} as select * from {source} where landed_seq <= {landed_seq}"
    return f"create table {target} as select * from {source}"


def _swap_views(connection: PostgresConnection, seq: int, relations: list[Relation]) -> None:
    """Put views of the new build under the stable names; who might read the old ones may read these."""
    for name in SCHEMAS:
        connection.execute(f"create schema served_next_{name}")
    for relation in relations:
        connection.execute(
            f'create view served_next_{relation.schema}."{relation.name}" as '
            f'select * from {_schemas(seq)[relation.schema]}."{relation.name}"'
        )
    existing = {schema for (schema,) in connection.rows("select nspname from pg_namespace")}
    for name in SCHEMAS:
        if f"served_{name}" in existing:
            _grant_as_before(connection, f"served_{name}", f"served_next_{name}")
            connection.execute(f"alter schema served_{name} rename to served_old_{seq}_{name}")
        connection.execute(f"alter schema served_next_{name} rename to served_{name}")


def _grant_as_before(connection: PostgresConnection, before: str, now: str) -> None:
    query = """
        select distinct quote_ident(grantee.rolname) from pg_namespace as n
        cross join lateral aclexplode(n.nspacl) as granted join pg_roles as grantee on granted.grantee = grantee.oid
        where n.nspname = ? and granted.privilege_type = 'USAGE' and granted.grantee <> n.nspowner
    """
    for (role,) in connection.rows(query, [before]):
        connection.execute(f"grant usage on schema {now} to {role}")
        connection.execute(f"grant select on all tables in schema {now} to {role}")


def _try_to_drop(connection: PostgresConnection, schemas: list[str]) -> bool:
    """Drop whole schemas, but nothing of anybody else's that reads them; False where that is in the way or somebody reads."""
    relations = connection.rows(
        "select c.relkind, quote_ident(n.nspname) || '.' || quote_ident(c.relname) from pg_class as c "
        "join pg_namespace as n on c.relnamespace = n.oid where c.relkind in ('r', 'v') and n.nspname = any(?)",
        [schemas],
    )
    try:
        with connection.transaction():
            for kind, word in (("v", "view"), ("r", "table")):
                names = ", ".join(name for relkind, name in relations if relkind == kind)
                if names:
                    connection.execute(f"drop {word} {names}")
            for schema in schemas:
                connection.execute(f"drop schema if exists {schema}")
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DependentObjectsStillExist) as in_the_way:
        log.warning("An old build is kept for now: %s", str(in_the_way).splitlines()[0])
        return False
    return True
