"""The card for people says what somebody needs who has never seen the model."""

from dataclasses import replace

import pytest

from ml import churn, registry
from ml.card_text import card_text
from ml.model import Trained
from ml.schema import FEATURES


@pytest.mark.parametrize("model", ["churn", "ltv", "segments"])
def test_the_card_names_purpose_data_quality_limits_features_and_the_way_to_make_it_again(
    model: str, request: pytest.FixtureRequest
) -> None:
    trained: Trained[churn.ChurnModel] = request.getfixturevalue(f"trained_{model}")
    card, module = trained.card, registry.MODULES[model]
    text = card_text(card, module)
    for said in (module.PURPOSE, *module.LIMITS, card.data_fingerprint, f"WEFT_SEED={card.seed}", "--as-of 2025-04-25"):
        assert said in text
    for day in (*card.train_dates, card.test_date):
        assert day.isoformat() in text
    for name in card.baseline_metrics:
        assert name in text
    units = {feature.name: feature.unit for feature in FEATURES}
    for name in card.features:
        assert f"| `{name}` | {units[name]} |" in text
    assert f"{card.test_rows:,} rows" in text


def test_the_card_of_churn_holds_threshold_and_calibration_and_says_a_missing_season(
    trained_churn: Trained[churn.ChurnModel],
) -> None:
    card = trained_churn.card
    text = card_text(card, churn)
    assert f"| threshold | {card.metrics['threshold']:,.4g} |" in text
    assert f"| threshold | `{card.parameters['threshold']}` |" in text
    assert "| from | to | rows | mean_probability | observed_rate |" in text
    assert text.count("\n| 0") >= len(card.metrics["calibration_table"])
    assert "a season was never seen" not in text
    young = replace(
        card, metrics={**card.metrics, "warnings": ["Less than a year of history: a season was never seen."]}
    )
    assert "* Less than a year of history: a season was never seen." in card_text(young, churn)


def test_every_table_is_whole_markdown(trained_churn: Trained[churn.ChurnModel]) -> None:
    for block in card_text(trained_churn.card, churn).split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1
