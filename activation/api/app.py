"""The API's application: its routes, and what is around them."""

import logging
import secrets
from collections.abc import Awaitable, Callable
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from activation.api.audience_routes import audience_routes
from activation.api.author_routes import author_routes
from activation.api.prediction_routes import prediction_routes
from activation.api.profile_routes import profile_routes
from activation.api.refusals import answer_refusals, body_of
from activation.api.settings import ApiSettings
from activation.reader import Reader

_LOG = logging.getLogger("weft.api")


def create_api(settings: ApiSettings, reader: Reader) -> FastAPI:
    """The application. Everything that it reads comes from Redis; what it is asked to define goes to `settings.author`."""
    app = FastAPI(
        title="Weft API",
        version=version("weft"),
        description="Profiles and audiences as they are published, each with its age.",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )

    @app.middleware("http")
    async def name_and_bound(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        request.state.id = secrets.token_hex(8)
        try:
            response = await call_next(request)
        except Exception as error:  # noqa: BLE001 - a server's own log would show its text, which may hold what was sent
            _LOG.error("request %s failed: %s", request.state.id, type(error).__name__)
            response = JSONResponse(body_of(request, "internal", "The request failed; try again."), 500)
        response.headers["X-Request-Id"] = request.state.id
        return response

    @app.get("/health", include_in_schema=False)
    def health() -> dict[str, str]:
        """This process answers."""
        return {"status": "ok"}

    @app.get("/ready", include_in_schema=False)
    def ready() -> dict[str, object]:
        """Redis answers, and how many audiences it holds."""
        return {"status": "ready", "audiences": len(reader.audience_names())}

    answer_refusals(app)
    app.include_router(profile_routes(settings, reader))
    app.include_router(audience_routes(settings, reader))
    if settings.predictor is not None:
        app.include_router(prediction_routes(settings, settings.predictor, reader))
    if settings.author is not None:
        app.include_router(author_routes(settings, settings.author))
    return app
