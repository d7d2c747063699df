"""The collector's write keys, from the operator state: read all at once, at most a few times a second, whatever is sent."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from ingestion.collector.settings import KeyFacts, KeysUnreadableError
from orchestration.api_keys import ApiKey

RENEW_SECONDS = 1.0
"""Older keys are read again while the request goes on with what it found."""
OLDEST_SECONDS = 3.5
"""Older keys are believed no more: with the second that the collector keeps what it was told, a revoked key dies within five."""
PAUSE_SECONDS = 0.25
"""Between two reads, however many requests show keys that nobody knows."""
PATIENCE_SECONDS = 2.0

_LOG = logging.getLogger("weft.collector")


class StateKeys:
    """A KeyRing over the live keys of the operator state. For one event loop.

    A key that is not among those known waits for a read that begins after it was shown, so that a new key works at once. While the state
    cannot be read, keys hold until they are OLDEST_SECONDS old; then all of them, known or not, are neither taken nor refused.
    """

    def __init__(self, live: Callable[[], Mapping[str, ApiKey]], clock: Callable[[], float] = time.monotonic) -> None:
        self._live = live
        self._clock = clock
        self._facts: dict[str, KeyFacts] = {}
        self._known_at = float("-inf")  # when the read began that gave them
        self._begun_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._is_readable = True

    async def source_of(self, key_hash: str) -> KeyFacts | None:
        """See KeyRing. Raises KeysUnreadableError."""
        now = self._clock()
        facts = self._facts.get(key_hash)
        if facts is not None and now - self._known_at < OLDEST_SECONDS:
            if now - self._known_at >= RENEW_SECONDS:
                self._read_soon()
            return facts
        while self._known_at < now:
            if now + PATIENCE_SECONDS <= self._clock():
                raise KeysUnreadableError
            reading = self._read_soon()
            await asyncio.wait({reading}, timeout=max(0.0, now + PATIENCE_SECONDS - self._clock()))
            if not self._is_readable:
                raise KeysUnreadableError
        return self._facts.get(key_hash)

    def _read_soon(self) -> asyncio.Task[None]:
        """The read that is under way, else one that begins when the last one began long enough ago."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        await asyncio.sleep(self._begun_at + PAUSE_SECONDS - self._clock())
        begun = self._begun_at = self._clock()
        try:
            keys = await asyncio.to_thread(self._live)
        except Exception as error:  # noqa: BLE001 - whatever the database's driver raises; its words may name an address with a password
            if self._is_readable:
                _LOG.error("The write keys cannot be read (%s); senders are asked to wait.", type(error).__name__)
            self._is_readable = False
            return
        if not self._is_readable:
            _LOG.warning("The write keys can be read again.")
        self._facts = {key: KeyFacts(found.source, found.scopes, found.limit_per_second) for key, found in keys.items()}
        self._known_at = begun
        self._is_readable = True
