"""Uploaded files: a spool where each lies under a generated id until somebody confirms it, then the inbox, which the next run lands.

What a client calls its file decides the format and leaves a cleaned label, nothing else: no part of it is ever a path. A file is
visible once it is whole and on disk. Of a process that was killed while it received there is a hidden leftover, which `sweep` removes.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from ingestion.durable import sync_path
from ingestion.unpacked_count import UnpackedCount
from ingestion.upload_errors import UploadError

ENDINGS = (".csv", ".ndjson", ".jsonl", ".json", ".parquet", ".csv.gz", ".ndjson.gz", ".jsonl.gz", ".json.gz")
UNPACKED_TIMES = 10
"""How much larger than an upload may be what comes out of it."""
ID = re.compile(r"[0-9a-f]{32}")
DAY = 86_400.0
_NO_ROOM = frozenset({27, 28, 122})  # EFBIG, ENOSPC, EDQUOT
_FACTS = ".facts"


@dataclass(frozen=True)
class Upload:
    """An upload that was received whole. `mapping` and `file` say where in the inbox it went, once it was confirmed."""

    id: str
    source: str
    label: str
    ending: str
    bytes: int
    sha256: str
    uploaded_at: float
    mapping: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class Books:
    """What became of a confirmed file: `state` is landed or refused, `counts` are those of raw.landings, `problem` a sentence."""

    state: str
    counts: dict[str, int] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Preview:
    """The first rows of a file as a mapping reads them; `problem` where it cannot be read at all.

    `rows` are in the columns of the target, `rejected` tells row_number, reason and detail. The columns are those of the file.
    """

    mapping: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    rows_read: int = 0
    is_whole_file: bool = False
    columns_found: list[str] = field(default_factory=list)
    columns_unused: list[str] = field(default_factory=list)
    columns_missing: list[str] = field(default_factory=list)
    problem: str | None = None


def ending_of(name: str) -> str:
    """The ending that tells a file's format. Raises UploadError where it is none that can be landed, or the name holds a NUL."""
    if "\0" in name:
        raise UploadError("bad_name", "The file's name holds a NUL character.")
    lowered = name.lower()
    found = [ending for ending in ENDINGS if lowered.endswith(ending)]
    if not found:
        raise UploadError("unknown_format", f"The file's name ends in none of {', '.join(ENDINGS)}.")
    return max(found, key=len)


def label_of(name: str) -> str:
    """What is kept of a client's file name: up to 60 plain letters, digits, dots and dashes, for people to recognise it by."""
    last = re.split(r"[/\\]", name)[-1]
    stem = last[: -len(ending_of(name))] if ending_of(name) else last
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:60] or "file"


