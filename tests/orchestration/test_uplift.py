"""What docs/uplift.md does with the table: on a made-up experiment whose truth is known, a T-learner finds who can be won back."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from orchestration.clock import FEATURE_DATES
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.treatments import write_treatments
from orchestration.warehouse import write_table
from tests.orchestration.gated_shop import ALL, AS_OF, Shop, opened_shop

PAGE = Path(__file__).resolve().parents[2] / "docs" / "uplift.md"
PEOPLE = 6_000
FEATURES = {"customer_id": "varchar", "as_of_date": "date", "recency_days": "float8", "order_count": "bigint"}


def made_up(seed: int, people: int) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Features, and whether a message wins the customer back: those who bought often and paused for one to three months."""
    rng = np.random.default_rng(seed)
    known = pd.DataFrame(
        {"recency_days": rng.uniform(0, 180, people).round(), "order_count": rng.integers(1, 12, people)}
    )
    return known, ((known["recency_days"].between(30, 90)) & (known["order_count"] > 4)).to_numpy()


def write_experiment(shop: Shop, seed: int, *, effect: float) -> None:
    """Half is held out; who can be won back orders with `effect` more probability where reached; frequent buyers order more anyway."""
    known, can_be_won = made_up(seed, PEOPLE)
    names = [f"c{number:04}" for number in range(PEOPLE)]
    shop.consents = {name: dict(ALL) for name in names}
    shop.audience("at_risk", names)
    shop.platform.state.holdouts.set("at_risk", 50, salt="salt", note="a test", made_by="eve", now=AS_OF)
    shop.build(served=False)
    with shop.platform.warehouse.writer() as connection:
        dates = {"as_of_date": [AS_OF.date()], "as_of": [AS_OF], "is_training_date": [False]}
        write_table(connection, "control.feature_dates", pa.table(dates), FEATURE_DATES)
        rows = known.assign(customer_id=names, as_of_date=AS_OF.date())[list(FEATURES)]
        write_table(
            connection, "features.customer_features", pa.Table.from_pandas(rows, preserve_index=False), FEATURES
        )
        write_treatments(connection, shop.platform.state)
        held = {
            name
            for (name,) in connection.rows("select customer_id from audiences.holdout_assignments where is_held_out")
        }
    is_reached = np.array([name not in held for name in names])
    chance = 0.05 + 0.02 * known["order_count"].to_numpy() + effect * (can_be_won & is_reached)
    buyers = np.flatnonzero(np.random.default_rng(seed + 1).uniform(size=PEOPLE) < chance)
    shop.orders = [(names[at], names[at], AS_OF + timedelta(days=5), 20.0) for at in buyers]
    shop.as_of = AS_OF + timedelta(days=31)
    shop.build(served=False)
    with shop.platform.warehouse.writer() as connection:
        write_treatments(connection, shop.platform.state)


def uplift_of(shop: Shop, now: pd.DataFrame) -> Any:
    """The code of the page, as it stands there."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    with shop.platform.warehouse.writer() as connection:
        names = {"pd": pd, "json": json, "HistGradientBoostingClassifier": HistGradientBoostingClassifier}
        told: dict[str, Any] = {**names, "connection": connection, "now": now}
        exec(code, told)
    return told["uplift"]


@pytest.mark.nightly
@pytest.mark.parametrize(("effect", "finds_them"), [(0.4, True), (0.0, False)])
def test_the_t_learner_of_the_page_finds_who_can_be_won_back_and_nobody_where_nobody_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effect: float, finds_them: bool
) -> None:
    shop = opened_shop(Platform(load_settings(home=tmp_path)), monkeypatch)
    write_experiment(shop, 11, effect=effect)
    now, can_be_won = made_up(12, 4_000)
    uplift = uplift_of(shop, now)
    ranked, spread = roc_auc_score(can_be_won, uplift), uplift[can_be_won].mean() - uplift[~can_be_won].mean()
    assert (ranked > 0.9) is finds_them, ranked
    assert abs(spread - effect) < 0.1, spread
