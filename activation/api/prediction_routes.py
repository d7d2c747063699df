"""POST /v1/predictions/{model}: a model asked about customers, as their features are published or with some of them changed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from activation.api.access import needs
from activation.api.bodies import json_object
from activation.api.models import ErrorAnswer, PredictionsAnswer
from activation.api.refusals import Refused
from activation.api.settings import READ_PREDICTIONS, ApiSettings, FeatureRow, Predictor, Scorer
from activation.api.typed_values import iso
from activation.published_features import PublishedFeatures
from activation.reader import Reader

_NOT_PUBLISHED = {
    "code": "features_not_published",
    "message": "No features are published under this identifier: there is no such customer, or none with an order.",
}
_STRICT = ConfigDict(extra="forbid", strict=True)


class AskedCustomer(BaseModel):
    """A customer by an identifier."""

    model_config = _STRICT
    type: str = Field(pattern="^[a-z][a-z0-9_.-]{0,62}$", description="email, phone, user_id, …, or customer_id.")
    value: str = Field(min_length=1, max_length=512, description="As a person would write it.")


class PredictionRequest(BaseModel):
    """Whom a model is asked about, and what to take otherwise than published (what if)."""

    model_config = _STRICT
    customers: list[AskedCustomer] = Field(min_length=1)
    changes: dict[str, float | None] = Field(
        {}, description="Feature to number, or null for unknown; for every customer."
    )


_EXAMPLE = {
    "customers": [{"type": "email", "value": "anna@example.com"}, {"type": "customer_id", "value": "4f0c…"}],
    "changes": {"recency_days": 3},
}


@dataclass(frozen=True)
class _Asked:
    customers: list[tuple[str, str]]
    changes: Mapping[str, float | None]


def prediction_routes(settings: ApiSettings, predictor: Predictor, reader: Reader) -> APIRouter:
    """The route that asks models."""
    router = APIRouter(tags=["predictions"])
    schema = PredictionRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    customer = schema.pop("$defs")["AskedCustomer"]
    schema["properties"]["customers"] |= {"items": customer, "maxItems": settings.rows_per_prediction}
    body = {"required": True, "content": {"application/json": {"schema": schema, "example": _EXAMPLE}}}

    @router.post(
        "/v1/predictions/{model}",
        response_model=PredictionsAnswer,
        response_model_exclude_none=False,
        responses={status: {"model": ErrorAnswer} for status in (400, 401, 403, 404, 409, 413, 422, 503)},
        dependencies=[Depends(needs(settings.keys, READ_PREDICTIONS))],
        openapi_extra={"requestBody": body},
    )
    async def predict(
        request: Request,
        response: Response,
        model: Annotated[
            str, Path(pattern="^[a-z][a-z0-9_]{0,62}$", description="churn, ltv, segments, next_order, …")
        ],
    ) -> dict[str, Any]:
        """What the model that scores now says: the numbers of the batch, bit for bit, where features are those of its run.

        A customer without published features is 404 where it was the only one asked for, else an `error` in its place.
        """
        asked = _asked(await json_object(request, settings.body_bytes), settings.rows_per_prediction)
        response.headers["Cache-Control"] = "no-store"
        return await run_in_threadpool(_answer, model, asked, predictor, reader, settings.now())

    return router


def _asked(body: dict[str, Any], most: int) -> _Asked:
    try:
        given = PredictionRequest.model_validate(body)
    except ValidationError as error:
        places = sorted({_place(each["loc"]) for each in error.errors()})[:5]
        problems = [f"{place} is missing, unknown or not of its type." for place in places]
        raise Refused(422, "invalid", "The body is not what a prediction needs.", problems=problems) from None
    if len(given.customers) > most:
        raise Refused(422, "too_many", f"Ask about {most} customers at a time.")
    if not all(value is None or math.isfinite(value) for value in given.changes.values()):
        raise Refused(422, "invalid", "A change is a number or null.")
    return _Asked([(each.type, each.value) for each in given.customers], given.changes)


def _place(location: Sequence[str | int]) -> str:
    """Where the body is wrong, without names that the sender made up."""
    known = {*PredictionRequest.model_fields, *AskedCustomer.model_fields}
    parts = [
        f"[{part}]" if isinstance(part, int) else f".{part}"
        for part in location
        if isinstance(part, int) or part in known
    ]
    return "$" + "".join(parts)


def _answer(model: str, asked: _Asked, predictor: Predictor, reader: Reader, now: datetime) -> dict[str, Any]:
    scorer = predictor.scorer(model)
    unknown = [name for name in asked.changes if name not in scorer.features]
    if unknown:
        sentence = f"{len(unknown)} of the changed names are no features; docs/features.md lists those that there are."
        raise Refused(422, "unknown_feature", sentence)
    found = reader.features(asked.customers, scorer.features, now=now)
    if len(found) == 1 and found[0] is None:
        raise Refused(404, _NOT_PUBLISHED["code"], _NOT_PUBLISHED["message"])
    people = {each.customer_id: each for each in found if each is not None}
    scores = _scores(scorer, list(people.values()), asked.changes)
    return {
        "model": model,
        "model_version": scorer.version,
        "changed": sorted(asked.changes),
        "predictions": [scores[each.customer_id] if each else {"error": _NOT_PUBLISHED} for each in found],
    }


def _scores(
    scorer: Scorer, people: Sequence[PublishedFeatures], changes: Mapping[str, float | None]
) -> dict[str, dict[str, Any]]:
    places = {name: at for at, name in enumerate(scorer.features)}
    rows = []
    for each in people:
        values = list(each.values)
        for name, value in changes.items():
            values[places[name]] = value
        rows.append(FeatureRow(each.customer_id, each.as_of_date, tuple(values)))
    answers = {}
    for each, score in zip(people, scorer.scores(rows) if rows else [], strict=True):
        reasons = score.pop("reason_codes", None)
        answers[each.customer_id] = {
            "customer_id": each.customer_id,
            "as_of_date": each.as_of_date.isoformat(),
            "as_of": iso(each.as_of),
            "age_seconds": each.age.total_seconds(),
            "values": score,
            "reason_codes": reasons,
        }
    return answers
