"""The event log: what stands between a sender's request and the warehouse. One small interface; Redis Streams stand behind it today.

Two streams with the same ids. `events.raw` has one entry a request, the bytes as they were received: it is what a 2xx waits for.
`events.normalized` has one entry for each of those, under the same id: the lines that readers want. A reader keeps its own
position (an entry's id, with the log's epoch) in the same transaction as what it made of the entries; see docs/event-log.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

BEGINNING = "0-0"
"""The position before the first entry."""


class LogError(Exception):
    """The log did not take an entry, or cannot be read; one sentence without anything of an entry."""


class LogFullError(LogError):
    """The log has no room until its readers have come on: the sender should try again later."""


class LogUnavailableError(LogError):
    """The log does not answer, or not in time; whether the entry is in it is not known."""


class UnsafeLogError(LogError):
    """The log's settings could lose what was acknowledged; nothing may be acknowledged until they are mended."""


class LogBrokenError(LogError):
    """The log is not the one that a reader's position is of, or has lost entries that the position says were there."""


@dataclass(frozen=True)
class Received:
    """One request as it was received: an entry of `events.raw`.

    `kind` names the normaliser that reads it (`segment`, `snowplow`, `shopify`, ...; see ingestion.normalise.KINDS), `source` the
    write key's or webhook's source, `received_at` is the collector's clock in milliseconds since 1970 (UTC), `body` the body's bytes
    before any content encoding was taken off. `facts` holds what else of the request is needed to read it, all texts: `encoding`
    (gzip), `path` (what was called, such as track), `query` (the raw query string), `ip`, `user_agent`, `topic` and the like. No secret.
    """

    kind: str
    source: str
    received_at: int
    body: bytes
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RawEntry:
    """An entry of `events.raw` with its id."""

    id: str
    received: Received


@dataclass(frozen=True)
class Refused:
    """One part of a request that is no event: the index of the part in its request (0 where it has but one) and why."""

    index: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Normalized:
    """What became of one request: an entry of `events.normalized`.

    `events`, `products` and `privacy` are NDJSON (one line each, UTF-8, ending with a newline, or empty) in the columns of the mappings
    `collected`, `collected_products` and of raw.privacy_requests. Each line names the part of the request that it came from (`part`).
    """

    events: bytes = b""
    products: bytes = b""
    privacy: bytes = b""
    refused: Sequence[Refused] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class NormalizedEntry:
    """An entry of `events.normalized` with its id, and that of the entry written before it (BEGINNING for the first, None: not known).

    A reader that comes from another entry than that one knows that entries were taken out of the log which it has not read.
    """

    id: str
    normalized: Normalized
    after: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class LogState:
    """Where the log stands: its epoch, the newest ids, entries not yet trimmed, and memory in use out of what there is (bytes)."""

    epoch: str
    last_raw: str
    last_normalized: str
    raw_entries: int
    normalized_entries: int
    memory_used: int
    memory_limit: int


class LogWriter(Protocol):
    """What the collector needs of a log. Asynchronous, for one event loop."""

    async def append(self, received: Received) -> str:
        """Add one request; returns its id once it is on disk. Raises LogFullError, LogUnavailableError or UnsafeLogError."""

    async def check(self) -> None:
        """Raise the LogError that the next `append` would; safe to call often."""

    async def close(self) -> None:
        """Wait for what was begun, then let the connection go."""


class EventLog(Protocol):
    """What normaliser and readers need of a log. Every call raises LogUnavailableError where the log does not answer."""

    def state(self) -> LogState:
        """Where the log stands."""

    def read_raw(self, after: str, *, limit: int) -> list[RawEntry]:
        """Entries of `events.raw` behind a position, oldest first."""

    def raw(self, ids: Sequence[str]) -> dict[str, Received]:
        """Requests by their ids; ids that were trimmed are missing."""

    def write_normalized(self, entries: Sequence[NormalizedEntry]) -> int:
        """Add what became of requests, ids ascending; those that are there already are left out. Returns how many were added."""

    def read_normalized(self, after: str, *, limit: int) -> list[NormalizedEntry]:
        """Entries of `events.normalized` behind a position, oldest first."""

    def positions(self) -> dict[str, str]:
        """How far each reader says it has come, by its name; readers that exist and have read nothing are at BEGINNING."""

    def confirm(self, reader: str, position: str, *, epoch: str) -> None:
        """Say how far a reader has come, after that was committed where it writes; never goes back.

        Said of an epoch that has ended, it changes nothing.
        """

    def trim(self) -> int:
        """Forget what every reader has passed; returns how many entries that were."""

    def counts(self) -> dict[str, int]:
        """What was normalised since this epoch began, by `<source>|events` or `<source>|<reason to reject>`."""

    def new_epoch(self) -> str:
        """Begin a new epoch, because positions of the old one no longer hold; readers start again from BEGINNING."""
