import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

from ml import churn, ltv, model_store, registry, schema, segments
from ml.fingerprint import data_fingerprint
from ml.model import ModelError, Trained
from ml.splits import Split
from tests.ml.conftest import SEED


@pytest.fixture
def saved(trained_churn: Trained[churn.ChurnModel], tmp_path: Path) -> registry.SavedModel:
    return registry.save(trained_churn, tmp_path)


@pytest.mark.parametrize("module", [churn, ltv, segments])
def test_every_model_comes_back_with_its_card_and_the_same_scores(
    module: object, request: pytest.FixtureRequest, tmp_path: Path, features: pd.DataFrame
) -> None:
    trained = request.getfixturevalue(f"trained_{module.MODEL}")  # type: ignore[attr-defined]
    kept = registry.save(trained, tmp_path)
    read = registry.load(tmp_path, kept.model, kept.version, artifact_sha256=kept.artifact_sha256)
    assert read.card == trained.card
    score = module.score  # type: ignore[attr-defined]
    for fresh, again in ((trained.model, read.model), (trained.judged, read.judged)):
        pd.testing.assert_frame_equal(score(again, features), score(fresh, features), check_exact=True)
    assert [*score(read.model, features).columns, "model_version"] == list(schema.PREDICTIONS[module.TABLE])  # type: ignore[attr-defined]


def test_a_model_is_text_and_json_in_a_folder_named_by_its_content(saved: registry.SavedModel) -> None:
    assert sorted(path.name for path in saved.place.path.iterdir()) == [
        "card.json",
        "card.md",
        "judged_model.json",
        "judged_trees.txt",
        "manifest.json",
        "model.json",
        "trees.txt",
    ]
    assert saved.place.path.name == saved.version == saved.artifact_sha256[:12]
    assert [path.name for path in saved.place.path.parent.iterdir()] == [saved.version]
    json.loads((saved.place.path / "card.json").read_text())


def test_saving_twice_is_saving_once_and_another_model_is_another_version(
    saved: registry.SavedModel, trained_churn: Trained[churn.ChurnModel], tmp_path: Path
) -> None:
    assert registry.save(trained_churn, tmp_path) == saved
    other = replace(trained_churn, card=replace(trained_churn.card, seed=8))
    assert registry.save(other, tmp_path).version != saved.version


@pytest.mark.parametrize(
    "name", ["card.json", "card.md", "judged_trees.txt", "manifest.json", "model.json", "trees.txt"]
)
def test_one_changed_byte_is_refused_in_one_sentence(saved: registry.SavedModel, tmp_path: Path, name: str) -> None:
    path = saved.place.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelError, match="saved; restore the folder or train again"):
        registry.load(tmp_path, "churn", saved.version)


def test_a_missing_file_is_refused_and_saving_again_repairs_it(
    saved: registry.SavedModel, trained_churn: Trained[churn.ChurnModel], tmp_path: Path
) -> None:
    (saved.place.path / "trees.txt").unlink()
    with pytest.raises(ModelError, match=r"trees\.txt"):
        registry.load(tmp_path, "churn", saved.version)
    assert registry.save(trained_churn, tmp_path) == saved
    registry.load(tmp_path, "churn", saved.version, artifact_sha256=saved.artifact_sha256)


def test_a_consistent_forgery_is_refused_by_the_hash_in_model_versions(
    saved: registry.SavedModel, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="is not the one that was saved"):
        registry.load(tmp_path, "churn", saved.version, artifact_sha256=saved.version + "0" * 52)


@pytest.mark.parametrize(("model", "version"), [("churn", "0" * 12), ("churn", "../../etc"), ("../churn", "0" * 12)])
def test_what_was_never_saved_is_said(tmp_path: Path, model: str, version: str) -> None:
    with pytest.raises(ModelError, match="There is no model"):
        registry.load(tmp_path, model, version)


