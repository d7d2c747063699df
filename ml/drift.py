"""Drift: how far the rows of today lie from the rows that a model was fitted on (population stability index)."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from ml.schema import FloatArray

BINS: Final = 10
NOTABLE: Final = 0.2
# Without any drift the index is about bins / rows: with fewer rows chance alone comes near NOTABLE.
SMALLEST_ROWS: Final = 200


def histograms(frame: pd.DataFrame) -> dict[str, dict[str, list[Any]]]:
    """Per column `edges` and `counts` (one more than edges, and the last of all: rows without a value); plain numbers.

    Up to BINS distinct values get a bin each, beside one for smaller and one for larger values than there were; more
    are cut at their deciles.
    """
    return {name: _histogram(_numbers(frame[name])) for name in frame.columns}


def drift(reference: Mapping[str, Any], today: pd.DataFrame | Iterable[pd.DataFrame]) -> dict[str, float]:
    """Population stability index per column of `reference`, largest first; above NOTABLE the column has shifted.

    `today` may come in parts, so that memory does not grow with rows.
    """
    counts = {name: np.zeros(len(stored["counts"])) for name, stored in reference.items()}
    for part in [today] if isinstance(today, pd.DataFrame) else today:
        for name, stored in reference.items():
            counts[name] += _counts(np.array(stored["edges"], dtype=np.float64), _numbers(part[name]))
    found = {name: _psi(np.array(stored["counts"]), counts[name]) for name, stored in reference.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _histogram(values: FloatArray) -> dict[str, list[Any]]:
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    if len(distinct) <= BINS:
        edges = np.append(distinct, np.nextafter(distinct[-1:], np.inf))
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    return {"edges": edges.tolist(), "counts": _counts(edges, values).tolist()}


def _counts(edges: FloatArray, values: FloatArray) -> FloatArray:
    known = values[np.isfinite(values)]
    binned = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return np.append(binned, len(values) - len(known)).astype(np.float64)


def _psi(was: FloatArray, now: FloatArray) -> float:
    """Half a row in every bin keeps the index finite where a bin is empty on one side."""
    was, now = was + 0.5, now + 0.5
    was, now = was / was.sum(), now / now.sum()
    return float(((now - was) * np.log(now / was)).sum())


def _numbers(column: pd.Series) -> FloatArray:
    return np.asarray(pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan))
