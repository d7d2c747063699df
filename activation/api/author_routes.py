"""Defining audiences by a rule: preview, save, rebuild, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from activation.api.access import needs
from activation.api.audience_routes import Name
from activation.api.bodies import json_object
from activation.api.models import ErrorAnswer, PreviewAnswer, RebuildAnswer, SavedAnswer
from activation.api.settings import WRITE_AUDIENCES, ApiSettings, AudienceAuthor
from activation.api.typed_values import iso

_EXAMPLE = {
    "name": "big_spenders",
    "description": "Customers who spent 100 or more and were not seen for 30 days.",
    "owner": "crm-team",
    "consent_purpose": "personalisation",
    "destinations": ["redis"],
    "guards": {"max_share": 0.5},
    "rule": {"min_total_spend": 100, "days_since_last_event": 30},
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}},
    }
}


def author_routes(settings: ApiSettings, author: AudienceAuthor) -> APIRouter:
    """The routes that define audiences."""
    may_write = needs(settings.keys, WRITE_AUDIENCES)
    router = APIRouter(
        prefix="/v1/audiences",
        tags=["definitions"],
        responses={status: {"model": ErrorAnswer} for status in (400, 401, 403, 404, 409, 413, 422, 503)},
    )

    @router.post(
        "",
        response_model=SavedAnswer | PreviewAnswer,
        status_code=201,
        responses={200: {"model": PreviewAnswer, "description": "What the rule would give; nothing was kept."}},
        openapi_extra=_BODY,
    )
    async def define(
        request: Request,
        response: Response,
        by: Annotated[str, Depends(may_write)],
        preview: Annotated[bool, Query(description="Evaluate it and keep nothing.")] = False,
    ) -> dict[str, Any]:
        """Keep a definition, or with ?preview=true only say how many customers it gives. 422 names every mistake with its path."""
        definition = await json_object(request, settings.body_bytes)
        if preview:
            response.status_code = 200
            found = await run_in_threadpool(author.preview, definition)
            return {"size": found.size, "share": found.share, "sample": list(found.sample), "as_of": iso(found.as_of)}
        revision = await run_in_threadpool(author.save, definition, by=by)
        name = str(definition["name"])
        return {"name": name, "revision": revision, "status": "Saved; the next pass builds and publishes it."}

    @router.post("/{name}/rebuild", response_model=RebuildAnswer, status_code=202)
    def rebuild(name: Name, by: Annotated[str, Depends(may_write)]) -> dict[str, Any]:
        """Build the audience now, on the data of the newest build, and publish it."""
        return {"name": name, "requested_at": iso(author.rebuild(name, by=by))}

    @router.delete("/{name}", status_code=204, dependencies=[Depends(may_write)])
    def delete(name: Name) -> Response:
        """Forget an audience that is a rule."""
        author.delete(name)
        return Response(status_code=204)

    return router
