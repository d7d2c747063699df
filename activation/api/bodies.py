"""Bodies with a bound: read piece by piece, refused as soon as there is too much."""

import json
from typing import Any

from fastapi import Request

from activation.api.refusals import Refused


async def json_object(request: Request, limit: int) -> dict[str, Any]:
    """The body as a JSON object. Raises Refused: 413 above `limit` bytes, 400 where it is none."""
    too_large = Refused(413, "too_large", f"A body may have {limit:,} bytes.")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise too_large
    try:
        found = json.loads(bytes(body), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise Refused(400, "not_json", "The body is no JSON, or a member is in it twice.") from None
    if not isinstance(found, dict):
        raise Refused(400, "not_an_object", "The body has to be a JSON object.")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("repeated")
    return found
