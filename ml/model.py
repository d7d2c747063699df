"""What every model of Weft is: a trained thing with a card, whose files are data only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import pandas as pd

from ml.contacting import Economics

if TYPE_CHECKING:
    from ml.schema import FloatArray
    from ml.splits import Split

Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class ModelOptions:
    """What an operator chooses of the models. Horizons in days; `ltv_horizons` holds at least 90 and 365, ascending."""

    seed: int
    churn_horizon: int = 90
    ltv_horizons: tuple[int, ...] = (90, 365)
    economics: Economics = field(default_factory=Economics)

    @property
    def label_horizons(self) -> tuple[int, ...]:
        """Days that labels look ahead, ascending: those of churn and of LTV, and a month for what is bought or used next."""
        return tuple(sorted({30, self.churn_horizon, *self.ltv_horizons}))


@dataclass(frozen=True)
class Reads:
    """What a model is trained on and scores: a kind of `orchestration.model_inputs`, with the horizons of its labels in days.

    The first horizon is that of the split and of the columns `schema.LABELS`; each further one H adds the column
    `net_revenue_in_{H}d`, null where H days have not passed since the row's date.
    """

    kind: str
    horizons: tuple[int, ...]


class ModelError(ValueError):
    """A model cannot be trained, loaded or used; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a trained model, but for the time of training: equal training gives equal cards.

    `reference` holds a histogram (see `ml.drift`) per feature and score over the rows the scoring model was fitted on.
    """

    model: str
    train_dates: tuple[date, ...]
    test_date: date
    horizon_days: int
    train_rows: int
    test_rows: int
    features: tuple[str, ...]
    parameters: Numbers
    metrics: Numbers
    baseline_metrics: Numbers
    reference: Numbers
    data_fingerprint: str
    seed: int


class Artifact(Protocol):
    """A model that can score: it is written to and read from files that hold data only (text and JSON)."""

    def to_files(self) -> dict[str, bytes]:
        """The files that make up the model, by name."""
        ...


M_co = TypeVar("M_co", bound=Artifact, covariant=True)


@dataclass(frozen=True)
class Fitted(Generic[M_co]):
    """One recipe fitted twice: `judged` before the test date, `model` (which scores) with the test date among its rows."""

    model: M_co
    judged: M_co
    card: ModelCard

    def fitted_before(self, day: date) -> M_co:
        """The newest of both fits whose outcomes had all ended by `day`: it may be judged on the rows of that day.

        Raises ModelError where both have seen outcomes after it.
        """
        horizon = timedelta(days=self.card.horizon_days)
        if self.card.test_date + horizon <= day:
            return self.model
        if max(self.card.train_dates) + horizon <= day:
            return self.judged
        raise ModelError(
            f"It was trained on outcomes up to {max(self.card.train_dates) + horizon}, so it cannot be judged on rows of {day}."
        )


@dataclass(frozen=True)
class Trained(Fitted[M_co]):
    """A model fresh from training, with what the judged model and baselines said of each test row."""

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
    def PURPOSE(self) -> str:
        """What its scores say and what they are for, in a sentence of the card."""
        ...

    @property
    def LIMITS(self) -> tuple[str, ...]:
        """What its scores must not be taken for, a sentence each."""
        ...

    @property
    def LOSS(self) -> str:
        """What `losses` measures, in words."""
        ...

    @property
    def HEADLINE(self) -> tuple[str, ...]:
        """The figures of its card that `weft model list` shows."""
        ...

    @property
    def INPUTS(self) -> tuple[str, ...]:
        """Names of the features it reads."""
        ...

    @property
    def reads(self) -> Callable[[ModelOptions], Reads]:
        """What it is handed."""
        ...

    @property
    def params(self) -> Callable[[ModelOptions], Any]:
        """How it is trained, from what the operator chose."""
        ...

    @property
    def train(self) -> "TrainVerb":
        """Rows with labels in, a trained model with its card out."""
        ...

    @property
    def score(self) -> "ScoreVerb":
        """Features in, the rows of the table `TABLE` out (without model_version)."""
        ...

    @property
    def losses(self) -> "LossVerb":
        """A model and labelled rows in, how wrong it is per row out; a lower mean is a better model."""
        ...

    @property
    def from_files(self) -> "ReadVerb":
        """The inverse of `Artifact.to_files`."""
        ...


class TrainVerb(Protocol):
    """`train(rows, split, params, champion=…)`: `champion` is the scoring model of now, for what is to go on (ids of segments)."""

    def __call__(self, rows: Any, split: "Split", params: Any, *, champion: Any = None) -> Trained[Any]: ...


class ScoreVerb(Protocol):
    """`score(model, features)`."""

    def __call__(self, model: Any, features: Any) -> pd.DataFrame: ...


class LossVerb(Protocol):
    """`losses(model, rows)`."""

    def __call__(self, model: Any, rows: Any) -> "FloatArray": ...


class ReadVerb(Protocol):
    """`from_files(files)`."""

    def __call__(self, files: dict[str, bytes]) -> Any: ...
