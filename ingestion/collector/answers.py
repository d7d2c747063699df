"""What the collector answers: short JSON (or a pixel) that never repeats what was sent."""

import json

from starlette.responses import Response

PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b")
"""A transparent GIF of one pixel."""


class Refusal(Exception):
    """A request that is not taken: status, a snake_case code for programs, one sentence for people without anything of the request."""

    def __init__(self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


class JsonAnswer(Response):
    """An answer in JSON whose bytes are ready."""

    media_type = "application/json"


_SUCCESS = b'{"success": true}'


def success() -> Response:
    """200 and `{"success": true}`: everything that the request held is in the log."""
    return JsonAnswer(_SUCCESS)


def success_with(results: list[dict[str, object]]) -> Response:
    """The same with a result for each event, for `?verbose=1`."""
    return JsonAnswer(json.dumps({"success": True, "results": results}).encode())


def pixel() -> Response:
    """200 and a transparent pixel that no cache keeps."""
    return Response(PIXEL, media_type="image/gif", headers={"cache-control": "no-store"})


def refused(refusal: Refusal, request_id: str) -> Response:
    """`{"success": false, "code", "message", "request_id"}` with the refusal's status and headers."""
    content = {"success": False, "code": refusal.code, "message": refusal.message, "request_id": request_id}
    return JsonAnswer(json.dumps(content).encode(), status_code=refusal.status, headers=refusal.headers)