class Spool:
    """The folder of uploads. `limit_bytes` is for a file as it is sent; unpacked it may be UNPACKED_TIMES as large."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes

    def begin(self, *, source: str, name: str, id_: str | None = None) -> "Receiving":
        """Begin to receive a file; `id_` is the client's own choice (32 hexadecimal digits). Raises UploadError."""
        ending = ending_of(name)
        if id_ is not None and not ID.fullmatch(id_):
            raise UploadError("bad_id", "An id of an upload has 32 hexadecimal digits in lower case.")
        id_ = id_ or secrets.token_hex(16)
        if self._facts(id_).exists():
            raise UploadError("id_taken", "There is an upload with this id already.")
        upload = Upload(id_, source, label_of(name), ending, 0, "", time.time())
        return Receiving(self, upload)

    def received_bytes(self, id_: str) -> int | None:
        """Bytes of an upload that is being received; None where none is."""
        try:
            return self._part(id_).stat().st_size if ID.fullmatch(id_) else None
        except FileNotFoundError:
            return None

    def find(self, id_: str, *, source: str) -> Upload:
        """An upload of this source that was received whole. Raises UploadError."""
        if ID.fullmatch(id_):
            with suppress(FileNotFoundError, ValueError, TypeError):
                upload = Upload(**json.loads(self._facts(id_).read_text(encoding="utf-8")))
                if upload.source == source:
                    return upload
        raise UploadError("not_found", "There is no upload with this id.")

    def file_of(self, upload: Upload) -> Path | None:
        """Where the file lies in the spool; None once it went into the inbox."""
        path = self._data(upload)
        return path if path.is_file() and not path.is_symlink() else None

    def confirm(self, upload: Upload, *, mapping: str, inbox: Path) -> Upload:
        """Move the file to where the next run lands it. The same again changes nothing. Raises UploadError.

        `mapping` is the name of one that exists: its caller has looked.
        """
        with self._alone():
            upload = self.find(upload.id, source=upload.source)
            path = self.file_of(upload)
            if path is None:
                if upload.mapping == mapping:
                    return upload
                raise UploadError("already_confirmed", "This upload was confirmed before, with another mapping.")
            confirmed = replace(upload, mapping=mapping, file=f"upload-{upload.id}-{upload.label}{upload.ending}")
            with _sentences():
                self._write_facts(confirmed)
                target = inbox / mapping
                target.mkdir(parents=True, exist_ok=True)
                path.rename(target / str(confirmed.file))
                sync_path(target)
                sync_path(self.folder)
        return confirmed

    def sweep(self, now: float, *, unconfirmed_days: float = 7.0, facts_days: float = 90.0) -> int:
        """Remove leftovers of a day ago, uploads nobody confirmed, and facts of old ones; returns how many files that were."""
        ages = {"part": DAY, "facts": facts_days * DAY, "data": unconfirmed_days * DAY}
        removed = 0
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            kind = "facts" if path.suffix == _FACTS else "data" if ID.match(path.name) else "part"
            is_ours = ID.match(path.name.removeprefix("."))
            with suppress(FileNotFoundError):
                if is_ours and path.lstat().st_mtime < now - ages[kind]:
                    path.unlink()
                    removed += 1
        return removed

    def _part(self, id_: str) -> Path:
        return self.folder / f".{id_}.part"

    def _facts(self, id_: str) -> Path:
        return self.folder / f"{id_}{_FACTS}"

    def _data(self, upload: Upload) -> Path:
        return self.folder / f"{upload.id}{upload.ending}"

    def _write_facts(self, upload: Upload) -> None:
        path = self.folder / f".{upload.id}{_FACTS}.part"
        with path.open("w", encoding="utf-8") as stream:
            json.dump(asdict(upload), stream)
            stream.flush()
            os.fsync(stream.fileno())
        path.rename(self._facts(upload.id))
        sync_path(self.folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One confirmation at a time, whichever process asks; the kernel frees the lock of one that was killed."""
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Receiving:
    """A file that is being received: `write` its bytes, then `finish`; `abandon` leaves nothing (harmless after `finish`)."""

    def __init__(self, spool: Spool, upload: Upload) -> None:
        self.upload, self._spool = upload, spool
        self._path = spool._part(upload.id)
        self._sha256, self._size, self._front = hashlib.sha256(), 0, b""
        self._unpacked = UnpackedCount(spool.limit_bytes * UNPACKED_TIMES) if upload.ending.endswith(".gz") else None
        with _sentences():
            spool.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            except FileExistsError:
                raise UploadError("id_taken", "An upload with this id is being received already.") from None
        self._stream: BinaryIO = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, chunk: bytes) -> None:
        """The next bytes. Raises UploadError where they are too many, or the disk has no room."""
        self._size += len(chunk)
        if self._size > self._spool.limit_bytes:
            raise UploadError(
                "too_large", f"The file is larger than {self._spool.limit_bytes:,} bytes; upload it in parts."
            )
        if len(self._front) < 16:
            self._front += chunk[:16]
        if self._unpacked:
            self._unpacked.feed(chunk)
        self._sha256.update(chunk)
        with _sentences():
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._stream.write(rest) :]

    def finish(self) -> Upload:
        """The upload, once it is whole and on disk. Raises UploadError where it cannot be a file of its kind."""
        self._check_content()
        upload = replace(self.upload, bytes=self._size, sha256=self._sha256.hexdigest())
        with _sentences():
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._path.rename(self._spool._data(upload))
            self._spool._write_facts(upload)
        return upload

    def abandon(self) -> None:
        """Leave nothing of a file that was not received whole."""
        self._stream.close()
        self._path.unlink(missing_ok=True)

    def _check_content(self) -> None:
        front, ending = self._front, self.upload.ending
        if not self._size:
            raise UploadError("empty", "The file is empty.")
        if self._unpacked:
            self._unpacked.close()
        elif ending == ".parquet" and not front.startswith(b"PAR1"):
            raise UploadError("wrong_format", "The file is not Parquet, whatever its name says.")
        elif ending != ".parquet" and front.startswith((b"PK\x03\x04", b"PAR1", b"\x1f\x8b", b"\xd0\xcf\x11\xe0")):
            raise UploadError(
                "wrong_format", "The file is a spreadsheet, an archive or Parquet, whatever its name says."
            )
        elif front.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise UploadError("wrong_format", "The file is UTF-16 text; save it as UTF-8.")


@contextmanager
def _sentences() -> Iterator[None]:
    """What the disk refuses, as an UploadError that names no path."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise UploadError(
                "no_room", "There is no room for the file at this moment; nothing of it was kept."
            ) from None
        raise UploadError("cannot_write", f"The file cannot be written ({error.strerror}).") from None
