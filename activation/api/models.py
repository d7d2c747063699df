"""The shapes of answers, which make the OpenAPI document. Instants are ISO 8601 in UTC, ages are seconds."""

from typing import Any

from pydantic import BaseModel, Field


class Aged(BaseModel):
    """How fresh an answer is."""

    as_of: str = Field(description="Events up to this instant are in the answer.")
    age_seconds: float = Field(description="How long ago that was.")


class Scores(BaseModel):
    """What models predicted of a customer."""

    predicted_on: str | None = Field(description="The date that the predictions were made for.")
    age_seconds: float | None = Field(description="How long ago that date began.")
    values: dict[str, Any]


class ProfileAnswer(Aged):
    """One customer."""

    customer_id: str
    version: int = Field(description="The publication that last changed this profile.")
    audiences: list[str]
    fields: dict[str, Any] = Field(description="The columns of the 360 that are not null.")
    scores: Scores


class AudienceAnswer(Aged):
    """The version of an audience that readers see."""

    name: str
    version: int
    members: int
    checksum: str
    definition_hash: str
    published_at: str
    pinned_version: int | None = Field(description="The version that a rollback holds readers at.")
    is_past_expiry: bool = Field(description="Nobody published or confirmed it for longer than its `expires_after`.")


class AudiencesAnswer(BaseModel):
    """All published audiences, by name."""

    audiences: list[AudienceAnswer]
    unreadable: list[str] = Field(description="Published once, and expired or not whole in Redis now.")


class MembersAnswer(Aged):
    """A page of an audience's members."""

    name: str
    version: int
    customer_ids: list[str]
    next_cursor: str | None = Field(description="Give it back as ?cursor= for the next page; null on the last one.")


class MembershipAnswer(Aged):
    """Whether one customer is in an audience."""

    name: str
    version: int
    customer_id: str
    is_member: bool


class PreviewAnswer(BaseModel):
    """What a rule would give now; nothing was kept."""

    size: int
    share: float = Field(description="Of all customers, 0 to 1.")
    sample: list[str] = Field(description="Some customer ids.")
    as_of: str


class SavedAnswer(BaseModel):
    """A definition that was kept."""

    name: str
    revision: int
    status: str = Field(description="When it is built: with the next pass, or sooner when a rebuild is asked for.")


class RebuildAnswer(BaseModel):
    """A rebuild that was asked for."""

    name: str
    requested_at: str


class RowError(BaseModel):
    """Why one customer of several has no prediction."""

    code: str
    message: str


class Prediction(BaseModel):
    """What the model says of one customer, or why it says nothing; in the order in which customers were asked for."""

    customer_id: str | None = Field(None, description="The living customer that the identifier leads to.")
    as_of_date: str | None = Field(None, description="The date that the score looks ahead from.")
    as_of: str | None = Field(None, description="Events up to this instant are in the features.")
    age_seconds: float | None = Field(None, description="How long ago that was.")
    values: dict[str, Any] | None = Field(None, description="The columns of the model's table of predictions.")
    reason_codes: list[dict[str, Any]] | None = Field(None, description="What moved the score most.")
    error: RowError | None = None


class PredictionsAnswer(BaseModel):
    """What one version of a model says of customers."""

    model: str
    model_version: str
    changed: list[str] = Field(description="Features that were taken otherwise than published.")
    predictions: list[Prediction]


class ErrorBody(BaseModel):
    """Why not."""

    code: str
    message: str
    request_id: str
    problems: list[str] | None = None


class ErrorAnswer(BaseModel):
    """The one shape of every refusal."""

    error: ErrorBody
