"""Columns that know too much: what alone tells the outcome better than all others together probably looks past it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from ml.linear import fit_logistic
from ml.schema import FloatArray

Rows = tuple[FloatArray, npt.NDArray[np.bool_]]
NOTABLE = 0.65
"""ROC-AUC below which a column alone is not looked at: it can overshadow nothing that is worth having."""
CLEARLY = 0.05


def overshadowing(before: Rows, test: Rows, names: Sequence[str]) -> list[str]:
    """One sentence per column whose ROC-AUC on the test rows, alone, is CLEARLY above that of a logistic model of the others;
    each is judged where the column is known.

    `before` and `test` are (matrix, outcome) with the columns `names`; the model is fitted on `before`. Nothing can be
    said where there is one column, or one class on either side.
    """
    values, outcome = test
    if len(names) < 2 or any(len(np.unique(side[1])) < 2 for side in (before, test)):
        return []
    found = []
    for position, name in enumerate(names):
        known = ~np.isnan(values[:, position])
        alone = _auc(outcome[known], values[known, position])
        if alone < NOTABLE:
            continue
        line = fit_logistic(np.delete(before[0], position, axis=1), before[1], strength=1.0)
        others = _auc(outcome[known], line.raw(np.delete(values[known], position, axis=1)))
        if alone > others + CLEARLY:
            found.append(
                f"{name} alone tells the outcome better (ROC-AUC {alone:.3f}) than all other columns together ({others:.3f}): "
                "look for a leak in it."
            )
    return found


def _auc(outcome: npt.NDArray[np.bool_], column: FloatArray) -> float:
    """In whichever direction it tells more; .5 where there is one class."""
    if len(np.unique(outcome)) < 2:
        return 0.5
    auc = float(roc_auc_score(outcome, column))
    return max(auc, 1 - auc)
