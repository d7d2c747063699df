"""What recommendations read from a warehouse: customers whole in every batch, one sample at every date, and the product tables."""

from pathlib import Path

import pytest

from ml import recommend
from ml.model import Reads
from orchestration import basket_inputs
from orchestration.basket_inputs import BasketInputs
from orchestration.warehouse import row_count
from tests.orchestration.model_shop import TODAY, labelled, of_today, platform_at, score_at, train_at, write_shop


def test_customers_are_whole_in_every_batch_and_products_have_their_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = platform_at(tmp_path)
    monkeypatch.setattr(basket_inputs, "BATCH_CUSTOMERS", 7)
    with platform.warehouse.writer() as connection:
        write_shop(connection, labelled(120), of_today(TODAY, 120), TODAY)
        batches = list(BasketInputs().batches(connection))
        everybody = connection.rows(
            "select customer_id, count(*) from features.known_purchases where as_of_date = ? group by 1 order by 1",
            [TODAY],
        )
        whole = BasketInputs().training(connection, Reads("baskets", (30,)))
        monkeypatch.setattr(basket_inputs, "MOST_LINES", 600)
        sampled = BasketInputs().training(connection, Reads("baskets", (30,)))
    counts = [
        (customer, len(rows)) for batch in batches for customer, rows in batch.acts.purchases.groupby("customer_id")
    ]
    assert sorted(counts) == everybody
    assert max(batch.acts.purchases["customer_id"].nunique() for batch in batches) == 7
    assert 0 < sampled.share < 0.9 < whole.share
    for day, acts in sampled.acts.items():
        known = set(acts.purchases["customer_id"])
        assert known < set(whole.acts[day].purchases["customer_id"])
        assert set(sampled.outcomes[day]["customer_id"]) <= known
        assert len(acts.purchases) == whole.acts[day].purchases["customer_id"].isin(known).sum(), "customers are whole"
    monkeypatch.setattr(basket_inputs, "MOST_LINES", 1_000_000)
    train_at(platform, recommend)
    scored = score_at(platform)["recommendations"]
    assert scored.rows
    with platform.warehouse.writer() as connection:
        assert row_count(connection, "predictions.similar_products")
        assert row_count(connection, "predictions.popular_products")
        assert len(connection.rows("select distinct customer_id from predictions.recommendations")) == len(everybody)
