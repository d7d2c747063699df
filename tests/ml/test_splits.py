from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml import splits
from ml.model import ModelError
from ml.splits import Split
from tests.ml.made_up_shop import one_date_rows


def labels_on(*days: date, horizon: int = 90) -> pd.DataFrame:
    return pd.DataFrame({"as_of_date": days, "horizon_days": horizon, "customer_id": "a"})


def test_training_labels_end_by_the_test_date() -> None:
    days = [date(2024, 1, 1) + timedelta(days=30 * n) for n in range(12)]
    split = splits.time_split(labels_on(*days))
    assert split.test_date == days[-1]
    assert max(split.dates_before_test) + timedelta(days=90) <= split.test_date
    assert split.calibration_date == days[8]
    assert split.train_dates == tuple(days[:8])


def test_a_date_whose_horizon_passes_the_test_date_by_a_day_is_left_out() -> None:
    test = date(2024, 6, 1)
    split = splits.time_split(labels_on(test - timedelta(days=100), test - timedelta(days=89), test))
    assert split.dates_before_test == (test - timedelta(days=100),)
    assert split.overlapping_dates == (test - timedelta(days=89),)


def test_too_short_a_history_is_said_with_the_days_that_are_needed() -> None:
    with pytest.raises(
        ModelError, match="90 days before the test date 2024-03-01 is needed, the oldest is only 60 days"
    ):
        splits.time_split(labels_on(date(2024, 1, 1), date(2024, 3, 1)))


def test_no_labels_at_all_is_said() -> None:
    with pytest.raises(ModelError, match="no labelled rows"):
        splits.time_split(labels_on().head(0))


def test_two_horizons_are_refused() -> None:
    mixed = pd.concat([labels_on(date(2024, 1, 1)), labels_on(date(2024, 9, 1), horizon=30)])
    with pytest.raises(ModelError, match=r"horizons \[30, 90\]"):
        splits.time_split(mixed)


def assert_folds_leak_nothing(rows: pd.DataFrame, split: Split) -> None:
    before = splits.rows_on(rows, *split.dates_before_test)
    folds = splits.crossfit_folds(before, split)
    customers, days = before["customer_id"].to_numpy(), pd.to_datetime(before["as_of_date"]).to_numpy()
    for fold in folds:
        assert not set(customers[fold.seen]) & set(customers[fold.held])
        assert not (fold.seen & fold.later).any()
        assert days[fold.seen].max() <= days[fold.later].min()
    assert np.logical_or.reduce([fold.held for fold in folds]).all()


def test_folds_keep_customers_apart_and_judge_on_later_dates(rows: pd.DataFrame, split: Split) -> None:
    assert len(split.train_dates) == 5
    assert_folds_leak_nothing(rows, split)


def test_with_one_training_date_customers_are_kept_apart() -> None:
    rows = one_date_rows()
    split = splits.time_split(rows)
    assert split.train_dates == (split.calibration_date,)
    assert_folds_leak_nothing(rows, split)


def test_a_customer_is_in_the_same_fold_on_every_date_and_in_any_order(rows: pd.DataFrame) -> None:
    folds = pd.Series(splits.customer_folds(rows["customer_id"]), index=rows.index)
    assert (folds.groupby(rows["customer_id"]).nunique() == 1).all()
    shuffled = rows.sample(frac=1, random_state=1)
    assert (splits.customer_folds(shuffled["customer_id"]) == folds[shuffled.index]).all()


def test_the_scoring_model_is_trained_on_all_labelled_dates_up_to_the_test_date() -> None:
    days = (date(2024, 1, 1), date(2024, 2, 1), date(2024, 5, 1), date(2024, 6, 1))
    split = splits.time_split(labels_on(*days))
    assert (split.dates_before_test, split.overlapping_dates) == (days[:2], days[2:3])
    assert split.rolled_forward() == Split(days[:3], days[3], days[3], 90)
