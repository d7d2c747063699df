"""GET /v1/profiles/{type}/{value}: a customer by any of its identifiers."""

from datetime import date, datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from activation.answers import Profile
from activation.api.access import needs
from activation.api.models import ErrorAnswer, ProfileAnswer
from activation.api.refusals import Refused
from activation.api.settings import READ_PROFILES, ApiSettings
from activation.api.typed_values import iso, typed
from activation.reader import Reader


def profile_routes(settings: ApiSettings, reader: Reader) -> APIRouter:
    """The routes that read profiles."""
    router = APIRouter(tags=["profiles"])

    @router.get(
        "/v1/profiles/{identifier_type}/{value:path}",
        response_model=ProfileAnswer,
        responses={status: {"model": ErrorAnswer} for status in (401, 403, 404, 422, 503)},
        dependencies=[Depends(needs(settings.keys, READ_PROFILES))],
    )
    def profile(
        response: Response,
        identifier_type: Annotated[
            str, Path(pattern="^[a-z][a-z0-9_.-]{0,62}$", description="email, phone, user_id, …, or customer_id.")
        ],
        value: Annotated[str, Path(min_length=1, max_length=512, description="As a person would write it.")],
    ) -> dict[str, Any]:
        """A customer by an identifier; merged customers are followed. 404 only where it is certain that there is none."""
        now = settings.now()
        found = reader.profile(identifier_type, value, now=now)
        if found is None:
            raise Refused(404, "unknown_customer", "No customer has this identifier.")
        response.headers["Cache-Control"] = "no-store"
        return _answer(settings, found, now)

    return router


def _answer(settings: ApiSettings, profile: Profile, now: datetime) -> dict[str, Any]:
    assert profile.age is not None, "the reader was given the time"
    values = {name: typed(name, value, settings.field_types) for name, value in profile.fields.items()}
    predicted_on = values.get(settings.scored_on)
    scores = {name: value for name, value in values.items() if name in settings.score_fields}
    return {
        "customer_id": profile.customer_id,
        "version": profile.version,
        "audiences": list(profile.audiences),
        "fields": {name: value for name, value in values.items() if name not in scores and name != settings.scored_on},
        "scores": {
            "predicted_on": predicted_on,
            "age_seconds": None if predicted_on is None else _seconds_since(predicted_on, now),
            "values": scores,
        },
        "as_of": iso(profile.as_of),
        "age_seconds": profile.age.total_seconds(),
    }


def _seconds_since(day: str, now: datetime) -> float:
    return (now - datetime.combine(date.fromisoformat(day), time())).total_seconds()
