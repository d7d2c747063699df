"""Scoring in batches and only where something changed gives what scoring everybody gives, bit for bit."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml import MODELS
from orchestration import model_inputs, scoring
from orchestration.resources import Platform
from orchestration.warehouse import Connection, scalar, tables_of
from tests.orchestration.model_shop import (
    TODAY,
    labelled,
    of_today,
    platform_at,
    score_at,
    scores_of,
    train_at,
    with_shuffled_features,
    write_shop,
)


@pytest.fixture
def platform(home_with_models: Path, tmp_path: Path) -> Platform:
    return platform_at(Path(shutil.copytree(home_with_models, tmp_path / "home")))


def execute(platform: Platform, *statements: str) -> None:
    with platform.warehouse.writer() as connection:
        for statement in statements:
            connection.execute(statement)


def of_rows(scored: dict[str, scoring.Scored]) -> set[int | None]:
    """How many customers each model scored that has a row per customer."""
    return {done.customers_scored for model, done in scored.items() if model in OF_ROWS}


OF_ROWS = [
    m.MODEL
    for m in MODELS
    if isinstance(model_inputs.INPUTS[m.reads(scoring.ModelOptions(7)).kind], model_inputs.CustomerRows)
]
TODAYS = "features.customer_features where as_of_date = (select max(as_of_date) from features.customer_features)"


def test_where_nothing_changed_nobody_is_scored_and_the_rows_stay(platform: Platform) -> None:
    before = scores_of(platform)
    assert of_rows(score_at(platform)) == {0}
    assert scores_of(platform) == before
    assert score_at(platform, anew=True)["churn"].customers_scored == len(before["churn_scores"])
    assert scores_of(platform) == before


def test_after_changes_the_scores_are_those_of_scoring_everybody_anew(platform: Platform) -> None:
    one, other, gone = sorted(row[0] for row in scores_of(platform)["churn_scores"])[:3]
    execute(
        platform,
        f"update features.customer_features set net_revenue = net_revenue + 500 where customer_id = '{one}'",
        f"update features.customer_features set recency_days = null where customer_id = '{other}'",
        f"delete from features.customer_features where customer_id = '{gone}'",
        f"insert into features.customer_features select * replace ('new' as customer_id) from {TODAYS} and customer_id = '{one}'",
    )
    # of the days on channels nothing changed, but that there is one customer more
    assert of_rows(score_at(platform)) == {1, 3}
    kept = scores_of(platform)
    assert {row[0] for row in kept["segments"]} >= {"new", one} and gone not in {row[0] for row in kept["segments"]}
    score_at(platform, anew=True)
    assert scores_of(platform) == kept


def test_a_hash_that_sees_too_little_is_found_by_the_same_comparison(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = min(row[0] for row in scores_of(platform)["churn_scores"])
    whole = scoring.input_hash
    monkeypatch.setattr(scoring, "input_hash", lambda dialect, columns: whole(dialect, ("as_of_date",)))
    score_at(platform, anew=True)
    execute(platform, f"update features.customer_features set recency_days = 700 where customer_id = '{one}'")
    score_at(platform)
    kept = scores_of(platform)
    score_at(platform, anew=True)
    assert scores_of(platform) != kept


@pytest.mark.parametrize("change", ["another champion", "another code", "rows went", "the day"])
def test_what_scores_depend_on_besides_inputs_scores_everybody(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    everybody = len(scores_of(platform)["churn_scores"])
    if change == "another champion":
        with platform.warehouse.writer() as connection:
            write_shop(connection, with_shuffled_features(labelled()), of_today(TODAY), TODAY)
        version = train_at(platform)["version"]
        platform.state.models.promote("churn", version, reason="a test", now=pd.Timestamp("2025-05-01").to_pydatetime())
    elif change == "another code":
        monkeypatch.setattr(scoring, "_code", lambda: "another")
    elif change == "rows went":
        execute(
            platform,
            "delete from predictions.churn_scores where customer_id = (select min(customer_id) from predictions.churn_scores)",
        )
    else:
        with platform.warehouse.writer() as connection:
            write_shop(
                connection,
                labelled(),
                of_today(TODAY).assign(as_of_date=pd.Timestamp(TODAY) + pd.Timedelta("1d")),
                (pd.Timestamp(TODAY) + pd.Timedelta("1d")).date(),
            )
    assert score_at(platform)["churn"].customers_scored == everybody
    kept = scores_of(platform)["churn_scores"]
    assert len(kept) == everybody
    score_at(platform, anew=True)
    assert scores_of(platform)["churn_scores"] == kept


def test_the_size_of_the_batches_changes_no_bit(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scores_of(platform)
    seen: list[int] = []

    def small(connection: Connection, query: str) -> Iterator[pd.DataFrame]:
        for batch in connection.batches(query):
            frame = batch.to_pandas(date_as_object=False)
            for start in range(0, len(frame), 7):
                seen.append(len(frame.iloc[start : start + 7]))
                yield frame.iloc[start : start + 7].reset_index(drop=True)

    monkeypatch.setattr(scoring, "frames", small)
    score_at(platform, anew=True)
    assert set(seen) <= {7, len(before["churn_scores"]) % 7} and len(seen) > 3 * 10
    assert scores_of(platform) == before


def test_nothing_of_a_staging_is_left_behind(platform: Platform) -> None:
    execute(platform, "create table control.staged_churn_scores (leftover integer)")
    score_at(platform)
    with platform.warehouse.writer() as connection:
        assert not {name for name in tables_of(connection, "control") if name.startswith(("staged_", "plan_of_"))}
        assert scalar(connection, "select count(*) from control.inputs_of_churn_scores")


def test_what_follows_a_models_scores_changes_with_them_or_not_at_all(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def total(connection: Connection, scored: scoring.Scored) -> None:
        connection.execute("create table if not exists predictions.churn_total (total float8)")
        connection.execute("delete from predictions.churn_total")
        connection.execute(
            "insert into predictions.churn_total select sum(churn_probability) from predictions.churn_scores"
        )
        assert scored.fitted is not None and scored.rows

    def broken(connection: Connection, scored: scoring.Scored) -> None:
        total(connection, scored)
        raise RuntimeError("broken on purpose")

    monkeypatch.setitem(scoring.AFTER_SCORING, "churn", total)
    score_at(platform)
    with platform.warehouse.writer() as connection:
        before = connection.rows(
            "select total, (select sum(churn_probability) from predictions.churn_scores) from predictions.churn_total"
        )
    assert before[0][0] == before[0][1]
    execute(platform, "update features.customer_features set recency_days = 700")
    monkeypatch.setitem(scoring.AFTER_SCORING, "churn", broken)
    with pytest.raises(RuntimeError, match="on purpose"):
        score_at(platform)
    with platform.warehouse.writer() as connection:
        assert (
            connection.rows(
                "select total, (select sum(churn_probability) from predictions.churn_scores) from predictions.churn_total"
            )
            == before
        )


def test_on_postgresql_the_same_customers_are_scored_with_the_same_numbers(
    platform: Platform, postgres_url: str, tmp_path: Path
) -> None:
    postgres = platform_at(tmp_path / "on_postgres", target="postgres", postgres_url=postgres_url)
    with postgres.warehouse.writer() as connection:
        write_shop(connection, labelled(), of_today(TODAY), TODAY)
    assert train_at(postgres)["version"] == platform.state.models.champions("churn")[0]
    assert score_at(postgres)["churn"].customers_scored == len(scores_of(platform)["churn_scores"])
    one = min(row[0] for row in scores_of(platform)["churn_scores"])
    for each in (platform, postgres):
        execute(
            each, f"update features.customer_features set net_revenue = net_revenue + 500 where customer_id = '{one}'"
        )
    assert [score_at(each)["churn"].customers_scored for each in (platform, postgres)] == [1, 1]
    assert churn_scores(postgres) == churn_scores(platform)


def churn_scores(platform: Platform) -> list[tuple[Any, ...]]:
    with platform.warehouse.writer() as connection:
        return sorted(connection.rows("select * from predictions.churn_scores"))
