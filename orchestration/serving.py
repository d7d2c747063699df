"""The served copy: whole builds that people and services read while the next one is written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb

from orchestration.errors import NothingServedError
from orchestration.settings import Settings
from orchestration.state import utc_now
from orchestration.warehouse import scalar, tables_of, writer_lock

KEEP_BUILDS = 3
POINTER = "current"


def mark_build_whole(connection: duckdb.DuckDBPyConnection, build_id: str, as_of: datetime) -> None:
    """Write that everything of a pass is in the warehouse."""
    connection.execute("create schema if not exists control")
    connection.execute(
        "create table if not exists control.builds (build_id varchar, as_of timestamp, completed_at timestamp)"
    )
    connection.execute("insert into control.builds values (?, ?, ?)", [build_id, as_of, utc_now()])


def serve_newest_build(settings: Settings, *, wait: bool = True) -> str | None:
    """Publish a copy of the warehouse's newest whole build by rename; returns its id where it is a new one.

    None where the newest build is served already, where there is none, or where `wait` is off and somebody writes right now.
    Cost: one copy of the warehouse file.
    """
    if not settings.warehouse_path.exists():
        return None
    with writer_lock(settings.warehouse_path, wait=wait) as held:
        if not held:
            return None
        build_id = _newest_build(settings.warehouse_path)
        if build_id is None or build_id == served_build(settings):
            return None
        _copy(settings, build_id)
    _drop_old(settings, build_id)
    return build_id


def served_build(settings: Settings) -> str | None:
    """Id of the build that readers see."""
    pointer = settings.served / POINTER
    return Path(os.readlink(pointer)).stem if pointer.is_symlink() else None


@contextmanager
def open_served(settings: Settings, build_id: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to a served build (the current one by default). Raises NothingServedError."""
    build_id = build_id or served_build(settings)
    path = settings.served / f"{build_id}.duckdb"
    if build_id is None or not path.exists():
        raise NothingServedError("No whole build is served; run `weft run` or `weft build` first.")
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


def _newest_build(warehouse: Path) -> str | None:
    """Looks into the file and folds its write-ahead log in, so that the file alone is the build."""
    with duckdb.connect(str(warehouse)) as connection:
        if "builds" not in tables_of(connection, "control"):
            return None
        connection.execute("checkpoint")
        newest: str | None = scalar(
            connection, "select build_id from control.builds order by completed_at desc limit 1"
        )
    return newest


def _copy(settings: Settings, build_id: str) -> None:
    settings.served.mkdir(parents=True, exist_ok=True)
    copy = settings.served / f"{build_id}.duckdb"
    writing = settings.served / f".{build_id}.writing"
    shutil.copyfile(settings.warehouse_path, writing)
    _sync(writing)
    writing.rename(copy)
    pointer = settings.served / f".{POINTER}.new"
    pointer.unlink(missing_ok=True)
    pointer.symlink_to(copy.name)
    pointer.rename(settings.served / POINTER)
    _sync(settings.served)


def _drop_old(settings: Settings, current: str) -> None:
    """Keep the newest builds; a reader that still has an older one open keeps it until it closes."""
    copies = sorted(settings.served.glob("*.duckdb"), key=lambda path: path.stat().st_mtime, reverse=True)
    for copy in copies[KEEP_BUILDS:]:
        if copy.stem != current and copy.name != POINTER:
            copy.unlink(missing_ok=True)
    for leftover in settings.served.glob(".*.writing"):
        leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