def test_a_crash_while_writing_leaves_no_version(
    trained_churn: Trained[churn.ChurnModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(model_store.Folder, "_rename", full_disk)
    with pytest.raises(OSError, match="No space"):
        registry.save(trained_churn, tmp_path)
    assert list((tmp_path / "churn").iterdir()) == []


# ---- an object store -----------------------------------------------------------------------------------------------------


@pytest.fixture
def store() -> Iterator[str]:
    """An object store in memory, of this test alone."""
    yield "memory://bucket/models"
    fsspec.filesystem("memory").store.clear()


def objects() -> dict[str, Any]:
    found: dict[str, Any] = fsspec.filesystem("memory").store
    return found


def test_an_object_store_holds_the_same_files_and_gives_the_same_model(
    trained_churn: Trained[churn.ChurnModel], store: str, saved: registry.SavedModel, features: pd.DataFrame
) -> None:
    kept = registry.save(trained_churn, store)
    assert (kept.version, str(kept.place)) == (saved.version, f"{store}/churn/{saved.version}")
    folder = saved.place.path
    assert {name.rpartition("/")[2]: held.getvalue() for name, held in objects().items()} == {
        file.name: file.read_bytes() for file in folder.iterdir()
    }
    read = registry.load(store, "churn", kept.version, artifact_sha256=kept.artifact_sha256)
    ours = churn.score(trained_churn.model, features)
    pd.testing.assert_frame_equal(churn.score(read.model, features), ours, check_exact=True)
    assert registry.read_card_text(store, "churn", kept.version, artifact_sha256=kept.artifact_sha256)


def test_in_an_object_store_a_changed_byte_is_refused_and_saving_again_repairs_it(
    trained_churn: Trained[churn.ChurnModel], store: str
) -> None:
    kept = registry.save(trained_churn, store)
    [name] = [name for name in objects() if name.endswith("/trees.txt") and "judged" not in name]
    fsspec.filesystem("memory").pipe_file(name, objects()[name].getvalue().replace(b"1", b"2", 1))
    with pytest.raises(ModelError, match=r"trees\.txt is not the file that was saved"):
        registry.load(store, "churn", kept.version)
    assert registry.save(trained_churn, store) == kept
    registry.load(store, "churn", kept.version, artifact_sha256=kept.artifact_sha256)


@pytest.mark.parametrize("step", ["card.json written", "judged_trees.txt written", "trees.txt written"])
def test_a_saver_that_was_killed_leaves_no_version_in_an_object_store(
    trained_churn: Trained[churn.ChurnModel], store: str, step: str
) -> None:
    def killed(now: str) -> None:
        if now == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.save(trained_churn, store, on_step=killed)
    version = next(iter(objects())).split("/")[-2]
    with pytest.raises(ModelError, match="There is no model in memory://"):
        registry.load(store, "churn", version)
    assert registry.save(trained_churn, store).version == version
    registry.load(store, "churn", version)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nowhere://key:secret@host/models", "The model store nowhere://host/models cannot be reached"),
        ("sftp://key:secret@localhost:1/models", "for sftp:// is not installed"),
    ],
)
def test_a_store_out_of_reach_is_one_sentence_without_its_password(
    trained_churn: Trained[churn.ChurnModel], url: str, said: str
) -> None:
    with pytest.raises(ModelError, match=said) as error:
        registry.save(trained_churn, url)
    assert "secret" not in str(error.value)


def test_the_row_of_model_versions_has_the_promised_columns_as_plain_values(
    saved: registry.SavedModel, trained_churn: Trained[churn.ChurnModel]
) -> None:
    row = registry.version_row(
        trained_churn.card,
        saved,
        trained_at=datetime(2025, 5, 1, 3),
        as_of_date=date(2025, 4, 25),
        decision={"is_promoted": True, "reason": "the first model"},
    )
    assert [*row, "is_champion"] == list(schema.PREDICTIONS["model_versions"])
    assert (row["version"], row["artifact_sha256"], row["seed"]) == (saved.version, saved.artifact_sha256, SEED)
    for name, kind in schema.PREDICTIONS["model_versions"].items():
        if kind == "JSON":
            json.loads(row[name])
    assert json.loads(row["train_dates"])[-1] == trained_churn.card.train_dates[-1].isoformat()
    assert json.loads(row["metrics"])["roc_auc"] == trained_churn.card.metrics["roc_auc"]


def test_the_fingerprint_ignores_order_and_notices_one_changed_value(rows: pd.DataFrame, split: Split) -> None:
    shuffled = rows.sample(frac=1, random_state=2)[list(reversed(rows.columns))]
    changed = rows.copy()
    changed.loc[0, "net_revenue"] += 0.01
    assert data_fingerprint(shuffled) == data_fingerprint(rows)
    assert data_fingerprint(changed) != data_fingerprint(rows)
    assert data_fingerprint(pd.concat([rows, rows.head(1)])) != data_fingerprint(rows)
