"""Who asks: a key of this installation with the scope that a route needs, shown as Bearer token or as the user of Basic."""

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable

from fastapi import Request

from activation.api.refusals import Refused
from activation.api.settings import KeyRing

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def needs(keys: KeyRing, scope: str) -> Callable[[Request], Awaitable[str]]:
    """A dependency that lets a request through where its key has the scope; gives the key's id, which is no secret."""

    async def check(request: Request) -> str:
        shown = _shown_key(request.headers.getlist("authorization"))
        if shown is None:
            raise Refused(
                401,
                "no_key",
                "Show a key: Authorization: Bearer KEY. `weft keys create --scope read:audiences` makes one.",
                _CHALLENGE,
            )
        key_hash = hashlib.sha256(shown).hexdigest()
        scopes = await keys.scopes_of(key_hash)
        if scopes is None:
            raise Refused(401, "unknown_key", "This key is not known here or was revoked.", _CHALLENGE)
        if scope not in scopes:
            raise Refused(403, "scope_missing", f"This key may not do that; it needs the scope {scope}.")
        return key_hash[:12]

    return check


def _shown_key(headers: list[str]) -> bytes | None:
    if len(headers) != 1:
        return None
    scheme, _, given = headers[0].partition(" ")
    given = given.strip()
    if scheme.lower() == "bearer" and given:
        return given.encode("utf-8", "surrogatepass")
    if scheme.lower() != "basic":
        return None
    try:
        user = base64.b64decode(given, validate=True).partition(b":")[0]
    except (binascii.Error, ValueError):
        return None
    return user or None
