"""Splits by time: what a model may see, what it is calibrated on, what it is judged on."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.model import ModelError

CALIBRATION_FOLDS: Final = 4
# Beyond this many rows one fold of held-out customers is plenty to stop early and to calibrate on.
ALL_FOLDS_UP_TO: Final = 40_000
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Dates of one training run.

    Labels of `train_dates` and `calibration_date` end by `test_date`. `calibration_date` is not in `train_dates`, unless
    there is only one date before the test: then customers, not dates, are kept apart (see `customer_folds`). Labels of
    `overlapping_dates` reach beyond the test date: only the model that scores, after the test, may learn from them.
    """

    train_dates: tuple[date, ...]
    calibration_date: date
    test_date: date
    horizon_days: int
    overlapping_dates: tuple[date, ...] = ()

    @property
    def dates_before_test(self) -> tuple[date, ...]:
        """All dates whose labels end by the test date, oldest first."""
        return tuple(sorted({*self.train_dates, self.calibration_date}))

    @property
    def labelled_dates(self) -> tuple[date, ...]:
        """All dates with labels, oldest first; the test date is the newest."""
        return tuple(sorted({*self.dates_before_test, *self.overlapping_dates, self.test_date}))

    def rolled_forward(self) -> "Split":
        """The split of the scoring model: it learns from all labelled dates, and is calibrated on the test date, now judged."""
        return Split(self.labelled_dates[:-1], self.test_date, self.test_date, self.horizon_days)

    def refit_sentence(self) -> str:
        """How the scoring model relates to the judged one, for the card."""
        return (
            f"metrics: trained on {len(self.dates_before_test)} dates up to {self.dates_before_test[-1]}; "
            f"scoring model: the same recipe refitted on all {len(self.labelled_dates)} dates up to {self.test_date}"
        )


def time_split(labels: pd.DataFrame) -> Split:
    """Split the labelled dates by time; `labels` holds as_of_date and horizon_days, one row per customer and date.

    The newest date is the test; training takes dates D with D + horizon <= test date; those between are `overlapping_dates`.
    Raises ModelError where history is too short.
    """
    if labels.empty:
        raise ModelError("There are no labelled rows; run again once a whole horizon has passed after a feature date.")
    horizons = labels["horizon_days"].unique()
    if len(horizons) > 1:
        raise ModelError(f"Labels mix the horizons {sorted(int(h) for h in horizons)}; give the rows of one horizon.")
    horizon = int(horizons[0])
    dates = sorted(pd.to_datetime(labels["as_of_date"]).dt.date.unique())
    test = dates[-1]
    usable = [day for day in dates if day + timedelta(days=horizon) <= test]
    if not usable:
        raise ModelError(
            f"History is too short: a feature date {horizon} days before the test date {test} is needed, "
            f"the oldest is only {(test - dates[0]).days} days before it."
        )
    train = usable[:-1] if len(usable) > 1 else usable
    return Split(tuple(train), usable[-1], test, horizon, tuple(dates[len(usable) : -1]))


@dataclass(frozen=True)
class Fold:
    """Masks over the rows before the test: `held` customers are in neither `seen` nor trained on at any date; `later` are
    the held customers on the calibration date, which no `seen` row is from (unless there is only that date)."""

    seen: BoolArray
    held: BoolArray
    later: BoolArray


def crossfit_folds(rows: pd.DataFrame, split: Split) -> list[Fold]:
    """Folds over `rows` (those of `split.dates_before_test`), disjoint by customer and, where dates allow, by date."""
    fold = customer_folds(rows["customer_id"])
    is_later = _is_on(rows, split.calibration_date)
    is_earlier = _is_on(rows, *split.train_dates)
    count = CALIBRATION_FOLDS if len(rows) <= ALL_FOLDS_UP_TO else 1
    return [Fold(is_earlier & (fold != f), fold == f, is_later & (fold == f)) for f in range(count)]


def rows_on(rows: pd.DataFrame, *dates: date) -> pd.DataFrame:
    """The rows whose as_of_date is one of `dates`."""
    return rows[_is_on(rows, *dates)]


def customer_folds(customer_ids: pd.Series, *, folds: int = CALIBRATION_FOLDS) -> npt.NDArray[np.int64]:
    """Fold 0..folds-1 per row, by a hash of customer_id alone: the same customer is in one fold on every date."""
    codes, uniques = pd.factorize(customer_ids.astype(str))
    hashed = np.fromiter((crc32(str(u).encode()) % folds for u in uniques), dtype=np.int64, count=len(uniques))
    return np.asarray(hashed[codes])


def customer_sample(rows: pd.DataFrame, most_rows: int) -> pd.DataFrame:
    """All rows of as many customers as give about `most_rows` rows, drawn by a hash of their id; all rows where they are fewer.

    The hash is not that of the folds, so that a sample has customers in each of them.
    """
    if len(rows) <= most_rows:
        return rows
    kept = int(most_rows / len(rows) * 2**32)
    codes, uniques = pd.factorize(rows["customer_id"].astype(str))
    is_kept = np.fromiter((crc32(f"sample {u}".encode()) < kept for u in uniques), dtype=np.bool_, count=len(uniques))
    return rows[is_kept[codes]]


def _is_on(rows: pd.DataFrame, *dates: date) -> BoolArray:
    return np.asarray(pd.to_datetime(rows["as_of_date"]).isin(pd.to_datetime(pd.Series(list(dates), dtype="object"))))
