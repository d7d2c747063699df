"""A file that is replaced in one step: readers see the old one or the new one, whole, and nobody but its owner reads it."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path

from activation.syncs.contract import DestinationMisconfiguredError, DestinationUnavailableError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}")
_MENDED_BY_A_PERSON = (PermissionError, NotADirectoryError, IsADirectoryError, FileNotFoundError, FileExistsError)


def file_in(folder: Path, name: str) -> Path:
    """The file of a name in a folder. Raises DestinationMisconfiguredError for a name that could lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise DestinationMisconfiguredError(
            "An export is called by letters, digits, dots, dashes and underscores only."
        )
    return folder / name


@contextmanager
def replacing(path: Path) -> Iterator[BufferedRandom]:
    """Write a file anew, and read it back if need be. It takes the old one's place, on disk, when the block ends.

    Where the block fails the old one stands.

    For one writer of a path at a time. Raises DestinationUnavailableError, DestinationMisconfiguredError.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in path.parent.glob(f".{path.name}.*.part"):
            # of a writer that was killed
            left.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync(path.parent)
    except OSError as error:
        kind = DestinationMisconfiguredError if isinstance(error, _MENDED_BY_A_PERSON) else DestinationUnavailableError
        raise kind(f"{path.name} cannot be written: {os.strerror(error.errno or 0)}.") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
