"""The registry gate: a challenger takes the champion's place only where it is better on the same rows, beyond chance."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ml.evaluation import LEAK
from ml.model import Fitted, ModelError, ModelModule
from ml.schema import FloatArray

RESAMPLES: Final = 2_000
# The bootstrap draws groups of customers: with this many, the interval is that of single customers, at any number of rows.
MOST_GROUPS: Final = 2_000
SMALLEST_ROWS: Final = 100
SMALLEST_GAIN: Final = 0.005
INTERVAL: Final = 0.95
SEED: Final = 20
RULE: Final = (
    "A challenger is promoted where its mean loss on the newest labelled date is at least 0.5 % below the champion's "
    "and the 95 % interval of that gain (paired bootstrap over customers) lies above 0, on 100 rows or more."
)


@dataclass(frozen=True)
class Comparison:
    """Mean losses of two models on the same rows of `test_date`; `gain` is relative to the champion's loss, with its interval."""

    loss: str
    test_date: date
    rows: int
    champion_loss: float
    challenger_loss: float
    gain: float
    lower: float
    upper: float

    @property
    def is_better(self) -> bool:
        """Whether the challenger wins by RULE."""
        return self.rows >= SMALLEST_ROWS and self.gain >= SMALLEST_GAIN and self.lower > 0

    def sentence(self) -> str:
        """The numbers in words."""
        return (
            f"{self.loss} {self.challenger_loss:.5g} against the champion's {self.champion_loss:.5g} on {self.rows:,} rows "
            f"of {self.test_date}: a gain of {self.gain:.2%} (95 % interval {self.lower:.2%} to {self.upper:.2%})"
        )


@dataclass(frozen=True)
class Decision:
    """What becomes of a trained version and why; `against` is the champion that it was held to."""

    is_promoted: bool
    reason: str
    against: str | None = None
    comparison: Comparison | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON (a date as text)."""
        stored = asdict(self)
        if self.comparison:
            stored["comparison"]["test_date"] = self.comparison.test_date.isoformat()
        return stored


def compare(module: ModelModule, champion: Fitted[Any], challenger: Fitted[Any], rows: Any, *, day: date) -> Comparison:
    """Judge both on `rows` (with outcomes, all of `day`), each by its newest fit that has not seen their outcomes.

    The fit that scores has the test date of its own training among its rows. Where that reaches beyond this date, the
    fit before it is judged, so that nobody is judged on what it learnt; both then stand one refit behind the one that
    scores. Raises ModelError where one has no such fit.
    """
    theirs, ours = (module.losses(fitted.fitted_before(day), rows) for fitted in (champion, challenger))
    gain, lower, upper = _gain(theirs, ours)
    return Comparison(module.LOSS, day, len(theirs), float(theirs.mean()), float(ours.mean()), gain, lower, upper)


def decide(module: ModelModule, challenger: Fitted[Any], champion: Fitted[Any], *, against: str, rows: Any) -> Decision:
    """Whether the challenger takes the place of the champion `against`, by RULE on the challenger's own test rows.

    `rows` are those of the challenger's test date, with outcomes. A champion that has seen those outcomes in both its fits stays,
    and so does one that is free of a leak which the challenger seems to have: it would win by it.
    """
    known = suspected_leaks(champion)
    if found := [sentence for column, sentence in suspected_leaks(challenger).items() if column not in known]:
        return Decision(False, f"{found[0]} If it is none, promote it by hand", against)
    try:
        comparison = compare(module, champion, challenger, rows, day=challenger.card.test_date)
    except ModelError as error:
        return Decision(False, f"not comparable with the champion {against}: {error}", against)
    if comparison.is_better:
        return Decision(True, f"better than {against}: {comparison.sentence()}", against, comparison)
    few = f" ({SMALLEST_ROWS} rows are needed to tell)" if comparison.rows < SMALLEST_ROWS else ""
    return Decision(False, f"not clearly better than {against}{few}: {comparison.sentence()}", against, comparison)


def suspected_leaks(fitted: Fitted[Any]) -> dict[str, str]:
    """The warnings of a card that name a column which may look past its date, by column."""
    warnings = (str(sentence) for sentence in fitted.card.metrics.get("warnings", []))
    return {sentence.split()[0]: sentence for sentence in warnings if LEAK in sentence}


def _gain(champion: FloatArray, challenger: FloatArray) -> tuple[float, float, float]:
    """Relative gain of the challenger's mean loss, with the bounds of its interval; losses are paired by row."""
    random = np.random.default_rng(SEED)
    groups = random.permutation(len(champion)) % min(len(champion), MOST_GROUPS)
    theirs, ours = (np.bincount(groups, weights=losses) for losses in (champion, challenger))
    drawn = random.integers(0, len(theirs), (RESAMPLES, len(theirs)))
    gains = _relative(theirs[drawn].sum(axis=1), ours[drawn].sum(axis=1))
    lower, upper = np.quantile(gains, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(_relative(theirs.sum(), ours.sum())[0]), float(lower), float(upper)


def _relative(champion: npt.ArrayLike, challenger: npt.ArrayLike) -> FloatArray:
    """A champion without any loss cannot be beaten."""
    theirs, ours = (np.atleast_1d(np.asarray(loss, dtype=np.float64)) for loss in (champion, challenger))
    return np.asarray(np.divide(theirs - ours, theirs, out=np.full(len(theirs), -1.0), where=theirs > 0))
