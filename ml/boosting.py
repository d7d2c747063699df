"""Gradient-boosted trees (LightGBM) kept as LightGBM's own text; the same data always give the same trees."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import lightgbm as lgb
import numpy as np

from ml.model import ModelError
from ml.schema import FloatArray
from ml.splits import Fold

THREADS_FROM_ROWS: Final = 200_000
THREADS_TO_PREDICT_FROM: Final = 40_000


@dataclass(frozen=True)
class BoostingParams:
    """How trees are grown; the defaults suit sets from a few hundred rows to a million."""

    learning_rate: float = 0.05
    num_leaves: int = 8
    smallest_leaf: int = 20
    smallest_leaf_share: float = 0.01
    l2: float = 10.0
    feature_share: float = 0.6
    row_share: float = 0.8
    most_trees: int = 400
    patience: int = 30
    num_threads: int = 2


@dataclass(frozen=True)
class Trees:
    """A boosted model as text; `raw` is on the scale of the link (log-odds, log money)."""

    text: str

    @cached_property
    def booster(self) -> lgb.Booster:
        """The model in memory, parsed once from the text, so that a loaded model and a fresh one are the same."""
        return lgb.Booster(model_str=self.text)

    @property
    def tree_count(self) -> int:
        """How many trees the model has."""
        return int(self.booster.num_trees())

    def raw(self, values: FloatArray) -> FloatArray:
        """One raw prediction per row."""
        return np.asarray(self.booster.predict(values, raw_score=True, **_threads(values)), dtype=np.float64)

    def contributions(self, values: FloatArray) -> FloatArray:
        """SHAP values, (rows, inputs + 1): the last column is the base; a row sums to `raw` (Lundberg 2018)."""
        return np.asarray(self.booster.predict(values, pred_contrib=True, **_threads(values)), dtype=np.float64)


def _threads(values: FloatArray) -> dict[str, Any]:
    """One thread for what is asked on demand: rows do not depend on each other, and a second thread costs more than it does."""
    return {"num_threads": 1} if len(values) < THREADS_TO_PREDICT_FROM else {}


@dataclass(frozen=True)
class Grower:
    """Grows trees for one objective over named inputs; `seed` and `num_threads` make it repeatable bit for bit."""

    params: BoostingParams
    objective: dict[str, Any]
    inputs: tuple[str, ...]
    seed: int

    def grow(self, values: FloatArray, target: FloatArray, *, trees: int) -> Trees:
        """Grow exactly `trees` trees, as far as the data carry them."""
        settings = self._settings(len(values))
        booster = lgb.train(settings, self._dataset(values, target, settings), num_boost_round=trees)
        return Trees(booster.model_to_string())

    def grow_out_of_fold(self, values: FloatArray, target: FloatArray, folds: Sequence[Fold]) -> tuple[int, FloatArray]:
        """The number of trees at which the loss on later data of unseen customers stops falling (median over folds).

        Beside it the raw prediction of each held-out row, from trees that never saw its customer; NaN where no fold
        could judge. Raises ModelError where none could.
        """
        grown: list[tuple[Fold, lgb.Booster]] = []
        for fold in folds:
            if len(np.unique(target[fold.seen])) > 1 and fold.later.any():
                grown.append((fold, self._grow_until_later_suffers(values, target, fold)))
        if not grown:
            raise ModelError("Nothing can be learnt: too few customers to keep some apart for calibration.")
        trees = int(np.median([max(1, booster.best_iteration) for _, booster in grown]))
        raw = np.full(len(values), np.nan)
        for fold, booster in grown:
            raw[fold.held] = booster.predict(values[fold.held], raw_score=True, num_iteration=trees)
        return trees, raw

    def raw_of_unseen(self, values: FloatArray, target: FloatArray, folds: Sequence[Fold], *, trees: int) -> FloatArray:
        """The raw prediction of each held-out row from `trees` trees on all dates of the other customers; NaN elsewhere."""
        raw = np.full(len(values), np.nan)
        for fold in folds:
            if len(np.unique(target[~fold.held])) > 1:
                grown = self.grow(values[~fold.held], target[~fold.held], trees=trees)
                raw[fold.held] = grown.raw(values[fold.held])
        return raw

    def _grow_until_later_suffers(self, values: FloatArray, target: FloatArray, fold: Fold) -> lgb.Booster:
        settings = self._settings(int(fold.seen.sum()))
        seen = self._dataset(values[fold.seen], target[fold.seen], settings)
        later = self._dataset(values[fold.later], target[fold.later], settings, reference=seen)
        stop = lgb.early_stopping(self.params.patience, verbose=False)
        return lgb.train(settings, seen, self.params.most_trees, valid_sets=[later], callbacks=[stop])

    def _settings(self, rows: int) -> dict[str, Any]:
        wanted_leaf = max(self.params.smallest_leaf, int(rows * self.params.smallest_leaf_share))
        return {
            **self.objective,
            "learning_rate": self.params.learning_rate,
            "num_leaves": self.params.num_leaves,
            "min_data_in_leaf": max(2, min(wanted_leaf, rows // 10, 2000)),
            "lambda_l2": self.params.l2,
            "feature_fraction": self.params.feature_share,
            "bagging_fraction": self.params.row_share,
            "bagging_freq": 1,
            "max_bin": 127,
            # On small sets threads wait for each other longer than they work; the count depends on the rows alone.
            "num_threads": self.params.num_threads if rows >= THREADS_FROM_ROWS else 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": self.seed,
            "verbosity": -1,
        }

    def _dataset(
        self, values: FloatArray, target: FloatArray, settings: dict[str, Any], reference: lgb.Dataset | None = None
    ) -> lgb.Dataset:
        return lgb.Dataset(
            values, target, feature_name=list(self.inputs), reference=reference, params=settings, free_raw_data=True
        )
