"""What is answered where the answer is no: a code, one sentence, and nothing of what was sent."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from activation.api.settings import (
    DefinedInSqlError,
    InvalidRuleError,
    KeysUnreadableError,
    NoModelError,
    NotOnDemandError,
    UnknownAudienceError,
    UnknownModelError,
)
from activation.errors import ActivationError, AudienceChangedError, NotPublishedError, StoreUnavailableError

_LOG = logging.getLogger("weft.api")
_RETRY_SECONDS = "5"


class Refused(Exception):
    """Ends a request with an answer that refuses it."""

    def __init__(
        self,
        status: int,
        code: str,
        sentence: str,
        headers: Mapping[str, str] | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence, self.headers = status, code, sentence, dict(headers or {})
        self.problems = list(problems)


_STATUS: dict[type[ActivationError], tuple[int, str]] = {
    NotPublishedError: (503, "not_published"),
    StoreUnavailableError: (503, "store_unavailable"),
    KeysUnreadableError: (503, "keys_unreadable"),
    AudienceChangedError: (409, "audience_changed"),
    InvalidRuleError: (422, "invalid_rule"),
    UnknownAudienceError: (404, "unknown_audience"),
    DefinedInSqlError: (409, "defined_in_sql"),
    UnknownModelError: (404, "unknown_model"),
    NotOnDemandError: (409, "not_on_demand"),
    NoModelError: (503, "no_model"),
}
_OF_HTTP = {
    404: ("not_found", "There is nothing here; /openapi.json lists the routes."),
    405: ("method_not_allowed", "This path does not know the method."),
}


def answer_refusals(app: FastAPI) -> None:
    """Make the application answer every error in the one shape."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(ActivationError, _activation)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def body_of(request: Request, code: str, sentence: str, **more: Any) -> dict[str, Any]:
    """The one shape of a refusal."""
    return {"error": {"code": code, "message": sentence, "request_id": request.state.id, **more}}


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    more = {"problems": error.problems} if error.problems else {}
    return JSONResponse(
        body_of(request, error.code, error.sentence, **more),
        error.status,
        headers={**error.headers, "Cache-Control": "no-store"},
    )


async def _activation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ActivationError)
    status, code = next((found for kind, found in _STATUS.items() if isinstance(error, kind)), (503, "unavailable"))
    more = {"problems": list(error.problems)} if isinstance(error, InvalidRuleError) else {}
    headers = {"Retry-After": _RETRY_SECONDS} if status == 503 else {}
    if status == 503:
        _LOG.warning("%s: %s", code, error)
    return JSONResponse(
        body_of(request, code, str(error), **more), status, headers={**headers, "Cache-Control": "no-store"}
    )


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's own answer would repeat what was sent."""
    assert isinstance(error, RequestValidationError)
    where = ", ".join(sorted({".".join(str(part) for part in each["loc"][:2]) for each in error.errors()})[:5])
    sentence = f"A parameter or the body is missing or not of its type ({where}); see /openapi.json."
    return JSONResponse(body_of(request, "invalid", sentence), 422)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code, sentence = _OF_HTTP.get(error.status_code, ("refused", "The request cannot be answered."))
    headers = {"Allow": ", ".join(_methods_of(request))} if error.status_code == 405 else error.headers
    return JSONResponse(body_of(request, code, sentence), error.status_code, headers=headers)


def _methods_of(request: Request) -> list[str]:
    """Every method that the path knows; the router's own answer names those of one route only."""
    methods: set[str] = set()
    for path, known in request.app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.url.path):
            methods |= {method.upper() for method in known}
    return sorted(methods)
