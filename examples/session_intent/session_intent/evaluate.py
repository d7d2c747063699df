"""`python -m session_intent.evaluate sessions.parquet`: ROC-AUC over 5 folds, with and without the column that leaks."""

import sys
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ml.splits import customer_folds
from session_intent.columns import MONTH, NAMES, PAGE_VALUE
from session_intent.land import sessions
from session_intent.model import SessionParams, fit

FOLDS: Final = 5
SETS: Final = {
    "without PageValues (a plain library baseline reaches .787)": (*NAMES, MONTH.name),
    "with PageValues, which leaks (.934)": (*NAMES, MONTH.name, PAGE_VALUE.name),
    "what the model reads: neither PageValues nor the month": NAMES,
}


def folded_auc(rows: pd.DataFrame, params: SessionParams) -> float:
    """ROC-AUC of sessions that neither trees, early stopping nor calibration saw; folds by a hash of the id, not by time."""
    fold, chances = customer_folds(rows["session_id"], folds=FOLDS), np.empty(len(rows))
    for held in range(FOLDS):
        chances[fold == held] = fit(rows[fold != held], params).probability(rows[fold == held])
    return float(roc_auc_score(rows["has_purchased"].astype(bool), chances))


if __name__ == "__main__":
    shoppers = sessions(Path(sys.argv[1]))
    for said, names in SETS.items():
        print(f"ROC-AUC {folded_auc(shoppers, SessionParams(seed=7, inputs=names)):.3f} over {FOLDS} folds {said}")
