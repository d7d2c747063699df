"""What the API is told when it is made; nothing here reads the environment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol

from activation.errors import ActivationError

READ_PROFILES = "read:profiles"
"""A key with this scope may read profiles by any identifier."""
READ_AUDIENCES = "read:audiences"
"""A key with this scope may read audiences and who is in them."""
READ_PREDICTIONS = "read:predictions"
"""A key with this scope may ask models for scores, also of features that are otherwise than published."""
WRITE_AUDIENCES = "write:audiences"
"""A key with this scope may define, rebuild and delete audiences that are rules."""
SCOPES = (READ_PROFILES, READ_AUDIENCES, READ_PREDICTIONS, WRITE_AUDIENCES)


class KeysUnreadableError(ActivationError):
    """Whether a key is good cannot be said at this moment."""


class InvalidRuleError(ActivationError):
    """A definition cannot be taken; `problems` has one sentence for each thing that is wrong with it, with its path."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(problems[0] if problems else "The definition cannot be taken.")
        self.problems = tuple(problems)


class UnknownAudienceError(ActivationError):
    """There is no audience of that name."""


class DefinedInSqlError(ActivationError):
    """The audience is an SQL file of the dbt project: it is changed there, not over the API."""


class UnknownModelError(ActivationError):
    """There is no model of that name."""


class NotOnDemandError(ActivationError):
    """The model looks at more than the features of a customer, so that it scores in passes only."""


class NoModelError(ActivationError):
    """No version of the model can score at this moment."""


class KeyRing(Protocol):
    """The keys of this installation."""

    async def scopes_of(self, key_hash: str) -> frozenset[str] | None:
        """Scopes of the key whose sha256 (hex) is given; None where it is unknown or revoked. Raises KeysUnreadableError."""


@dataclass(frozen=True)
class Preview:
    """What a rule would give on the newest build: how many of all customers, and some of their ids."""

    size: int
    share: float
    sample: tuple[str, ...]
    as_of: datetime


class AudienceAuthor(Protocol):
    """Where definitions are kept and evaluated. Its methods may take seconds and are called in threads.

    They raise InvalidRuleError, UnknownAudienceError, DefinedInSqlError or another ActivationError.
    """

    def preview(self, definition: Mapping[str, Any]) -> Preview:
        """Evaluate the rule of a definition on the newest build and keep nothing."""

    def save(self, definition: Mapping[str, Any], *, by: str) -> int:
        """Keep a definition as the audience of its name; returns its revision, which is the old one where nothing changed."""

    def delete(self, name: str) -> None:
        """Forget an audience that is a rule; the next publication withdraws it."""

    def rebuild(self, name: str, *, by: str) -> datetime:
        """Ask for an audience to be built now rather than with the next pass; when it was asked for (naive UTC)."""


@dataclass(frozen=True)
class FeatureRow:
    """What a model is asked about: a customer's features at a date, in the order of `Scorer.features`."""

    customer_id: str
    as_of_date: date
    values: tuple[float | None, ...]


class Scorer(Protocol):
    """One version of a model, in memory."""

    @property
    def version(self) -> str:
        """Its version in the registry."""

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features that a row has."""

    def scores(self, rows: Sequence[FeatureRow]) -> list[dict[str, Any]]:
        """One mapping a row, in their order: the columns of the model's scores as JSON values, `reason_codes` as a list."""


class Predictor(Protocol):
    """The models that score on demand. Its methods may take a second and are called in threads."""

    def scorer(self, model: str) -> Scorer:
        """The version that scores now. Raises UnknownModelError, NotOnDemandError, NoModelError."""


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class ApiSettings:
    """Everything that an operator can choose of the API.

    `field_types` are the SQL types of the profile's columns: values are published as text and answered as JSON of that type.
    `score_fields` are those that a model predicted; `scored_on` names the field with the date they were predicted on.
    """

    keys: KeyRing
    author: AudienceAuthor | None = None
    predictor: Predictor | None = None
    field_types: Mapping[str, str] = field(default_factory=dict)
    score_fields: frozenset[str] = frozenset()
    scored_on: str = "predicted_on"
    body_bytes: int = 256 << 10
    rows_per_prediction: int = 100
    page_size: int = 1_000
    now: Callable[[], datetime] = _utc_now
