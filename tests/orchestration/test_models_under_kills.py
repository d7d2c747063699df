"""Models are whole: training, saving and scoring killed at named steps, damaged files, stale features (reliability.md, row 30)."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ml import MODELS, registry
from ml.model import ModelError
from orchestration import model_inputs
from orchestration.resources import Platform
from tests.orchestration.model_shop import (
    TODAY,
    YESTERDAY,
    assert_models_are_whole,
    assert_scores_are_of_one_run,
    killed,
    labelled,
    nothing_is_broken,
    of_today,
    platform_at,
    registers_before_the_files_are_there,
    saves_in_place,
    score_at,
    scores_of,
    train_at,
    with_shuffled_features,
    write_shop,
    writes_table_by_table,
)

BEFORE_THE_SWITCH = ["trained", "model.json written", "manifest.json written", "files written", "files in place"]
SCORING_STEPS = ["scored", *(f"{module.TABLE} written" for module in MODELS)]


@pytest.fixture(scope="module")
def yesterday(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose champions learnt from rows without sense, which they scored with yesterday; today's features are built."""
    home = tmp_path_factory.mktemp("models")
    platform, rows = platform_at(home), labelled()
    with platform.warehouse.writer() as connection:
        write_shop(connection, with_shuffled_features(rows), of_today(YESTERDAY), YESTERDAY)
    for module in MODELS:
        train_at(platform, module, YESTERDAY)
    score_at(platform)
    with platform.warehouse.writer() as connection:
        write_shop(connection, rows, of_today(TODAY), TODAY)
    return home


@pytest.fixture
def home(yesterday: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(yesterday, tmp_path / "home"))


@pytest.fixture
def platform(home: Path) -> Platform:
    return platform_at(home)


def champion(platform: Platform) -> str:
    return platform.state.models.champions("churn")[0]


def damage(platform: Platform, version: str, name: str = "trees.txt") -> None:
    """Change one digit of a stored number: it can still be read, and means something else."""
    path = platform.settings.models / "churn" / version / name
    content = bytearray(path.read_bytes())
    at = content.rindex(b"leaf_value=") + len(b"leaf_value=-0.0")
    content[at] = ord("9") if content[at] != ord("9") else ord("1")
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("step", BEFORE_THE_SWITCH)
def test_training_killed_before_the_registry_knows_leaves_the_old_model_and_the_next_training_finishes(
    home: Path, platform: Platform, step: str
) -> None:
    old = champion(platform)
    assert killed("train", home, step, nothing_is_broken) == -signal.SIGKILL
    assert champion(platform) == old
    assert_models_are_whole(platform)
    new = train_at(platform)
    assert new["is_champion"]
    assert_models_are_whole(platform)
    assert {path.name for path in (home / "models" / "churn").iterdir()} == {old, new["version"]}


def test_training_killed_after_the_switch_has_a_whole_new_champion(home: Path, platform: Platform) -> None:
    old = champion(platform)
    assert killed("train", home, "registered", nothing_is_broken) == -signal.SIGKILL
    assert platform.state.models.champions("churn") == [champion(platform), old]
    assert champion(platform) != old
    assert_models_are_whole(platform)


@pytest.mark.parametrize(
    ("broken", "step"),
    [(saves_in_place, "model.json written"), (registers_before_the_files_are_there, "registered")],
)
def test_a_broken_order_of_saving_is_found_by_the_same_kill(
    home: Path, platform: Platform, broken: Callable[[], None], step: str
) -> None:
    assert killed("train", home, step, broken) == -signal.SIGKILL
    with pytest.raises(ModelError):
        assert_models_are_whole(platform)


@pytest.mark.parametrize("step", SCORING_STEPS)
def test_scoring_killed_before_its_commit_leaves_yesterdays_scores_and_the_next_run_writes_todays(
    home: Path, platform: Platform, step: str
) -> None:
    before = scores_of(platform)
    assert killed("score", home, step, nothing_is_broken) == -signal.SIGKILL
    assert assert_scores_are_of_one_run(platform) == YESTERDAY
    assert scores_of(platform) == before
    score_at(platform)
    assert assert_scores_are_of_one_run(platform) == TODAY


def test_scoring_killed_after_its_commit_has_written_todays(home: Path, platform: Platform) -> None:
    assert killed("score", home, "committed", nothing_is_broken) == -signal.SIGKILL
    assert assert_scores_are_of_one_run(platform) == TODAY


def test_scoring_table_by_table_is_found_by_the_same_kill(home: Path, platform: Platform) -> None:
    assert killed("score", home, "churn_scores written", writes_table_by_table) == -signal.SIGKILL
    with pytest.raises(ValueError, match="too many values to unpack"):
        assert_scores_are_of_one_run(platform)


def test_a_damaged_champion_is_refused_and_the_champion_before_it_scores(platform: Platform) -> None:
    old, new = champion(platform), train_at(platform)["version"]
    damage(platform, new)
    scored = score_at(platform)["churn"]
    assert scored.version == old
    [problem] = scored.problems
    assert problem.endswith("trees.txt is not the file that was saved; restore the folder or train again.")
    assert assert_scores_are_of_one_run(platform) == TODAY
    assert {row[-1] for row in scores_of(platform)["churn_scores"]} == {old}
    assert champion(platform) == new, "who is champion is for the gate and for people to say"


def test_without_the_hash_the_damaged_champion_would_score(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    new = train_at(platform)["version"]
    score_at(platform)
    right = scores_of(platform)["churn_scores"]
    damage(platform, new)
    monkeypatch.setattr(
        registry, "_read_checked", lambda where, _: {path.name: path.read_bytes() for path in where.path.iterdir()}
    )
    scored = score_at(platform, anew=True)["churn"]
    assert (scored.version, scored.problems) == (new, ())
    assert scores_of(platform)["churn_scores"] != right


def test_where_every_champion_is_damaged_yesterdays_scores_stay_and_the_other_models_score(platform: Platform) -> None:
    before = scores_of(platform)
    damage(platform, champion(platform))
    scored = score_at(platform)
    assert scored["churn"].rows is None
    assert scored["churn"].version is None
    assert len(scored["churn"].problems) == 1
    assert scores_of(platform)["churn_scores"] == before["churn_scores"]
    assert {row[1] for row in scores_of(platform)["ltv_scores"]} == {TODAY}


def make_stale(platform: Platform) -> None:
    with platform.warehouse.writer() as connection:
        connection.execute("delete from features.customer_features where as_of_date = ?", [TODAY])


def test_stale_features_are_refused_and_yesterdays_scores_stay(platform: Platform) -> None:
    before = scores_of(platform)
    make_stale(platform)
    scored = score_at(platform)
    trained = [model for model in scored if platform.state.models.champions(model)]
    assert {scored[model].rows for model in trained} == {None}
    assert "The features end on 2025-01-25" in scored["ltv"].problems[0]
    assert f"the run looks back from {TODAY}" in scored["ltv"].problems[0]
    assert scores_of(platform) == before


def test_without_the_look_at_the_date_stale_features_would_empty_the_scores(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_stale(platform)
    monkeypatch.setattr(model_inputs, "refuse_stale_features", lambda _: None)
    score_at(platform)
    scores = scores_of(platform)
    assert not any(scores[table] for table in ("churn_scores", "ltv_scores", "segments"))


def test_a_warehouse_made_anew_gets_its_tables_even_where_nobody_can_score(platform: Platform) -> None:
    with platform.warehouse.writer() as connection:
        connection.execute("drop table predictions.churn_scores")
    damage(platform, champion(platform))
    score_at(platform)
    assert scores_of(platform)["churn_scores"] == []
