"""The worked example of docs/add-a-model.md: its model goes through training, gate, card, scoring, checks and `weft model`."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from session_intent import inputs, model
from session_intent.columns import COLUMNS, NAMES, PAGE_VALUE
from session_intent.land import land, sessions, with_open_sessions
from typer.testing import CliRunner

from ml import registry, schema, splits
from ml.model import ModelError, Reads
from orchestration import model_checks, model_inputs, scoring
from orchestration.cli import app
from orchestration.resources import Platform
from tests.ml.shop_history import DATA
from tests.orchestration.model_shop import TODAY, labelled, of_today, platform_at, score_at, train_at, write_shop

SHOPPERS = DATA / "online_shoppers" / "sessions.parquet"


def made_up_sessions(months: int = 4, each: int = 250, *, seed: int = 1) -> pd.DataFrame:
    """Sessions of the months before TODAY: who looks at many products and pages that few leave, buys."""
    random = np.random.default_rng(seed)
    rows = months * each
    found = pd.DataFrame({name: random.poisson(3, rows) for name in NAMES})
    chance = 1 / (1 + np.exp(1 - 0.8 * (found["product_pages"] - found["exit_rate"])))
    bought = random.random(rows) < chance
    days = [TODAY - timedelta(days=10 + 30 * (number % months)) for number in range(rows)]
    return found.assign(
        session_id=[f"s{number:04d}" for number in range(rows)],
        session_date=days,
        month=[day.month for day in days],
        page_value=5.0 * bought,
        has_purchased=bought,
    )[list(COLUMNS)]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the package's two entry points do it."""
    monkeypatch.setitem(registry.MODULES, "session_intent", model)
    monkeypatch.setitem(schema.PREDICTIONS, model.TABLE, dict(model.COLUMNS))
    monkeypatch.setattr(model_inputs, "INPUTS", {**model_inputs.INPUTS, "sessions": inputs.INPUTS})
    for module in (model_checks, scoring):
        monkeypatch.setattr(module, "INPUTS", model_inputs.INPUTS)
    monkeypatch.setattr("orchestration.predicting.INPUTS", model_inputs.INPUTS)
    monkeypatch.setattr(scoring, "MODELS", (model,))


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    platform = platform_at(tmp_path)
    with platform.warehouse.writer() as connection:
        write_shop(connection, labelled(20), of_today(TODAY, 20), TODAY)
    return platform


def landed(platform: Platform, found: pd.DataFrame) -> None:
    with platform.warehouse.writer() as connection:
        land(connection, found)


def test_it_is_trained_judged_scored_checked_and_shown_as_any_model(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made_up_sessions()
    landed(platform, found.assign(has_purchased=found["has_purchased"].astype("boolean").where(found.index % 5 > 0)))
    card = train_at(platform, model)
    metrics, baselines = json.loads(card["metrics"]), json.loads(card["baseline_metrics"])
    assert metrics["roc_auc"] > 0.7
    assert metrics["brier"] < baselines["base_rate"]["brier"]
    assert metrics["warnings"] == []
    assert train_at(platform, model) == card, "the same sessions give the same version, and it is judged once"
    scored = score_at(platform)["session_intent"]
    assert (scored.rows, scored.version, scored.problems) == (200, card["version"], ())
    with platform.warehouse.writer() as connection:
        rows = connection.rows(
            "select session_id, as_of_date, purchase_probability from predictions.session_intent_scores"
        )
        for evaluate in model_checks.OF_EVERY_MODEL:
            assert evaluate(connection, platform, model).passed, evaluate.__name__
    assert {day for _, day, _ in rows} == {TODAY}
    assert all(0 < chance < 1 for *_, chance in rows)
    platform.warehouse.serve_newest_build()
    monkeypatch.setenv("WEFT_HOME", str(platform.settings.home))
    said = CliRunner().invoke(app, ["model", "show", "session_intent"]).output
    assert "# session_intent: model card" in said
    assert "product pages" in said
    assert "a gain of 0.00%" in CliRunner().invoke(app, ["model", "compare", "session_intent", card["version"]]).output


def test_the_gate_judges_challengers_on_sessions_that_neither_side_has_seen(platform: Platform) -> None:
    found = made_up_sessions()
    shuffled = found.assign(product_pages=found["product_pages"].sample(frac=1, random_state=1).to_numpy())
    newest = found["session_date"] > TODAY - timedelta(days=30)
    landed(platform, found.where(newest, shuffled))
    blind = train_at(platform, model)
    landed(platform, found)
    decision = json.loads(train_at(platform, model)["decision"])
    assert decision["is_promoted"]
    assert decision["against"] == blind["version"]
    assert decision["comparison"]["rows"] == newest.sum()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.assign(has_purchased=True), "the rarer outcome has 0, 20 are needed"),
        (lambda f: f[f["session_date"] == f["session_date"].max()], "History is too short"),
        (lambda f: f.head(0), "There are no labelled rows"),
    ],
)
def test_sessions_that_cannot_teach_anything_are_one_sentence(platform: Platform, change: Any, words: str) -> None:
    landed(platform, change(made_up_sessions(each=60)))
    with pytest.raises(ModelError, match=words):
        train_at(platform, model)
    assert score_at(platform)["session_intent"].rows == 0


def test_without_its_table_the_run_goes_on(platform: Platform) -> None:
    with pytest.raises(ModelError, match=r"There is no table features\.shopping_sessions; examples/session_intent"):
        train_at(platform, model)
    assert score_at(platform)["session_intent"].rows == 0


@pytest.mark.skipif(not SHOPPERS.is_file(), reason="shared data are not here")
def test_real_shoppers_are_told_apart_and_the_leaking_column_is_named_when_it_is_left_in() -> None:
    found = with_open_sessions(sessions(SHOPPERS))
    ended = found[found["has_purchased"].notna()]
    rows = ended.assign(as_of_date=pd.to_datetime(ended["session_date"]) + pd.offsets.MonthEnd(0), horizon_days=1)
    split = splits.time_split(rows)
    assert split.test_date == date(2017, 12, 31)
    metrics = model.train(rows, split, model.SessionParams(seed=7)).card.metrics
    assert 0.75 <= metrics["roc_auc"] <= 0.80
    assert metrics["ece"] < 0.07
    assert metrics["warnings"] == []
    leaking = model.train(rows, split, model.SessionParams(seed=7, inputs=(*NAMES, PAGE_VALUE.name))).card.metrics
    assert leaking["roc_auc"] > 0.85
    [warning] = leaking["warnings"]
    assert warning.startswith("page_value alone tells the outcome better")
    assert Reads("sessions", (1,)) == model.reads(model.ModelOptions(seed=7))
