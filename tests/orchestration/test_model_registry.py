"""Who is champion: an append-only history that the gate, a person and a rollback write."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from orchestration.errors import RegistryError
from orchestration.model_registry import ModelRegistry
from orchestration.state import State

NOW = datetime(2026, 7, 1)


@pytest.fixture
def models(tmp_path: Path) -> ModelRegistry:
    return State(f"sqlite:///{tmp_path / 'state.sqlite'}").models


def register(models: ModelRegistry, version: str, *, promoted: bool = True, model: str = "churn") -> None:
    decision = json.dumps({"is_promoted": promoted, "reason": f"as {version} deserves"})
    card = {"model": model, "version": version, "decision": decision}
    models.register(card, judged_after=len(models.history(model)), now=NOW)


def champions(models: ModelRegistry) -> set[tuple[str, str]]:
    return {(card["model"], card["version"]) for card in models.cards() if card["is_champion"]}


def test_a_promoted_version_takes_the_place_of_the_champion_of_its_model_and_no_other(models: ModelRegistry) -> None:
    assert models.champion("churn") is None
    for version in ("a", "b"):
        register(models, version)
    register(models, "c", model="ltv")
    register(models, "d", promoted=False)
    assert champions(models) == {("churn", "b"), ("ltv", "c")}
    assert [card["version"] for card in models.cards()] == ["a", "b", "c", "d"]


def test_rollbacks_go_back_one_champion_at_a_time_and_the_history_keeps_everything(models: ModelRegistry) -> None:
    for version in ("a", "b", "c"):
        register(models, version)
    assert models.rollback("churn", reason="worse", now=NOW) == "b"
    assert models.rollback("churn", reason="worse still", now=NOW) == "a"
    with pytest.raises(RegistryError, match="no champion of churn before this one"):
        models.rollback("churn", reason="again", now=NOW)
    models.promote("churn", "c", reason="it was the data", now=NOW)
    assert models.rollback("churn", reason="no", now=NOW) == "a"
    told = [(change.seq, change.action, change.version) for change in models.history("churn")]
    assert told == [
        (1, "gate", "a"),
        (2, "gate", "b"),
        (3, "gate", "c"),
        (4, "rollback", "b"),
        (5, "rollback", "a"),
        (6, "promote", "c"),
        (7, "rollback", "a"),
    ]
    assert models.history("churn")[5].reason == "it was the data"


def test_a_known_version_keeps_its_first_row_and_may_become_champion_again(models: ModelRegistry) -> None:
    register(models, "a")
    register(models, "b")
    again = {"model": "churn", "version": "a", "decision": json.dumps({"is_promoted": True, "reason": "b is lost"})}
    models.register(again, judged_after=2, now=NOW)
    assert champions(models) == {("churn", "a")}
    assert json.loads(models.card("churn", "a")["decision"])["reason"] == "as a deserves"
    assert models.history("churn")[-1].reason == "b is lost"


def test_a_version_judged_beside_a_champion_that_is_none_any_more_is_kept_and_not_promoted(
    models: ModelRegistry,
) -> None:
    for version in ("a", "b"):
        register(models, version)
    models.rollback("churn", reason="by hand, while c was trained", now=NOW)
    late = {"model": "churn", "version": "c", "decision": json.dumps({"is_promoted": True, "reason": "better than b"})}
    models.register(late, judged_after=2, now=NOW)
    assert champions(models) == {("churn", "a")}
    decision = json.loads(models.card("churn", "c")["decision"])
    assert not decision["is_promoted"]
    assert decision["reason"] == "another champion was chosen meanwhile; better than b"


def test_what_cannot_be_is_said_in_one_sentence(models: ModelRegistry) -> None:
    register(models, "a")
    with pytest.raises(RegistryError, match="There is no churn model in version x"):
        models.promote("churn", "x", reason="", now=NOW)
    with pytest.raises(RegistryError, match="churn a is the champion already"):
        models.promote("churn", "a", reason="", now=NOW)
