"""What holds for every model of customers: bad data give a score or a sentence, and no model sees what it is judged on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml import MODELS, boosting, churn, gate, linear, schema
from ml.model import ModelError, ModelOptions
from ml.schema import FeatureError
from ml.splits import Split, rows_on
from tests.ml.conftest import SEED

OPTIONS = ModelOptions(SEED)
OF_CUSTOMERS = [module for module in MODELS if module.reads(OPTIONS).kind == "customers"]
every_model = pytest.mark.parametrize("module", OF_CUSTOMERS, ids=lambda module: module.MODEL)


@pytest.fixture
def trained(request: pytest.FixtureRequest, module: Any) -> Any:
    return request.getfixturevalue(f"trained_{module.MODEL}")


def assert_scored(module: Any, scores: pd.DataFrame, features: pd.DataFrame) -> None:
    """Everybody has scores; a number is finite, a probability one; what has no value is null."""
    assert list(scores.columns) == [name for name in schema.PREDICTIONS[module.TABLE] if name != "model_version"]
    assert set(scores["customer_id"]) == set(features["customer_id"])
    for name in scores.select_dtypes("number"):
        known = scores[name].dropna()
        assert np.isfinite(known).all(), name
        if "probability" in name or "chance" in name:
            assert known.between(0, 1).all(), name


# ---- scoring -------------------------------------------------------------------------------------------------------------

BROKEN: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "nothing known": lambda f: f.assign(**dict.fromkeys(schema.FEATURE_NAMES, np.nan)),
    "infinity": lambda f: f.assign(**dict.fromkeys(schema.FEATURE_NAMES, np.inf)),
    "minus infinity": lambda f: f.assign(**dict.fromkeys(schema.FEATURE_NAMES, -np.inf)),
    "the largest number": lambda f: f.assign(**dict.fromkeys(schema.FEATURE_NAMES, 1.7e308)),
    "below zero": lambda f: f.assign(**{name: -f[name].abs() - 1 for name in schema.FEATURE_NAMES}),
    "never ordered": lambda f: f.assign(
        **{name: 0 for name in schema.FEATURE_NAMES if "order" in name or "revenue" in name}, recency_days=np.nan
    ),
    "nothing, as objects": lambda f: f.assign(order_count=[None] * len(f)),
    "one customer": lambda f: f.head(1),
}


@every_model
@pytest.mark.parametrize("fault", BROKEN)
def test_broken_values_are_scored(module: Any, trained: Any, features: pd.DataFrame, fault: str) -> None:
    broken = BROKEN[fault](features.head(40)).reset_index(drop=True)
    assert_scored(module, module.score(trained.model, broken), broken)


@every_model
def test_nobody_to_score_is_nobody_scored(module: Any, trained: Any, features: pd.DataFrame) -> None:
    assert module.score(trained.model, features.head(0)).empty


@every_model
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda f: f.assign(has_churned=True), "unknown has_churned"),
        (lambda f: f.assign(net_revenue="a lot"), "Not numeric: net_revenue"),
        (lambda f: f.drop(columns="order_count"), "lacks order_count"),
        (lambda f: pd.concat([f, f.head(1)]), "occurs twice"),
        (lambda f: f.assign(customer_id=None), "no customer_id"),
    ],
    ids=["a label", "text", "a column less", "twice", "nobody"],
)
def test_rows_that_are_no_features_are_refused_in_a_sentence(
    module: Any, trained: Any, features: pd.DataFrame, fault: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    with pytest.raises(FeatureError, match=said) as error:
        module.score(trained.model, fault(features.head(5)))
    assert str(error.value).endswith(".")


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@every_model
def test_any_number_gets_a_score_and_a_score_does_not_depend_on_who_else_is_scored(
    module: Any, trained: Any, features: pd.DataFrame, data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(schema.FEATURE_NAMES), min_size=1, max_size=8, unique=True))
    values = data.draw(st.lists(st.floats(width=64), min_size=len(names), max_size=len(names)))
    odd = features.head(3).assign(**dict(zip(names, values, strict=True))).reset_index(drop=True)
    together = module.score(trained.model, odd)
    assert_scored(module, together, odd)
    alone = pd.concat([module.score(trained.model, odd.iloc[[i]].reset_index(drop=True)) for i in range(3)])
    pd.testing.assert_frame_equal(alone.reset_index(drop=True), together, check_exact=True)


# ---- training ------------------------------------------------------------------------------------------------------------


@every_model
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda r: r.assign(ordered_again=r["order_count_in_horizon"]), "unknown ordered_again"),
        (lambda r: r.assign(net_revenue="a lot"), "Not numeric: net_revenue"),
        (lambda r: r.assign(has_churned=[None, *r["has_churned"].iloc[1:].astype(object)]), "has_churned"),
        (lambda r: pd.concat([r, r.head(1)]), "occurs twice"),
    ],
    ids=["a label among the features", "text", "no label", "twice"],
)
def test_rows_that_nothing_may_be_learnt_from_are_refused_in_a_sentence(
    module: Any, rows: pd.DataFrame, split: Split, fault: Callable[[pd.DataFrame], pd.DataFrame], said: str
) -> None:
    with pytest.raises((FeatureError, ModelError), match=said) as error:
        module.train(fault(rows), split, module.params(OPTIONS))
    assert str(error.value).endswith(".")


@every_model
def test_features_that_are_all_the_same_teach_nothing(module: Any, rows: pd.DataFrame, split: Split) -> None:
    with pytest.raises(ModelError, match=r"same value|only 1 different"):
        module.train(rows.assign(**dict.fromkeys(schema.FEATURE_NAMES, 1.0)), split, module.params(OPTIONS))


# ---- leaks ---------------------------------------------------------------------------------------------------------------


def with_another_test_date(rows: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Other features and other outcomes on the test date: what was fitted before it cannot know."""
    is_test = rows["as_of_date"] == pd.Timestamp(split.test_date)
    numbers = [name for name in schema.FEATURE_NAMES if name != "tenure_days"]
    changed = rows.astype(dict.fromkeys(numbers, "float64"))
    changed.loc[is_test, numbers] = changed.loc[is_test, numbers].to_numpy()[::-1] * 3 + 1
    names = [name for name in schema.LABEL_NAMES if name != "horizon_days"]
    changed.loc[is_test, names] = rows.loc[is_test, names].to_numpy()[::-1]
    return changed.astype({name: rows[name].dtype for name in names})


