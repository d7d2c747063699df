"""The recommender that is kept: a ranker of candidates per list, or the plain rule that was better than it."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from ml.baskets import Pairs
from ml.candidates import Candidates
from ml.retrieval import RetrievalParams
from ml.schema import FloatArray

LISTS: Final = ("all", "new")
"""`all` may repeat what the customer has ordered, `new` holds what it has never ordered."""
RANKER: Final = "ranker"
RULES: Final = {
    "own_history": ("own_decayed_orders", "buyers_30d"),
    "popularity": ("buyers_30d", "buyers_90d"),
    "item_knn": ("bought_together", "buyers_30d"),
    "latent_factors": ("latent_score", "buyers_30d"),
}
"""Plain rules by name: what they order by, and what decides between equals."""
DISCOVERY: Final = 0.2
"""On the list `new`, what a product loses per unit of log(1 + its buyers in 30 days): so that lists show more of the
catalogue than its best sellers, which customers find by themselves (popularity debiasing)."""


@dataclass(frozen=True)
class Ranker:
    """LambdaRank trees as LightGBM's text."""

    text: str

    @cached_property
    def booster(self) -> lgb.Booster:
        """Parsed once from the text, so that a loaded ranker and a fresh one are the same."""
        return lgb.Booster(model_str=self.text)

    def scores(self, values: FloatArray) -> FloatArray:
        """One number per candidate; only the order within a customer's list means something."""
        if not len(values):
            return np.empty(0)
        return np.asarray(self.booster.predict(values, num_threads=1), dtype=np.float64)


@dataclass(frozen=True)
class RecommendModel:
    """Per list the ranker, and what orders it: RANKER or one of RULES, whichever was better before the test date."""

    rankers: dict[str, Ranker]
    chosen: dict[str, str]
    retrieval: RetrievalParams

    def order(self, found: Candidates, name: str) -> Pairs:
        """The candidates of a list with the score that orders it."""
        return scored(found, name, self.chosen[name], self.rankers[name])

    def to_files(self) -> dict[str, bytes]:
        """JSON, and LightGBM's text per list."""
        stored = {"chosen": self.chosen, "retrieval": asdict(self.retrieval)}
        return {"model.json": json.dumps(stored, sort_keys=True).encode()} | {
            f"{name}.txt": self.rankers[name].text.encode() for name in LISTS
        }


def from_files(files: dict[str, bytes]) -> RecommendModel:
    """The inverse of `RecommendModel.to_files`."""
    stored: dict[str, Any] = json.loads(files["model.json"])
    rankers = {name: Ranker(files[f"{name}.txt"].decode()) for name in LISTS}
    return RecommendModel(rankers, dict(stored["chosen"]), RetrievalParams(**stored["retrieval"]))


LOOKED_AT: Final = {"in_cart": 2.0, "viewed": 1.0, "bought_together": 1.0}
"""What orders the lists of customers without an order: what they put into the cart and looked at, and what goes with it."""


def of_list(found: Candidates, name: str) -> npt.NDArray[np.bool_]:
    """Which candidates a list may hold."""
    return found.is_new if name == "new" else np.ones(len(found.keys), dtype=bool)


def scored(found: Candidates, name: str, how: str, ranker: Ranker | None = None) -> Pairs:
    """The candidates of a list, ordered by the ranker or by a rule."""
    kept = found.only(of_list(found, name))
    if how == RANKER:
        assert ranker is not None, "the ranker orders where it is chosen"
        known = ranker.scores(kept.values)
        if name == "new":
            known = known - DISCOVERY * np.log1p(kept.column("buyers_30d"))
    else:
        first, second = (kept.column(column) for column in RULES[how])
        known = first + 1e-6 * second / (1.0 + second.max(initial=0.0))
    is_stranger = kept.column("order_count") == 0
    cares = sum(weight * kept.column(column) for column, weight in LOOKED_AT.items())
    popular = 1e-3 * kept.column("buyers_30d") / (1.0 + kept.column("buyers_30d").max(initial=0.0))
    return Pairs(kept.keys, np.where(is_stranger, cares + popular, known), kept.shop.width)
