"""What the best-channel model is handed, read from DuckDB and PostgreSQL alike."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml import channels
from ml.channel_model import unpacked
from ml.model import ModelOptions
from orchestration.channel_inputs import ChannelInputs
from tests.orchestration.model_shop import TODAY, labelled, of_today, platform_at, write_shop

READS = channels.reads(ModelOptions(seed=7))


@pytest.fixture(params=["duckdb", "postgres"])
def handed(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """What training and scoring get, with the tables they come from."""
    is_postgres = request.param == "postgres"
    target = {"target": "postgres", "postgres_url": request.getfixturevalue("postgres_url")} if is_postgres else {}
    platform = platform_at(tmp_path, **target)
    inputs = ChannelInputs()
    with platform.warehouse.writer() as connection:
        write_shop(connection, labelled(60), of_today(TODAY, 60), TODAY)
        connection.execute("delete from features.channel_features where customer_id = '3'")
        tables = {
            name: connection.arrow(f"select * from features.{name}").to_pandas(date_as_object=False)
            for name in ("channel_features", "channel_labels", "customer_labels")
        }
        today = pd.concat(inputs.batches(connection)).sort_values("customer_id", ignore_index=True)
        return inputs.training(connection, READS), today, tables


def test_a_row_stands_for_what_was_used_before_or_after_the_date(handed: Any) -> None:
    rows, _, tables = handed
    keys = ["customer_id", "as_of_date", "channel"]
    dates = rows["as_of_date"].unique()
    used, later = tables["channel_features"], tables["channel_labels"]
    used, later = used[used["as_of_date"].isin(dates)], later[later["as_of_date"].isin(dates)]
    labelled_keys = tables["customer_labels"].query("horizon_days == 30")[keys[:2]]
    assert labelled_keys["as_of_date"].isin(dates).all()
    wanted = pd.concat([used[keys], later[keys]]).drop_duplicates().merge(labelled_keys, on=keys[:2])
    assert len(rows) == len(wanted) == len(rows[keys].drop_duplicates())
    assert rows["used_day_count"].sum() == later.merge(labelled_keys, on=keys[:2])["used_day_count"].sum() > 0
    assert (
        rows["active_day_count_365d"].sum() == used.merge(labelled_keys, on=keys[:2])["active_day_count_365d"].sum() > 0
    )
    assert ChannelInputs().split(rows, READS).horizon_days == channels.HORIZON_DAYS


def test_today_everybody_is_one_row_with_all_channels_and_what_reaches_it(handed: Any) -> None:
    _, today, tables = handed
    assert today["customer_id"].is_unique
    assert len(today) == len(of_today(TODAY, 60))
    days = unpacked(today).assign(customer_id=lambda f: today["customer_id"].to_numpy()[f["place"]])
    used = tables["channel_features"]
    used = used[used["as_of_date"] == pd.Timestamp(TODAY)].drop(columns="as_of_date")
    order = ["customer_id", "channel"]
    pd.testing.assert_frame_equal(
        days[used.columns].sort_values(order, ignore_index=True).astype(used.dtypes.to_dict()),
        used.sort_values(order, ignore_index=True),
        check_dtype=False,
    )
    assert today.set_index("customer_id").loc["3", "channel_uses"] == ""
    assert not today["reach_by_email"].any()
    assert 0 < today["reach_on_site"].sum() < len(today)
    assert set(today.columns) >= {"customer_id", "as_of_date", *channels.INPUTS}
