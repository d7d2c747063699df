"""Rows of the made-up shop and models trained on them, made once."""

import pandas as pd
import pytest

from ml import churn, ltv, next_order, schema, segments, splits
from ml.model import Trained
from ml.splits import Split
from tests.ml.made_up_shop import made_up_rows

SEED = 7


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    return made_up_rows()


@pytest.fixture(scope="session")
def split(rows: pd.DataFrame) -> Split:
    return splits.time_split(rows)


@pytest.fixture(scope="session")
def features(rows: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Features without labels on the test date."""
    return splits.rows_on(rows, split.test_date)[[*schema.KEYS, *schema.FEATURE_NAMES]].reset_index(drop=True)


@pytest.fixture(scope="session")
def trained_churn(rows: pd.DataFrame, split: Split) -> Trained[churn.ChurnModel]:
    return churn.train(rows, split, churn.ChurnParams(seed=SEED))


@pytest.fixture(scope="session")
def trained_ltv(rows: pd.DataFrame, split: Split) -> Trained[ltv.LtvModel]:
    return ltv.train(rows, split, ltv.LtvParams(seed=SEED))


@pytest.fixture(scope="session")
def trained_next_order(rows: pd.DataFrame, split: Split) -> Trained[next_order.NextOrderModel]:
    return next_order.train(rows, split, next_order.NextOrderParams(seed=SEED))


@pytest.fixture(scope="session")
def trained_segments(rows: pd.DataFrame, split: Split) -> Trained[segments.SegmentsModel]:
    return segments.train(rows, split, segments.SegmentParams(seed=SEED))
