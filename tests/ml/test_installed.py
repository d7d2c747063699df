"""Models of other packages join ours by their entry points."""

from importlib.metadata import EntryPoint

import pytest

from ml import churn, schema, segments
from ml.installed import with_installed
from ml.model import ModelError, ModelModule

OURS: dict[str, ModelModule] = {"churn": churn, "segments": segments}  # type: ignore[dict-item]


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, "weft.models")


def test_a_model_of_another_package_stands_beside_ours_with_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "PREDICTIONS", dict(schema.PREDICTIONS))
    modules = with_installed(OURS, found=[point("session_intent", "session_intent.model")])
    assert list(modules) == ["churn", "segments", "session_intent"]
    assert "session_id" in schema.PREDICTIONS["session_intent_scores"]


def test_without_other_packages_there_are_ours() -> None:
    assert list(with_installed(OURS, found=[])) == ["churn", "segments"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("session_intent.nowhere", "cannot be loaded: No module named 'session_intent.nowhere'; mend or uninstall it"),
        ("session_intent.columns", "lacks HEADLINE, INPUTS"),
        ("ml.churn", "lacks COLUMNS"),
    ],
)
def test_a_package_that_does_not_bring_a_model_is_one_sentence(value: str, words: str) -> None:
    with pytest.raises(ModelError, match=words) as error:
        with_installed(OURS, found=[point("broken", value)])
    assert "\n" not in str(error.value)


def test_two_models_of_one_name_or_table_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "PREDICTIONS", dict(schema.PREDICTIONS))
    twice = [point("one", "session_intent.model"), point("two", "session_intent.model")]
    with pytest.raises(ModelError, match="another model has that name or table"):
        with_installed(OURS, found=twice)
