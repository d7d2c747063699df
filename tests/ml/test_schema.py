import numpy as np
import pandas as pd
import pytest

from ml import schema
from ml.schema import FeatureError


def test_a_frame_as_promised_passes_in_any_column_order(features: pd.DataFrame) -> None:
    schema.check_features(features[sorted(features.columns)])


def test_an_empty_frame_passes() -> None:
    schema.check_features(pd.DataFrame(columns=[*schema.KEYS, *schema.FEATURE_NAMES]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop(columns="net_revenue"), "lacks net_revenue"),
        (lambda f: f.assign(future_orders=1), "unknown future_orders"),
        (lambda f: f.assign(has_churned=True), "unknown has_churned"),
        (lambda f: f.assign(order_count="three"), r"order_count \(object\)"),
        (lambda f: f.assign(customer_id=None), "no customer_id"),
        (lambda f: pd.concat([f, f.head(1)]), "occurs twice"),
    ],
)
def test_a_frame_that_is_not_as_promised_is_refused_in_one_sentence(
    features: pd.DataFrame, change: object, words: str
) -> None:
    with pytest.raises(FeatureError, match=words) as error:
        schema.check_features(change(features))  # type: ignore[operator]
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_rows_without_a_label_are_refused(rows: pd.DataFrame) -> None:
    with pytest.raises(FeatureError, match="no value in net_revenue_in_horizon"):
        schema.check_rows(rows.assign(net_revenue_in_horizon=np.nan))


def test_infinity_and_missing_values_reach_the_models_as_nan(features: pd.DataFrame) -> None:
    changed = features.assign(net_revenue=np.inf, order_count=pd.array([None] * len(features), dtype="Int64"))
    values = schema.matrix(changed)
    assert np.isnan(values[:, schema.FEATURE_NAMES.index("net_revenue")]).all()
    assert np.isnan(values[:, schema.FEATURE_NAMES.index("order_count")]).all()


def test_features_meet_their_labels_whatever_the_type_of_the_date(rows: pd.DataFrame) -> None:
    as_dates = rows[[*schema.KEYS, *schema.FEATURE_NAMES]]
    as_times = rows[list(schema.LABELS)].assign(as_of_date=pd.to_datetime(rows["as_of_date"]))
    joined = schema.training_rows(as_dates, as_times)
    schema.check_rows(joined)
    assert len(joined) == len(rows)


def test_every_feature_has_words_that_take_its_value() -> None:
    assert len(set(schema.FEATURE_NAMES)) == len(schema.FEATURES)
    assert [f.name for f in schema.FEATURES if "{value}" not in f.words] == []
