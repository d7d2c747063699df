"""What the collector is told when it is made; nothing here reads the environment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Protocol

from ingestion.event_log import EventLog
from ingestion.uploads import Books, Preview, Upload

EVENTS_SCOPE = "events"
"""A key with this scope may send events."""
UPLOAD_SCOPE = "upload"
"""A key with this scope may upload files."""


@dataclass(frozen=True)
class KeyFacts:
    """What a write key may do: for which source, what (scopes), and how many events a second (None: as many as come)."""

    source: str
    scopes: frozenset[str] = frozenset({EVENTS_SCOPE})
    limit_per_second: float | None = None


class KeysUnreadableError(Exception):
    """Whether a key is good cannot be said at this moment."""


class KeyRing(Protocol):
    """The write keys. The collector asks for the same key again only after `key_cache_seconds`."""

    async def source_of(self, key_hash: str) -> KeyFacts | None:
        """Facts of the key whose sha256 (hex, of the key's UTF-8) is given; None where it is unknown or revoked.

        Raises KeysUnreadableError where that cannot be found out: 401 would make senders drop what they have.
        """


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, after gzip was taken off. What is larger is refused whole, so that nothing is dropped silently.

    Segment's "32 KB" and "500 KB" are powers of two to its own libraries, which fill batches with up to 508,000 bytes.
    """

    event_bytes: int = 32 << 10
    batch_bytes: int = 500 << 10
    batch_events: int = 2_500
    snowplow_bytes: int = 1 << 20
    """Snowplow's own collector's limit: its trackers on servers know none and would send a larger batch for ever."""
    webhook_bytes: int = 2_000_000
    bodies_in_memory_bytes: int = 128_000_000
    events_per_second: float | None = None
    """For keys that say nothing of their own; None: no limit."""


@dataclass(frozen=True)
class Connections:
    """How long a sender may take, in seconds, and how many connections there may be at a time."""

    receive_seconds: float = 10.0
    """From the first byte (or the connection) to the end of the body; also how long an answer may wait to be read."""
    keep_alive_seconds: float = 9.0
    drain_seconds: float = 7.0
    """After SIGTERM: how long requests that were received whole may take; half-sent ones get `half_sent_seconds`."""
    half_sent_seconds: float = 2.0
    most_connections: int = 2_000
    head_bytes: int = 32_768
    """Of the request line and the headers together."""
    head_fields: int = 100
    pipelined_requests: int = 32
    """Sent on one connection without waiting for answers; uvicorn would hold any number. No client in use sends so."""
    discarded_bytes: int = 8_000_000
    """What is read and thrown away of a body that was refused, so that its sender gets to read why."""


@dataclass(frozen=True)
class Uploads:
    """Where uploaded files go and how large (bytes) one may be.

    Confirmed, they go into `inbox`/<mapping>. `preview` reads the first rows of a file through the mapping of a name; `books` says what
    became of a confirmed one (None: nothing yet). Both may take seconds and are called in threads.
    """

    folder: Path
    limit_bytes: int
    inbox: Path | None = None
    preview: Callable[[Path, str], Preview] | None = None
    books: Callable[[Upload], Books | None] | None = None


def _no_step(step: str) -> None:
    """Outside of tests nothing happens at a step."""


@dataclass(frozen=True)
class CollectorSettings:
    """Everything that an operator can choose of the collector.

    `webhook_secrets` names the secrets accepted for a source of webhooks, newest first. `snowplow_source` is the source of what Snowplow
    trackers send, who show no key (None: their routes answer 404). Addresses of senders are taken from `X-Forwarded-For` only where the
    connection comes from `trusted_proxies`. `log_reader` is asked for what `/metrics` tells of the log's backlog. `on_step` is told
    `received`, `authenticated`, `before_append` and `before_answer`.
    """

    keys: KeyRing
    limits: Limits = field(default_factory=Limits)
    connections: Connections = field(default_factory=Connections)
    webhook_secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    uploads: Uploads | None = None
    snowplow_source: str | None = None
    snowplow_limit_per_second: float | None = None
    snowplow_paths: tuple[str, ...] = ("/com.snowplowanalytics.snowplow/tp2",)
    key_cache_seconds: float = 3.0
    is_access_logged: bool = False
    log_reader: EventLog | None = None
    on_step: Callable[[str], None] = _no_step
