"""Where model files lie: a folder, or an object store that fsspec knows (s3://, gs://, memory://); bytes by name, nothing else."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import fsspec

from ml.model import ModelError

Root = Path | str
"""A folder, or the URL of one in an object store."""
MANIFEST: Final = "manifest.json"
UNFINISHED: Final = ".writing-"
OnStep = Callable[[str], None]


class Place(Protocol):
    """Where the files of one version lie, or are to lie. `str()` of it may be shown to people."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None where it is missing. Raises ModelError where the store cannot be reached."""

    def put(self, files: Mapping[str, bytes], *, is_whole: Callable[[], bool], on_step: OnStep) -> None:
        """Let the place hold these files, `manifest.json` among them: nobody finds that one before all others are there.

        `is_whole` tells whether the place holds them already. Raises ModelError where the store cannot be reached.
        """


def place(root: Root, model: str, version: str) -> Place:
    """The place of a version under a root. Raises ModelError where fsspec does not know the store."""
    if isinstance(root, Path):
        return Folder(root / model / version)
    with _reaching(root):
        files, path = fsspec.core.url_to_fs(root)
    return Objects(files, f"{path.rstrip('/')}/{model}/{version}", root)


def clear_unfinished(root: Root) -> None:
    """Remove what killed savers left in a folder; only for a caller that knows of no other saver at work."""
    if isinstance(root, Path):
        for leftover in root.glob(f"*/{UNFINISHED}*"):
            shutil.rmtree(leftover)


@dataclass(frozen=True)
class Folder:
    """A folder of this machine: written beside its place, synced, and renamed."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes | None:
        """See Place."""
        file = self.path / name
        return file.read_bytes() if file.is_file() else None

    def put(self, files: Mapping[str, bytes], *, is_whole: Callable[[], bool], on_step: OnStep) -> None:
        """See Place."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.path.parent))
        try:
            for name, content in files.items():
                _write_synced(temporary / name, content)
                on_step(f"{name} written")
            _sync_folder(temporary)
            on_step("files written")
            self._rename(temporary, is_whole)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync_folder(self.path.parent)

    def _rename(self, temporary: Path, is_whole: Callable[[], bool]) -> None:
        temporary.chmod(0o755)
        if self.path.exists() and not is_whole():
            # What lies there is damaged, and the true content is at hand.
            self.path.rename(temporary / "damaged")
        try:
            temporary.rename(self.path)
        except OSError:
            # Another run saved the same content first; what counts is that the folder holds it.
            if not is_whole():
                raise
        shutil.rmtree(self.path / "damaged", ignore_errors=True)


@dataclass(frozen=True)
class Objects:
    """A prefix of an object store: every object is put whole or not at all, the manifest after all others."""

    files: Any
    path: str
    root: str

    def __str__(self) -> str:
        model, version = self.path.split("/")[-2:]
        return f"{without_secrets(self.root)}/{model}/{version}"

    def read(self, name: str) -> bytes | None:
        """See Place."""
        with _reaching(self.root):
            try:
                # a cached listing would hide what another process put there
                self.files.invalidate_cache()
                return bytes(self.files.cat_file(f"{self.path}/{name}"))
            except FileNotFoundError:
                return None

    def put(self, files: Mapping[str, bytes], *, is_whole: Callable[[], bool], on_step: OnStep) -> None:
        """See Place."""
        with _reaching(self.root):
            for name, content in sorted(files.items(), key=lambda file: file[0] == MANIFEST):
                self.files.pipe_file(f"{self.path}/{name}", content)
                on_step(f"{name} written")
        on_step("files written")


def without_secrets(url: str) -> str:
    """The URL for people: without user, password and query."""
    found = urlsplit(url)
    return f"{found.scheme}://{found.netloc.rpartition('@')[2]}{found.path}".rstrip("/")


@contextmanager
def _reaching(root: str) -> Iterator[None]:
    """What stores raise may hold keys or addresses with passwords: only its kind is told."""
    try:
        yield
    except ImportError:
        scheme = urlsplit(root).scheme
        raise ModelError(
            f"The package of fsspec for {scheme}:// is not installed; install it (s3fs for s3://)."
        ) from None
    except (OSError, ValueError) as error:
        kind = type(error).__name__
        raise ModelError(
            f"The model store {without_secrets(root)} cannot be reached ({kind}); check WEFT_MODEL_STORE and its keys."
        ) from None


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
