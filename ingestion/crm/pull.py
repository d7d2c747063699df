"""One pull: pages of an adapter become lines of a file in the inbox, and the cursor moves only behind a file that is whole and on disk.

Killed anywhere, a pull goes on from the last cursor that was saved: some contacts are pulled once more, which their keys make
harmless; none is left out.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ingestion.crm.calls import CrmError
from ingestion.crm.contacts import MAPPING, Contact, contact_line, unreadable
from ingestion.crm.sources import Source
from ingestion.durable import sync_path

FILE_BYTES = 32 << 20
FILE_CONTACTS = 20_000
"""A file ends where either is reached; so much is pulled again at most after a kill."""
OVERLAP_SECONDS = 600.0
"""How far behind its start the next pull looks: a vendor's search sees a change late, a long transaction commits one late."""

Cursor = Mapping[str, Any]
"""Where to go on, in the adapter's own words (a JSON object); empty: at the beginning."""


@dataclass(frozen=True)
class Page:
    """Contacts, and where to go on once they are safe."""

    contacts: Sequence[Contact]
    cursor: Cursor


class Adapter(Protocol):
    """One vendor's way of handing out contacts."""

    def pages(self, cursor: Cursor) -> Iterator[Page]:
        """Pages from a cursor on; the last one's cursor is where the next pull begins. Raises CrmError."""


@dataclass
class Pulled:
    """What a pull brought, up to where it came."""

    contacts: int = 0
    deleted: int = 0
    unreadable: int = 0
    pages: int = 0
    files: list[str] = field(default_factory=list)


def pull(
    adapter: Adapter,
    source: Source,
    *,
    cursor: Cursor,
    inbox: Path,
    save: Callable[[Cursor], None],
    on_step: Callable[[str], None],
    pulled: Pulled | None = None,
) -> Pulled:
    """Pull everything behind `cursor` into files below `inbox`; `save` keeps the cursor. Raises CrmError; what was saved stands.

    `pulled` is filled as the pull goes on, for a caller that wants to know of it where the pull ends with an error.
    """
    pulled = pulled if pulled is not None else Pulled()
    with _InboxFile(inbox / MAPPING, source.name) as file:
        reached = cursor
        try:
            for page in adapter.pages(cursor):
                for contact in page.contacts:
                    file.write(contact_line(contact, source=source.name, kind=source.kind, fields=source.fields))
                    pulled.contacts += 1
                    pulled.deleted += contact.is_deleted
                    pulled.unreadable += contact.id is None
                pulled.pages += 1
                reached = page.cursor
                on_step("page_written")
                if file.is_full:
                    _hand_over(file, reached, pulled, save, on_step)
        except CrmError:
            # what came before stands on its own: the next pull begins behind it
            _hand_over(file, reached, pulled, save, on_step)
            raise
        _hand_over(file, reached, pulled, save, on_step)
    return pulled


def _hand_over(
    file: "_InboxFile", reached: Cursor, pulled: Pulled, save: Callable[[Cursor], None], on_step: Callable[[str], None]
) -> None:
    name = file.finish()
    if name:
        pulled.files.append(name)
        on_step("file_in_place")
    save(reached)
    on_step("cursor_saved")


class _InboxFile:
    """The file that is being written: hidden until it is whole. One pull of a source at a time writes (its caller holds a lock)."""

    def __init__(self, folder: Path, source: str) -> None:
        self._folder, self._source = folder, source
        self._stream: BinaryIO | None = None
        self._path = folder
        self._lines = 0

    def __enter__(self) -> "_InboxFile":
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(f".{self._source}-*.part"):
            leftover.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream:
            self._stream.close()
            self._path.unlink(missing_ok=True)

    @property
    def is_full(self) -> bool:
        """Whether it is time to end this file."""
        return self._stream is not None and (self._lines >= FILE_CONTACTS or self._stream.tell() >= FILE_BYTES)

    def write(self, line: bytes) -> None:
        if self._stream is None:
            stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
            self._path = self._folder / f".{self._source}-{stamp}.ndjson.part"
            self._stream = self._path.open("xb")
        self._stream.write(line)
        self._lines += 1

    def finish(self) -> str | None:
        """Let the inbox see the file, once it is on disk; its name, None where nothing was written."""
        if self._stream is None:
            return None
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._stream, self._lines = None, 0
        name = self._path.name.removeprefix(".").removesuffix(".part")
        self._path.rename(self._folder / name)
        sync_path(self._folder)
        return name


def contacts_in(items: object, read: Callable[[Mapping[str, Any]], Contact], name: str) -> list[Contact]:
    """The contacts of a page; what is no object among them is kept as unreadable. Raises CrmError where there is no list."""
    if not isinstance(items, list):
        raise CrmError(f"{name} answered without a list of contacts; see where its answers hold them.")
    return [read(item) if isinstance(item, dict) else unreadable(item) for item in items]
