"""Models on demand, for the API: the champions of this installation in memory, exchanged when another is promoted."""

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.exc import SQLAlchemyError

from activation.api.settings import (
    FeatureRow,
    NoModelError,
    NotOnDemandError,
    Scorer,
    UnknownModelError,
)
from ml import registry, schema
from ml.model import ModelError, ModelModule
from orchestration.errors import RegistryError
from orchestration.model_inputs import model_options
from orchestration.predicting import load
from orchestration.resources import Platform

CUSTOMERS = "customers"
"""The kind of input that is published: features of one customer at one date."""
LOOKED_AT_SECONDS = 1.0
"""How old what is known of promotions may be."""
_NO_VALUES = ("customer_id", "as_of_date", "model_version")

_LOG = logging.getLogger("weft.on_demand")


@dataclass(frozen=True)
class ChampionScorer:
    """One version of a model; scores as a pass does, through the same code."""

    module: ModelModule
    model: Any
    version: str

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature of ml.schema: what a pass hands to every model of customers."""
        return schema.FEATURE_NAMES

    def scores(self, rows: Sequence[FeatureRow]) -> list[dict[str, Any]]:
        """See activation's Scorer."""
        values = np.array([row.values for row in rows], dtype=np.float64)
        frame = pd.DataFrame(values, columns=list(self.features))
        frame.insert(0, "as_of_date", pd.to_datetime([row.as_of_date for row in rows]))
        frame.insert(0, "customer_id", [row.customer_id for row in rows])
        scored = self.module.score(self.model, frame)
        columns = [str(name) for name in scored.columns if name not in _NO_VALUES]
        declared = schema.PREDICTIONS[self.module.TABLE]
        kinds = [declared.get(name, "FLOAT8") for name in columns]
        return [
            {name: _json_value(value, kind) for name, value, kind in zip(columns, row, kinds, strict=True)}
            for row in scored[columns].itertuples(index=False)
        ]


@dataclass(frozen=True)
class _Known:
    """The newest champion by the registry when it was looked at, and the scorer that stands for it."""

    newest: str
    scorer: ChampionScorer
    looked_at: float


class ChampionModels:
    """Activation's Predictor. Safe to share between threads."""

    def __init__(self, platform: Platform, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._platform = platform
        self._clock = clock
        self._options = model_options(platform.settings)
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def scorer(self, model: str) -> Scorer:
        """The champion, or where its files are damaged the newest champion before it that is whole, as in a pass."""
        module = registry.MODULES.get(model)
        if module is None:
            raise UnknownModelError(f"There is no such model; there are {', '.join(sorted(registry.MODULES))}.")
        if module.reads(self._options).kind != CUSTOMERS:
            raise NotOnDemandError(
                f"{model} looks at more than the features of a customer; its scores come with every pass."
            )
        known = self._known.get(model)
        if known is not None and self._is_fresh(known):
            return known.scorer
        # one looks; the others answer meanwhile with what is known, and wait only where nothing is
        if not self._lock.acquire(blocking=known is None):
            assert known is not None
            return known.scorer
        try:
            known = self._known.get(model)
            if known is None or not self._is_fresh(known):
                known = self._known[model] = self._looked_at(module, known)
        finally:
            self._lock.release()
        return known.scorer

    def prepare(self) -> None:
        """Load every model that scores on demand; one that cannot says so when it is asked."""
        for model in registry.MODULES:
            try:
                self.scorer(model)
            except (NotOnDemandError, NoModelError) as error:
                _LOG.info("%s is not there on demand: %s", model, error)

    def _is_fresh(self, known: _Known) -> bool:
        return self._clock() - known.looked_at < LOOKED_AT_SECONDS

    def _looked_at(self, module: ModelModule, known: _Known | None) -> _Known:
        try:
            return self._newest_whole(module, known)
        except SQLAlchemyError as error:
            if known is None:
                raise NoModelError("The registry of models cannot be read at this moment; ask again.") from None
            _LOG.warning("The registry cannot be read (%s); %s stays.", type(error).__name__, known.scorer.version)
            return _Known(known.newest, known.scorer, self._clock())

    def _newest_whole(self, module: ModelModule, known: _Known | None) -> _Known:
        now = self._clock()
        champions = list(dict.fromkeys(self._platform.state.models.champions(module.MODEL)))
        if known is not None and champions[:1] == [known.newest] == [known.scorer.version]:
            return _Known(known.newest, known.scorer, now)
        for version in champions:
            if known is not None and version == known.scorer.version:
                return _Known(champions[0], known.scorer, now)
            try:
                fitted = load(self._platform.state.models, module.MODEL, version, self._platform.settings.models)
            except (ModelError, RegistryError) as error:
                _LOG.warning("%s %s cannot score: %s", module.MODEL, version, error)
                continue
            return _Known(champions[0], ChampionScorer(module, fitted.model, version), now)
        raise NoModelError(f"No version of {module.MODEL} can score; `weft model list` shows what there is.")


def _json_value(value: Any, kind: str) -> Any:
    """A value of a table of predictions as JSON has it; what is missing or no finite number is null."""
    if kind == "JSON":
        return json.loads(value)
    if pd.isna(value):
        return None
    if kind == "DATE":
        return pd.Timestamp(value).date().isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
