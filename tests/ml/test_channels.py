"""Best channel: shares that beat rules on dates not seen, an interval that holds what it states, and doubt said in words."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom

from ml import channels, registry, schema, splits
from ml.channel_metrics import interval_metrics
from ml.channel_model import BETWEEN_CHANNELS, CHANNEL_FEATURE_NAMES, ChannelModel, Uses, fit
from ml.channels import ChannelParams
from ml.model import ModelError, Trained
from ml.schema import FeatureError
from ml.splits import Split
from tests.ml.conftest import SEED
from tests.ml.made_up_channels import made_up_channel_rows

PARAMS = ChannelParams(seed=SEED)
MODEL = ChannelModel(("pos", "web", "whatsapp"), (0.2, 0.7, 0.1), 2.0, (1.0, 1.0, 0.5, 0.0))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return made_up_channel_rows()


@pytest.fixture(scope="module")
def split(rows: pd.DataFrame) -> Split:
    return splits.time_split(rows)


@pytest.fixture(scope="module")
def trained(rows: pd.DataFrame, split: Split) -> Trained[ChannelModel]:
    return channels.train(rows, split, PARAMS)


def customers(*texts: str, reach: bool = True) -> pd.DataFrame:
    """Customers of today with their channels: "web 3 5 9 1 2" is 3, 5, 9 days, 1 with an order, the last 2 days ago."""
    packed = []
    for text in texts:
        words = [part.split(" ") for part in text.split("; ") if part]
        packed.append(BETWEEN_CHANNELS.join(",".join([*numbers, name]) for name, *numbers in words))
    ids = [f"c{n}" for n in range(len(texts))]
    frame = pd.DataFrame({"customer_id": ids, "as_of_date": pd.Timestamp("2026-01-01"), "channel_uses": packed})
    return frame.assign(reach_by_email=reach, reach_by_phone=reach, reach_on_site=reach)


def test_it_beats_every_rule_on_a_date_it_has_not_seen(trained: Trained[ChannelModel]) -> None:
    own, found = trained.card.metrics, trained.card.baseline_metrics
    assert set(found) == {"shops_most_common", "last_used", "own_share"}
    assert own["log_loss"] < min(rule["log_loss"] for rule in found.values())
    assert own["accuracy"] > found["shops_most_common"]["accuracy"] + 0.05
    assert own["ece"] < 0.05
    assert own["warnings"] == []


def test_the_interval_holds_what_it_states(trained: Trained[ChannelModel]) -> None:
    interval = trained.card.metrics["interval"]
    assert interval["coverage"] == pytest.approx(interval["stated"], abs=0.03)
    assert 0.8 <= interval["stated"] < 1


def test_coverage_is_that_of_counts_and_a_model_too_sure_is_found_out() -> None:
    random = np.random.default_rng(3)
    days = random.integers(1, 12, 20_000).astype(float)
    parameter, whole = np.full(20_000, 3.0), np.full(20_000, 5.0)
    used = random.binomial(days.astype(int), random.beta(3.0, 2.0, 20_000)).astype(float)
    honest = interval_metrics(used, days, parameter, whole)["interval"]
    assert honest["coverage"] == pytest.approx(honest["stated"], abs=0.01)
    sure = interval_metrics(used, days, 50 * parameter, 50 * whole)["interval"]
    assert sure["coverage"] < sure["stated"] - 0.05
    one = interval_metrics(np.array([4.0]), np.array([9.0]), np.array([3.0]), np.array([5.0]))["interval"]
    low, high = betabinom.ppf([0.1, 0.9], 9, 3.0, 2.0)
    assert one["stated"] == pytest.approx(betabinom.cdf(high, 9, 3.0, 2.0) - betabinom.cdf(low - 1, 9, 3.0, 2.0))


def test_the_fit_finds_the_parameters_that_the_days_were_drawn_from() -> None:
    random = np.random.default_rng(8)
    past = random.poisson(1.0, (4_000, 3, 4)).astype(float)
    shares, weights = np.array([0.5, 0.3, 0.2]), np.array([1.5, 0.5, 0.2, 0.05])
    alpha = 3.0 * shares + past @ weights
    used = np.array([random.multinomial(6, random.dirichlet(a)) for a in alpha], dtype=float)
    found = fit(Uses(("a", "b", "c"), past, np.zeros((4_000, 3))), used)
    assert found.weights[:2] == pytest.approx(weights[:2], rel=0.25)
    assert found.prior_days == pytest.approx(3.0, rel=0.3)


def test_shares_and_reasons_of_single_customers() -> None:
    texts = (
        "web 9 15 30 3 1; pos 1 1 2 1 20",
        "pos 4 4 9 4 0; web 2 3 6 0 3",
        "",
        "email 6 9 12 0 12",
        "whatsapp 0 0 1 0 200",
    )
    scores = channels.score(MODEL, customers(*texts))
    assert list(scores) == [name for name in schema.PREDICTIONS["best_channels"] if name != "model_version"]
    assert scores["channel"].tolist() == ["web", "pos", "web", "email", "web"]
    shares = [23.9 / 26.0, 6.9 / 13.0, 0.7, 10.5 / 12.5, 1.4 / 2.5]
    assert scores["probability"].tolist() == pytest.approx(shares)
    assert (scores["lower_probability"] < scores["probability"]).all()
    assert (scores["probability"] < scores["upper_probability"]).all()
    assert scores["is_reachable"].tolist() == [True, pd.NA, True, True, True]
    assert scores["reason"].tolist() == [
        "used on 30 of 32 active days in 365 days, last yesterday",
        "used on 9 of 15 active days in 365 days, last today; unsure: web is possible as well (45 %)",
        "no own activity in 365 days: what most customers use; unsure: pos is possible as well (20 %)",
        "used on 12 of 12 active days in 365 days, last 12 days ago",
        "not used in 365 days, other channels on 1 day: what most customers use; unsure: whatsapp is possible as well (28 %)",
    ]


@pytest.mark.parametrize(
    ("contact", "said"),
    [
        ("reach_by_email", "no contact or no consent for it: email is the best that can be used"),
        ("nothing", "no contact or no consent for it, nor for another channel"),
    ],
)
def test_a_channel_that_may_not_be_used_is_named_with_the_next_that_may(contact: str, said: str) -> None:
    rows = customers("web 20 20 20 0 1; email 1 1 1 0 1; pos 2 2 2 0 1", reach=False).assign(**{contact: True})
    [score] = channels.score(MODEL, rows).itertuples()
    assert (score.channel, score.is_reachable) == ("web", False)
    assert score.reason.endswith(said)


def test_a_customer_scored_alone_gets_the_bits_of_the_batch(trained: Trained[ChannelModel]) -> None:
    texts = ["web 3 5 9 1 2; pos 1 2 7 2 9", "email 1 2 3 0 4; sms 2 2 2 0 1; web 1 1 2 1 5", "", "whatsapp 1 1 1 0 3"]
    together = channels.score(trained.model, customers(*texts)).drop(columns="customer_id")
    alone = [channels.score(trained.model, customers(text)).drop(columns="customer_id") for text in texts]
    pd.testing.assert_frame_equal(pd.concat(alone, ignore_index=True), together, check_exact=True)
    assert channels.score(trained.model, customers()).empty


def test_the_files_give_the_same_model_and_training_again_the_same_files(
    trained: Trained[ChannelModel], rows: pd.DataFrame, split: Split
) -> None:
    assert channels.from_files(trained.model.to_files()) == trained.model
    again = channels.train(rows.sample(frac=1, random_state=1), split, PARAMS)
    assert registry._files(again) == registry._files(trained)


def test_a_planted_leak_and_a_better_rule_are_named_on_the_card(rows: pd.DataFrame, split: Split) -> None:
    leaking = rows.assign(active_day_count_30d=rows["used_day_count"])
    warnings = channels.train(leaking, split, PARAMS).card.metrics["warnings"]
    assert any(sentence.startswith("active_day_count_30d alone tells the outcome") for sentence in warnings)
    swapped = {"pos": "web", "web": "whatsapp", "whatsapp": "pos"}
    is_test = rows["as_of_date"] == pd.Timestamp(split.test_date)
    turned = rows.assign(channel=rows["channel"].where(is_test, rows["channel"].map(swapped)))
    turned.loc[~is_test, list(CHANNEL_FEATURE_NAMES)] = (
        rows.loc[~is_test, list(CHANNEL_FEATURE_NAMES)].sample(frac=1, random_state=2).to_numpy()
    )
    warnings = channels.train(turned, split, PARAMS).card.metrics["warnings"]
    assert any("had a lower loss" in sentence for sentence in warnings)


def test_numbers_that_are_missing_count_as_none(rows: pd.DataFrame, split: Split) -> None:
    broken = customers("web nan inf 9 1 2; pos  -3 x 1 ")
    score = channels.score(MODEL, broken).iloc[0]
    assert score["probability"] == pytest.approx((1.4 + 0.5 * 9) / (2 + 0.5 * 9))
    assert np.isfinite(channels.losses(MODEL, rows.assign(days_since_last=np.inf, active_day_count_90d=np.nan))).all()


def test_a_channel_that_the_model_never_saw_costs_a_finite_loss(rows: pd.DataFrame) -> None:
    renamed = rows.assign(channel=rows["channel"].replace("pos", "kiosk"))
    assert np.isfinite(channels.losses(MODEL, renamed)).all()
    assert channels.losses(MODEL, renamed).mean() > channels.losses(MODEL, rows).mean()


def test_a_shop_with_one_channel_is_sure_and_one_where_nobody_comes_back_says_so(
    rows: pd.DataFrame, split: Split
) -> None:
    only_web = rows[rows["channel"] == "web"]
    model = channels.train(only_web, split, PARAMS).model
    [score] = channels.score(model, customers("web 1 1 1 1 1")).itertuples()
    assert (score.channel, score.probability, score.lower_probability, score.upper_probability) == (
        "web",
        1.0,
        1.0,
        1.0,
    )
    with pytest.raises(
        ModelError, match="only 0 training rows have an active day in the 30 days after them, 50 are needed"
    ):
        channels.train(rows.assign(used_day_count=0), split, PARAMS)


def test_rows_that_are_not_those_of_the_seam_are_refused(rows: pd.DataFrame, split: Split) -> None:
    with pytest.raises(FeatureError, match="lacks used_day_count"):
        channels.train(rows.drop(columns="used_day_count"), split, PARAMS)
    with pytest.raises(FeatureError, match="occurs twice"):
        channels.losses(MODEL, pd.concat([rows, rows]))
    with pytest.raises(FeatureError, match="lacks reach_on_site"):
        channels.score(MODEL, customers("").drop(columns="reach_on_site"))