@every_model
def test_what_is_judged_has_seen_nothing_of_the_test_date(
    module: Any, trained: Any, rows: pd.DataFrame, split: Split
) -> None:
    again = module.train(with_another_test_date(rows, split), split, module.params(OPTIONS))
    on_the_day = rows_on(rows, split.test_date)
    assert np.array_equal(module.losses(again.judged, on_the_day), module.losses(trained.judged, on_the_day))
    assert not np.array_equal(module.losses(again.model, on_the_day), module.losses(trained.model, on_the_day))


def test_a_scaler_that_was_fitted_on_everything_is_found_by_the_same_comparison(
    rows: pd.DataFrame, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = replace(churn.params(OPTIONS), boosting=boosting.BoostingParams(most_trees=5))
    rows, fit = rows[rows["customer_id"].astype(int) < 200], linear.fit_scaling
    found = []
    for everything in (rows, with_another_test_date(rows, split)):
        whole = schema.matrix(everything)
        monkeypatch.setattr(linear, "fit_scaling", lambda seen, whole=whole: _of_everything(fit, whole, seen))
        found.append(churn.losses(churn.train(everything, split, quick).judged, rows_on(rows, split.test_date)))
    assert not np.array_equal(*found)


def _of_everything(fit: Any, whole: Any, seen: Any) -> linear.Scaling:
    further = np.zeros((len(whole), seen.shape[1] - whole.shape[1]))
    return fit(np.column_stack([whole, further]))  # type: ignore[no-any-return]


def test_a_challenger_that_wins_by_a_leak_is_not_promoted_on_its_own(
    trained_churn: Any, rows: pd.DataFrame, split: Split
) -> None:
    quick = replace(churn.params(OPTIONS), boosting=boosting.BoostingParams(most_trees=10))
    leaking = rows.assign(session_count_30d=rows["order_count_in_horizon"].astype("float64"))
    leaky = churn.train(leaking, split, quick)
    on_the_day = rows_on(leaking, split.test_date)
    assert gate.compare(churn, trained_churn, leaky, on_the_day, day=split.test_date).is_better
    decision = gate.decide(churn, leaky, trained_churn, against="a", rows=on_the_day)
    assert not decision.is_promoted
    assert decision.reason.startswith("session_count_30d alone tells the outcome")
    assert gate.decide(churn, leaky, leaky, against="a", rows=on_the_day).reason.startswith("not clearly better")
