"""How good ordered lists are: whether what was bought afterwards stands at their top."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.baskets import IntArray, Pairs
from ml.retrieval import places
from ml.schema import FloatArray

TOP: Final = 10
RECALL_TOP: Final = 20


@dataclass(frozen=True)
class Judged:
    """Per customer with a purchase to find: hit within TOP, recall within RECALL_TOP, NDCG within TOP; and the coverage of all."""

    hits: FloatArray
    recall: FloatArray
    ndcg: FloatArray
    coverage: float

    def means(self) -> dict[str, float]:
        """The figures of a card: hr_at_10, recall_at_20, ndcg_at_10, coverage_at_10, customers."""
        return {
            "hr_at_10": float(self.hits.mean()),
            "recall_at_20": float(self.recall.mean()),
            "ndcg_at_10": float(self.ndcg.mean()),
            "coverage_at_10": self.coverage,
            "customers": len(self.hits),
        }


def judge(scores: Pairs, bought: IntArray, *, catalogue: int) -> Judged:
    """Judge lists (the largest scores of each customer) by the pairs that were `bought`, ascending keys.

    Customers who bought nothing to be found are left out. What was bought and is no candidate counts as missed. NDCG
    (Järvelin, Kekäläinen 2002) has binary gains; coverage is the share of `catalogue` products on anybody's list.
    """
    width = scores.width
    rows = int(max(scores.rows.max(initial=0), (bought // width).max(initial=0))) + 1
    wanted = np.bincount(bought // width, minlength=rows)
    is_judged = wanted > 0
    place = places(scores, rows)
    is_hit = np.isin(scores.keys, bought)

    def summed(kept: IntArray, weights: FloatArray | None = None) -> FloatArray:
        found = np.bincount(scores.rows[kept], weights=weights, minlength=rows)
        return np.asarray(found[is_judged], dtype=np.float64)

    top, wide = np.flatnonzero(is_hit & (place < TOP)), np.flatnonzero(is_hit & (place < RECALL_TOP))
    ideal = np.concatenate([[0.0], np.cumsum(_discounts(np.arange(TOP)))])[np.minimum(wanted[is_judged], TOP)]
    shown = np.unique(scores.columns[(place < TOP) & is_judged[scores.rows]])
    return Judged(
        hits=(summed(top) > 0).astype(np.float64),
        recall=summed(wide) / wanted[is_judged],
        ndcg=summed(top, _discounts(place[top])) / ideal,
        coverage=len(shown) / max(catalogue, 1),
    )


def flat(by_list: Mapping[str, Judged]) -> dict[str, float]:
    """Figures of several lists beside each other: all_hr_at_10, new_hr_at_10, …"""
    return {f"{name}_{figure}": value for name, judged in by_list.items() for figure, value in judged.means().items()}


def _discounts(place: IntArray) -> FloatArray:
    return np.asarray(1.0 / np.log2(place + 2.0))
