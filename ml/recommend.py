"""Recommendations: the next products of each customer. Candidates from several sources, ordered by LambdaRank."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Final
from zlib import crc32

import lightgbm as lgb
import numpy as np
import pandas as pd

from ml.baskets import Acts, Baskets, IntArray, histories
from ml.candidates import INPUTS as INPUTS
from ml.candidates import Candidates, candidates
from ml.drift import histograms
from ml.fingerprint import data_fingerprint
from ml.model import ModelCard, ModelError, ModelOptions, Reads, Trained
from ml.ranking import Judged, flat, judge
from ml.recommend_lists import BasketBatch, best_lists, popular_products, similar_products
from ml.recommend_model import LISTS, RANKER, RULES, Ranker, RecommendModel, of_list, scored
from ml.recommend_model import from_files as from_files
from ml.retrieval import RetrievalParams, Shop
from ml.schema import FloatArray
from ml.splits import Split

MODEL: Final = "recommendations"
TABLE: Final = "recommendations"
PURPOSE: Final = (
    "Which products a customer is likely to order in the next 30 days: those it may order again, and those it never had."
)
LIMITS: Final = (
    "A score orders one list; it is no probability and cannot be compared between customers.",
    "Customers without an order are offered what they looked at and what goes with it, else what is popular; nobody measured that.",
    "A product that nobody has bought or looked at yet is hardly ever shown.",
    "What is out of stock is left out as the catalogue of the run's day says; past dates were judged without stock.",
)
LOSS: Final = "1 - mean NDCG@10 of both lists"
HEADLINE: Final = ("all_hr_at_10", "all_ndcg_at_10", "new_hr_at_10", "new_coverage_at_10")
HORIZON_DAYS: Final = 30
SMALLEST_CUSTOMERS: Final = 30
REFERENCE: Final = ("score",)


@dataclass(frozen=True)
class RecommendParams:
    """How rankers are grown; `most_dates` and `most_rows` bound the work of a training whatever the shop's size."""

    seed: int
    retrieval: RetrievalParams
    most_dates: int = 3
    most_customers: int = 4_000
    trees: int = 100
    ranker: dict[str, Any] = field(
        default_factory=lambda: {
            "objective": "lambdarank",
            "lambdarank_truncation_level": 20,
            "learning_rate": 0.1,
            "num_leaves": 15,
            "feature_fraction": 0.6,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 10.0,
            "max_bin": 127,
        }
    )


@dataclass(frozen=True)
class _Dated:
    """Candidates of the customers who bought something in the horizon after a date, and what that was (pairs, ascending)."""

    found: Candidates
    bought: IntArray

    def of_list(self, name: str) -> tuple[Candidates, IntArray]:
        """The part of one list."""
        bought = self.bought
        if name == "new":
            bought = bought[self.found.of.orders.at(bought) == 0]
        return self.found.only(of_list(self.found, name)), bought


def reads(options: ModelOptions) -> Reads:
    """Baskets with what was bought in the 30 days after."""
    return Reads("baskets", (HORIZON_DAYS,))


def params(options: ModelOptions) -> RecommendParams:
    """The one configuration for all shops."""
    return RecommendParams(options.seed, RetrievalParams(options.seed))


def train(
    data: Baskets, split: Split, params: RecommendParams, *, champion: RecommendModel | None = None
) -> Trained[RecommendModel]:
    """Rank what customers bought after dates before the test, judge on the test date beside plain rules, refit with it.

    Whether the ranker or a rule orders a list is decided on the newest date before the test. Raises ModelError.
    """
    before = split.dates_before_test[-params.most_dates :]
    made = {day: dated(data, day, params) for day in (*before, split.test_date)}
    judged = _fit({day: made[day] for day in before}, params)
    test = made[split.test_date]
    metrics = {how: flat(by_list) for how, by_list in _judged_by(test, judged).items()}
    model = _fit({day: made[day] for day in sorted(made)[-params.most_dates :]}, params)
    everything = data.on(*made)
    scores = best_lists(model, test.found)
    card = ModelCard(
        model=MODEL,
        train_dates=before,
        test_date=split.test_date,
        horizon_days=split.horizon_days,
        train_rows=sum(len(made[day].found.of.ids) for day in before),
        test_rows=len(test.found.of.ids),
        features=INPUTS,
        parameters={**asdict(params), "judged": judged.chosen, "chosen": model.chosen, "sampled_share": data.share},
        metrics={**metrics.pop(MODEL), "warnings": _warnings(everything)},
        baseline_metrics=metrics,
        reference=histograms(scores[list(REFERENCE)]),
        data_fingerprint=_fingerprint(everything),
        seed=params.seed,
    )
    return Trained(model, judged, card, scores)


def score(model: RecommendModel, batch: BasketBatch) -> pd.DataFrame:
    """The columns of recommendations but model_version: up to 10 rows per customer and list, in order."""
    shop = batch.shop(Shop, RetrievalParams(model.seed))
    found = candidates(shop, histories(batch.acts, shop.ids, batch.ids), in_stock_only=True)
    return best_lists(model, found)


def losses(model: RecommendModel, rows: Baskets) -> FloatArray:
    """1 - NDCG@10 per customer who bought on the one date of `rows`: the mean of both lists, of one where it bought nothing new."""
    [day] = rows.acts
    test = dated(rows, day, RecommendParams(model.seed, RetrievalParams(model.seed)))
    total, lists = np.zeros(len(test.found.of.ids)), np.zeros(len(test.found.of.ids))
    for name in LISTS:
        _, bought = test.of_list(name)
        customers = np.unique(bought // test.found.shop.width)
        total[customers] += judge(model.order(test.found, name), bought, catalogue=1).ndcg
        lists[customers] += 1
    return np.asarray(1.0 - total[lists > 0] / lists[lists > 0])
