"""Models as files of data only (LightGBM text and JSON), one folder per content hash, every byte checked when read."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Final

import numpy as np

from ml import channels, churn, ltv, next_order, recommend, segments
from ml.card_text import card_text
from ml.installed import with_installed
from ml.model import Artifact, Fitted, ModelCard, ModelError
from ml.model_store import MANIFEST, Place, Root, clear_unfinished, place

__all__ = ["MODULES", "Root", "SavedModel", "clear_unfinished", "load", "read_card_text", "save", "version_row"]

MODULES: Final = with_installed(
    {module.MODEL: module for module in (churn, ltv, next_order, channels, recommend, segments)}
)
CARD: Final = "card.json"
CARD_TEXT: Final = "card.md"
JUDGED: Final = "judged_"
VERSION_LENGTH: Final = 12
VERSION_PATTERN: Final = r"[0-9a-f]{12}"


@dataclass(frozen=True)
class SavedModel:
    """Where a model lies: <root>/<model>/<version>, `version` being the first 12 digits of `artifact_sha256`."""

    model: str
    version: str
    artifact_sha256: str
    place: Place


def _no_step(name: str) -> None:
    """Steps of saving are announced; tests kill the process there."""


def save(fitted: Fitted[Artifact], root: Root, *, on_step: Callable[[str], None] = _no_step) -> SavedModel:
    """Write both fits and the card under `root`, so that they are there whole or not at all. Saving twice is saving once."""
    files = _files(fitted)
    manifest = _json({name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())})
    sha256 = hashlib.sha256(manifest).hexdigest()
    version = sha256[:VERSION_LENGTH]
    saved = SavedModel(fitted.card.model, version, sha256, place(root, fitted.card.model, version))
    if _is_intact(saved):
        return saved
    saved.place.put({**files, MANIFEST: manifest}, is_whole=lambda: _is_intact(saved), on_step=on_step)
    on_step("files in place")
    return saved


def load(root: Root, model: str, version: str, *, artifact_sha256: str | None = None) -> Fitted[Any]:
    """Read a model back, refusing any changed byte; give `artifact_sha256` (from model_versions) to check all of it.

    Raises ModelError with one sentence, also where the model reads features that there no longer are.
    """
    if model not in MODULES or not re.fullmatch(VERSION_PATTERN, version):
        raise ModelError(f"There is no model {model!r} in version {version!r}; list the versions that exist.")
    if not (artifact_sha256 or version).startswith(version):
        raise ModelError(f"Version {version} of {model} does not belong to the artefact hash given with it.")
    files = _read_checked(place(root, model, version), artifact_sha256 or version)
    module = MODULES[model]
    try:
        card = _card(json.loads(files[CARD]))
        judged = {name.removeprefix(JUDGED): content for name, content in files.items() if name.startswith(JUDGED)}
        fitted = Fitted(module.from_files(files), module.from_files(judged), card)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{model} {version} was saved by another version of Weft; train again.") from error
    if card.features != module.INPUTS:
        changed = sorted({*card.features} ^ {*module.INPUTS})
        what = ", ".join(changed) if changed else "their order"
        raise ModelError(f"{model} {version} was trained on other features than there are now ({what}); train again.")
    return fitted


def read_card_text(root: Root, model: str, version: str, *, artifact_sha256: str) -> str:
    """The card of a version for people, Markdown; raises ModelError where its folder is not the one that was saved."""
    return _read_checked(place(root, model, version), artifact_sha256)[CARD_TEXT].decode()


def version_row(
    card: ModelCard, saved: SavedModel, *, trained_at: datetime, as_of_date: date, decision: Mapping[str, Any]
) -> dict[str, Any]:
    """One row of predictions.model_versions but is_champion; JSON columns as text. `as_of_date` is the day of the run."""
    return {
        "model": card.model,
        "version": saved.version,
        "trained_at": trained_at,
        "as_of_date": as_of_date,
        "train_dates": _text([day.isoformat() for day in card.train_dates]),
        "test_date": card.test_date,
        "train_rows": card.train_rows,
        "test_rows": card.test_rows,
        "features": _text(card.features),
        "parameters": _text(card.parameters),
        "metrics": _text(card.metrics),
        "baseline_metrics": _text(card.baseline_metrics),
        "data_fingerprint": card.data_fingerprint,
        "seed": card.seed,
        "artifact_sha256": saved.artifact_sha256,
        "decision": _text(decision),
    }


def _files(fitted: Fitted[Artifact]) -> dict[str, bytes]:
    judged = {f"{JUDGED}{name}": content for name, content in fitted.judged.to_files().items()}
    text = card_text(fitted.card, MODULES[fitted.card.model])
    return {**fitted.model.to_files(), **judged, CARD: _json(asdict(fitted.card)), CARD_TEXT: text.encode()}


def _read_checked(where: Place, expected: str) -> dict[str, bytes]:
    manifest = where.read(MANIFEST)
    if manifest is None:
        raise ModelError(f"There is no model in {where}; train one, or list the versions that exist.")
    if not hashlib.sha256(manifest).hexdigest().startswith(expected):
        raise ModelError(f"The manifest in {where} is not the one that was saved; restore the folder or train again.")
    files = {}
    for name, digest in json.loads(manifest).items():
        content = where.read(name) or b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelError(f"{where}/{name} is not the file that was saved; restore the folder or train again.")
        files[name] = content
    return files


def _card(stored: dict[str, Any]) -> ModelCard:
    stored["train_dates"] = tuple(date.fromisoformat(day) for day in stored["train_dates"])
    stored["test_date"] = date.fromisoformat(stored["test_date"])
    stored["features"] = tuple(stored["features"])
    return ModelCard(**stored)


def _text(content: Any) -> str:
    return json.dumps(content, sort_keys=True, default=_plain, allow_nan=False)


def _json(content: Any) -> bytes:
    return _text(content).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _is_intact(saved: SavedModel) -> bool:
    try:
        _read_checked(saved.place, saved.artifact_sha256)
    except ModelError:
        return False
    return True
