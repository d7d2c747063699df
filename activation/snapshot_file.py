"""A file that remembers what was published: Arrow columns with marks that say what they are, for this user's eyes only.

It is not forced to the disk: after a loss of power it may be cut or hold anything, so readers prove what they use."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from activation.errors import PublicationError

_ABANDONED_AFTER_SECONDS = 86_400


def stage_snapshot(path: Path, table: pa.Table, marks: Mapping[str, str], *, what: str, token: str) -> Path:
    """Write the snapshot beside its place; os.replace makes it count.

    Raises PublicationError, which says that publishing `what` failed, where the disk does not take it."""
    staged = path.with_name(f"{path.name}.{token}.unfinished")
    table = table.replace_schema_metadata(dict(marks))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        with (
            open(os.open(staged, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file,
            pa.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)
    except OSError as error:
        with suppress(OSError):
            staged.unlink()
        raise PublicationError(
            f"Publishing {what} failed: {path.parent} cannot be written ({error.strerror}); "
            "make room there and publish again."
        ) from error
    return staged


def open_snapshot(path: Path, expected: Mapping[str, str]) -> tuple[pa.Table, Mapping[str, str]] | None:
    """Columns (mapped, not read) and marks, or None where there is no such file or its marks are not the expected."""
    try:
        with pa.memory_map(os.fspath(path)) as file:
            table = pa.ipc.open_file(file).read_all()
            table.validate(full=True)
    except (OSError, pa.ArrowException):
        return None
    marks = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    return (table, marks) if all(marks.get(key) == value for key, value in expected.items()) else None


def _remove_abandoned(path: Path) -> None:
    """Delete what crashed publications left; a live one is younger than this by far."""
    for abandoned in path.parent.glob(f"{path.name}.*.unfinished"):
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_AFTER_SECONDS:
            abandoned.unlink(missing_ok=True)
