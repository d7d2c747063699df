"""Write keys: where a request shows one, and whom it belongs to. A key is hashed before anything is done with it."""

import hashlib
import time
from base64 import b64decode
from collections.abc import Callable

from ingestion.collector.answers import Refusal
from ingestion.collector.settings import KeyFacts, KeyRing, KeysUnreadableError

_MOST_CACHED = 10_000
_LONGEST_KEY = 256


def key_hash(key: str) -> str:
    """sha256 (hex) of a write key: what is stored and looked up instead of it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def unauthorized() -> Refusal:
    """401, the same whether a key is missing, malformed, unknown or revoked."""
    return Refusal(
        401,
        "invalid_write_key",
        "The write key is missing, unknown or revoked; send it as the user of HTTP Basic authentication.",
        headers={"www-authenticate": 'WriteKey realm="weft"'},  # browsers ask people for a password where it says Basic
    )


def keys_unreadable() -> Refusal:
    """503 for a good key and a bad one: which of them it is will be known later."""
    return Refusal(
        503,
        "keys_unreadable",
        "Write keys cannot be looked up at this moment; try again.",
        headers={"retry-after": "5"},
    )


def basic_key(authorization: bytes) -> str | None:
    """The user of a Basic header, with or without the colon behind it; None where there is no user.

    Other schemes are no key: their senders put it into the body. Raises Refusal (401) for a Basic header that cannot be read.
    """
    if authorization[:6].lower() != b"basic ":
        return None
    try:
        user, _, _ = b64decode(authorization[6:].strip(), validate=True).partition(b":")
        return user.decode("ascii") or None
    except ValueError as error:
        raise unauthorized() from error


class CachedKeys:
    """A key ring that is asked for the same key again only after some seconds, known or not; so long a revoked key may live on."""

    def __init__(self, ring: KeyRing, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ring = ring
        self._seconds = seconds
        self._clock = clock
        self._known: dict[str, tuple[float, KeyFacts | None]] = {}

    async def facts(self, key: str | None, scope: str) -> KeyFacts:
        """Facts of a key. Raises Refusal: 401 where nobody has it, 403 where it may not do this (`scope`), 503 where nobody can say."""
        if not key or len(key) > _LONGEST_KEY:
            raise unauthorized()
        digest = key_hash(key)
        now = self._clock()
        known = self._known.get(digest)
        if known is None or known[0] <= now:
            try:
                known = (now + self._seconds, await self._ring.source_of(digest))
            except KeysUnreadableError as error:
                raise keys_unreadable() from error
            self._remember(digest, known)
        facts = known[1]
        if facts is None:
            raise unauthorized()
        if scope not in facts.scopes:
            raise Refusal(
                403, "wrong_scope", "This write key is not allowed to do this; create one with the scope that it needs."
            )
        return facts

    def _remember(self, digest: str, known: tuple[float, KeyFacts | None]) -> None:
        if len(self._known) >= _MOST_CACHED:
            self._known.clear()
        self._known[digest] = known
