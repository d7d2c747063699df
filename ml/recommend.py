"""Recommendations: the next products of each customer. Candidates from several sources, ordered by LambdaRank."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Final
from zlib import crc32

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.baskets import Baskets, IntArray, histories, places_of
from ml.candidates import FEATURES, INPUTS, Candidates, candidates
from ml.drift import histograms
from ml.evaluation import season_warnings
from ml.fingerprint import data_fingerprint
from ml.model import ModelCard, ModelError, ModelOptions, Reads, Trained
from ml.ranking import Judged, flat, judge
from ml.recommend_lists import BasketBatch, best_lists
from ml.recommend_model import LISTS, RANKER, RULES, Ranker, RecommendModel, from_files, of_list, scored
from ml.retrieval import RetrievalParams, Shop
from ml.schema import FloatArray
from ml.splits import Split

__all__ = ["FEATURES", "INPUTS", "Ranker", "RecommendModel", "from_files"]

MODEL: Final = "recommendations"
TABLE: Final = "recommendations"
PURPOSE: Final = "Which products a customer is likely to order in the next 30 days: those it may order again, and those it never had."
LIMITS: Final = (
    "A score orders one list; it is no probability and cannot be compared between customers.",
    "Customers without an order are offered what they looked at and what goes with it, else what is popular; nobody measured that.",
    "A product that nobody has bought or looked at yet is hardly ever shown.",
    "What is out of stock is left out as the catalogue of the run's day says; past dates were judged without stock.",
)
LOSS: Final = "1 - mean NDCG@10 of both lists"
HEADLINE: Final = ("all_hr_at_10", "all_ndcg_at_10", "new_hr_at_10", "new_coverage_at_10")
HORIZON_DAYS: Final = 30
MOST_CUSTOMERS: Final = 2_500
SMALLEST_CUSTOMERS: Final = 30
UNTRIED: Final = {"all": "own_history", "new": "popularity"}
"""What orders the lists where there are too few customers to try a ranker out on the newest date before the test."""
REFERENCE: Final = ("score",)


@dataclass(frozen=True)
class RecommendParams:
    """How rankers are grown; `most_dates` and `most_customers` (per date) bound the work of a training whatever the shop's size."""

    seed: int
    retrieval: RetrievalParams
    most_dates: int = 3
    most_customers: int = MOST_CUSTOMERS
    trees: int = 60
    ranker: dict[str, Any] = field(
        default_factory=lambda: {
            "objective": "lambdarank",
            "lambdarank_truncation_level": 20,
            "learning_rate": 0.15,
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

    def bought_on(self, name: str) -> IntArray:
        """What a list could have held of it."""
        return self.bought if name == "all" else self.bought[self.found.of.orders.at(self.bought) == 0]

    def part(self, customers: npt.NDArray[np.bool_]) -> "_Dated":
        """Some of the customers; all keep their rows."""
        width = self.found.shop.width
        return _Dated(self.found.only(customers[self.found.rows]), self.bought[customers[self.bought // width]])


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
    before = tuple(day for day in split.dates_before_test[-params.most_dates :] if data.has_products(day))
    if not before or not data.has_products(split.test_date):
        raise ModelError(
            "Recommendations cannot be learnt: orders before and after the dates to learn from have to name their products, "
            "and too few do; give order lines a product_id."
        )
    made = {day: _dated(data, day, params.retrieval, most=params.most_customers) for day in (*before, split.test_date)}
    test = made[split.test_date]
    judged = _judged_model([made[day] for day in before], params)
    by_how = _judged_by(test, judged)
    model = _fit([made[day] for day in sorted(made)[-params.most_dates :]], params, _choose(judged, test))
    metrics = {how: flat(by_list) for how, by_list in by_how.items()}
    own = flat({name: by_how[how][name] for name, how in judged.chosen.items() if name in by_how[how]})
    everything = data.on(*made)
    scores = best_lists(model, test.found, explain=False)
    card = ModelCard(
        model=MODEL,
        train_dates=before,
        test_date=split.test_date,
        horizon_days=split.horizon_days,
        train_rows=sum(len(made[day].found.of.ids) for day in before),
        test_rows=len(test.found.of.ids),
        features=INPUTS,
        parameters={**asdict(params), "judged": judged.chosen, "chosen": model.chosen, "sampled_share": data.share},
        metrics={**own, "warnings": _warnings(everything)},
        baseline_metrics=metrics,
        reference=histograms(scores[list(REFERENCE)]),
        data_fingerprint=_fingerprint(everything),
        seed=params.seed,
    )
    return Trained(model, judged, card, scores)


def score(model: RecommendModel, batch: BasketBatch) -> pd.DataFrame:
    """The columns of recommendations but model_version: up to 20 rows per customer and list, best first."""
    shop = batch.of.shop(model.retrieval)
    return best_lists(model, candidates(shop, histories(batch.acts, shop.ids), in_stock_only=True))


def losses(model: RecommendModel, rows: Baskets) -> FloatArray:
    """1 - NDCG@10 per customer who bought on the one date of `rows`: the mean of both lists, of one where it bought nothing new."""
    [day] = rows.acts
    test = _dated(rows, day, model.retrieval, most=MOST_CUSTOMERS)
    count = len(test.found.of.ids)
    total, lists = np.zeros(count), np.zeros(count)
    for name in LISTS:
        bought = test.bought_on(name)
        customers = np.unique(bought // test.found.shop.width)
        total[customers] += judge(model.order(test.found, name), bought, catalogue=1).ndcg
        lists[customers] += 1
    return np.asarray(1.0 - total[lists > 0] / lists[lists > 0])


def _dated(data: Baskets, day: date, retrieval: RetrievalParams, *, most: int) -> _Dated:
    """Candidates of the (at `most`) customers who bought something after `day`; those whose ids hash lowest are taken."""
    outcomes = data.outcomes[day]
    buyers = sorted(outcomes["customer_id"].unique(), key=lambda id_: (crc32(str(id_).encode()), id_))[:most]
    acts = data.acts[day].of(buyers)
    shop = Shop(data.acts[day], data.products, retrieval, share=data.share)
    of = histories(acts, shop.ids, sorted(buyers))
    rows = places_of(of.ids, outcomes["customer_id"])
    columns = places_of(shop.ids, outcomes["product_id"])
    return _Dated(candidates(shop, of), np.unique((rows * shop.width + columns)[(rows >= 0) & (columns >= 0)]))


def _judged_model(before: Sequence[_Dated], params: RecommendParams) -> RecommendModel:
    """Fitted on the dates before the test; a trial that did not see the newest of them decides what orders each list.

    With one date only, the trial does not see a quarter of its customers.
    """
    *earlier, newest = before
    if not earlier:
        held = np.arange(len(newest.found.of.ids)) % 4 == 0
        earlier, newest = [newest.part(~held)], newest.part(held)
    try:
        chosen = _choose(_fit(earlier, params, dict.fromkeys(LISTS, RANKER)), newest)
    except ModelError:
        # too few customers to try it out: what nobody could test does not order a list
        chosen = dict(UNTRIED)
    return _fit(before, params, chosen)


def _fit(dates: Sequence[_Dated], params: RecommendParams, chosen: dict[str, str]) -> RecommendModel:
    """A ranker per list from all these dates."""
    return RecommendModel({name: _grow(dates, name, params) for name in LISTS}, chosen, params.retrieval)


def _choose(trial: RecommendModel, judged: _Dated) -> dict[str, str]:
    """Per list what orders it best by NDCG@10 on customers of a date that the trial has not seen; the ranker where equal."""
    found = {}
    for name in LISTS:
        by = {how: one[name].ndcg.mean() for how, one in _judged_by(judged, trial).items() if name in one}
        found[name] = max(by, key=lambda how: (by[how], how == RANKER)) if by else RANKER
    return found


def _judged_by(test: _Dated, model: RecommendModel) -> dict[str, dict[str, Judged]]:
    """By what orders the lists (the ranker and each rule), by list."""
    shop = test.found.shop
    catalogue = int((~np.isnan(shop.first_sold_days)).sum())
    return {
        how: {
            name: judge(scored(test.found, name, how, model.rankers[name]), test.bought_on(name), catalogue=catalogue)
            for name in LISTS
            if len(test.bought_on(name))
        }
        for how in (RANKER, *RULES)
    }


def _grow(dates: Sequence[_Dated], name: str, params: RecommendParams) -> Ranker:
    """LambdaRank (Burges 2010) over customers with something to find among their candidates. Raises ModelError."""
    values, targets, groups = [], [], []
    for dated in dates:
        kept = dated.found.only(of_list(dated.found, name))
        is_bought = np.isin(kept.keys, dated.bought)
        rows, count = kept.rows, len(kept.of.ids)
        useful = np.bincount(rows, weights=is_bought, minlength=count) > 0
        values.append(kept.values[useful[rows]])
        targets.append(is_bought[useful[rows]])
        groups.append(np.bincount(rows, minlength=count)[useful])
    group = np.concatenate(groups)
    if len(group) < SMALLEST_CUSTOMERS:
        raise ModelError(
            f"Recommendations cannot be learnt: after the dates before the test {len(group)} customers bought something "
            f"to be found on the list {name!r}, {SMALLEST_CUSTOMERS} are needed."
        )
    features = np.concatenate(values)
    settings = {
        **params.ranker,
        "min_data_in_leaf": int(min(max(20, len(features) // 100), 200)),
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": params.seed,
        "verbosity": -1,
    }
    dataset = lgb.Dataset(features, np.concatenate(targets), group=group, feature_name=list(INPUTS), params=settings)
    return Ranker(lgb.train(settings, dataset, num_boost_round=params.trees).model_to_string())


def _warnings(data: Baskets) -> list[str]:
    """What a reader of the card must know of the history."""
    oldest = min(
        (acts.purchases["ordered_at"].min() for acts in data.acts.values() if len(acts.purchases)), default=None
    )
    days = 0.0 if oldest is None else (pd.Timestamp(max(data.acts)) - oldest).days
    return season_warnings(days)


def _fingerprint(data: Baskets) -> str:
    """One hash of everything that was learnt from."""
    frames = {"products": data.products}
    for day in data.acts:
        frames |= {
            f"{day} purchases": data.acts[day].purchases,
            f"{day} views": data.acts[day].views,
            f"{day} outcomes": data.outcomes[day],
        }
    parts = pd.DataFrame({"part": list(frames), "hash": [data_fingerprint(frame) for frame in frames.values()]})
    return data_fingerprint(parts)
