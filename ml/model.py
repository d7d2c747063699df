"""What every model of Weft is: a trained thing with a card, whose files are data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import pandas as pd

if TYPE_CHECKING:
    from ml.splits import Split

Numbers = Mapping[str, Any]


class ModelError(ValueError):
    """A model cannot be trained, loaded or used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a trained model, but for the time of training: equal training gives equal cards."""

    model: str
    train_dates: tuple[date, ...]
    test_date: date
    train_rows: int
    test_rows: int
    features: tuple[str, ...]
    parameters: Numbers
    metrics: Numbers
    baseline_metrics: Numbers
    data_fingerprint: str
    seed: int


class Artifact(Protocol):
    """A model that can score: it is written to and read from files that hold data only (text and JSON)."""

    def to_files(self) -> dict[str, bytes]:
        """The files that make up the model, by name."""
        ...


M_co = TypeVar("M_co", bound=Artifact, covariant=True)


@dataclass(frozen=True)
class Trained(Generic[M_co]):
    """A model ready to score, its card, and what the judged model and baselines said of each test row."""

    model: M_co
    card: ModelCard
    test_scores: pd.DataFrame = field(repr=False)


class ModelModule(Protocol):
    """What `ml.churn`, `ml.ltv` and `ml.segments` have in common, so that a caller can loop over them."""

    @property
    def MODEL(self) -> str:
        """The model's name in the registry."""
        ...

    @property
    def TABLE(self) -> str:
        """The table of `predictions` that its scores fill."""
        ...

    @property
    def train(self) -> "TrainVerb":
        """Rows with labels in, a trained model with its card out."""
        ...

    @property
    def score(self) -> "ScoreVerb":
        """Features in, the rows of the table `TABLE` out (without model_version)."""
        ...


class TrainVerb(Protocol):
    """`train(rows, split, params)`."""

    def __call__(self, rows: pd.DataFrame, split: "Split", params: Any) -> Trained[Any]: ...


class ScoreVerb(Protocol):
    """`score(model, features)`."""

    def __call__(self, model: Any, features: pd.DataFrame) -> pd.DataFrame: ...
