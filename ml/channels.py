"""Best channel: where a customer will most probably be active next, with an interval that says how sure that is."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from ml.channel_metrics import channel_metrics, interval_metrics, rules, share_loss
from ml.channel_model import (
    CHANNEL_FEATURE_NAMES,
    CHANNEL_INPUTS,
    ChannelModel,
    Uses,
    fit,
    from_files,
    share_interval,
    total,
    unpacked,
    uses_of,
)
from ml.channel_words import reasons
from ml.drift import histograms
from ml.evaluation import leak_warnings
from ml.fingerprint import data_fingerprint
from ml.model import ModelCard, ModelError, ModelOptions, Reads, Trained
from ml.schema import KEYS, FeatureError, FloatArray, ordered
from ml.splits import Split, customer_sample, rows_on

__all__ = ["MODEL", "TABLE", "ChannelModel", "ChannelParams", "from_files", "losses", "score", "train"]

MODEL: Final = "best_channel"
TABLE: Final = "best_channels"
PURPOSE: Final = "Where a customer will most probably be active next, so that a message goes where it is seen."
LIMITS: Final = (
    "Only customers with an order are scored.",
    "It says where customers are active by themselves, not where a message would move them most.",
    "A channel is judged by active days; messages that nobody opens leave no trace in it.",
)
LOSS: Final = "log loss of the shares of active days"
HEADLINE: Final = ("accuracy", "log_loss")
FEATURES: Final = CHANNEL_INPUTS
INPUTS: Final = tuple(feature.name for feature in CHANNEL_INPUTS)
PER_CHANNEL: Final = ("channel", *CHANNEL_FEATURE_NAMES)
HORIZON_DAYS: Final = 30
LABEL: Final = "used_day_count"
SMALLEST_ROWS: Final = 50
# How a channel reaches somebody: by which contact, under which consent. Of others it is not known.
REACHED_BY: Final = {
    "email": "reach_by_email",
    "sms": "reach_by_phone",
    "whatsapp": "reach_by_phone",
    "web": "reach_on_site",
    "mobile": "reach_on_site",
    "app": "reach_on_site",
}


@dataclass(frozen=True)
class ChannelParams:
    """How the model is trained; `most_rows` rows (of customers drawn by a hash of their id) teach it, all are judged."""

    seed: int
    most_rows: int = 200_000


def reads(options: ModelOptions) -> Reads:
    """Active days by channel, with what was used in the next 30 days."""
    return Reads("channels", (HORIZON_DAYS,))


def params(options: ModelOptions) -> ChannelParams:
    """The one configuration for all shops."""
    return ChannelParams(seed=options.seed)


def train(
    rows: pd.DataFrame, split: Split, params: ChannelParams, *, champion: ChannelModel | None = None
) -> Trained[ChannelModel]:
    """Fit on the dates before the test, judge on the test date beside rules, refit with all labelled dates.

    `rows` are one per (customer_id, as_of_date, channel) with PER_CHANNEL and LABEL. Raises ModelError where they cannot teach.
    """
    _check(rows, *PER_CHANNEL, LABEL)
    rows = _ordered(rows_on(rows, *split.labelled_dates))
    before, test = rows_on(rows, *split.dates_before_test), rows_on(rows, split.test_date)
    judged = _fit(before, params)
    found = _Judged.of(test, judged.channels)
    shares = {MODEL: _shares(judged, found), **rules(_Judged.of(before, judged.channels), found)}
    metrics = {name: channel_metrics(found.used, share) for name, share in shares.items()}
    metrics[MODEL] |= _interval_metrics(judged, found)
    leaks = leak_warnings(_per_channel(test), test[LABEL].to_numpy() > 0, CHANNEL_FEATURE_NAMES)
    metrics[MODEL]["warnings"] = leaks + _better_rules(metrics)
    model = _fit(rows, params)
    card = ModelCard(
        model=MODEL,
        train_dates=split.dates_before_test,
        test_date=split.test_date,
        horizon_days=split.horizon_days,
        train_rows=len(before),
        test_rows=len(test),
        features=INPUTS,
        parameters={**asdict(params), **asdict(model), "refit": split.refit_sentence()},
        metrics=metrics.pop(MODEL),
        baseline_metrics=metrics,
        reference=histograms(pd.DataFrame({"probability": _best_share(model, rows)})),
        data_fingerprint=data_fingerprint(rows),
        seed=params.seed,
    )
    scores = found.keys.assign(**{name: share.max(axis=1) for name, share in shares.items()})
    return Trained(model, judged, card, scores)


def score(model: ChannelModel, rows: pd.DataFrame, *, explain: bool = True) -> pd.DataFrame:
    """The columns of best_channels but model_version, one row per row of `rows`, in its order.

    `rows` are one per customer with INPUTS: its days by channel in one text (see `ml.channel_model.unpacked`), and whether
    there is a contact with consent. Without `explain` the reasons are empty.
    """
    _check(rows, *INPUTS)
    keys = rows[list(KEYS)].reset_index(drop=True)
    days = unpacked(rows)
    channels = _all_channels(model.channels, days)
    uses = uses_of(days, days["place"].to_numpy(dtype=np.int64), len(rows), channels)
    parameters = model.parameters(uses)
    whole, each = total(parameters), np.arange(len(keys))
    best = parameters.argmax(axis=1)
    lower, upper = share_interval(parameters[each, best], whole)
    reach = _reach(rows, channels)
    return keys.assign(
        channel=np.array(channels, dtype=object)[best],
        probability=parameters[each, best] / whole,
        lower_probability=lower,
        upper_probability=upper,
        is_reachable=pd.array(reach[each, best], dtype="boolean"),
        reason=reasons(uses, parameters, reach) if explain else "",
    )


def losses(model: ChannelModel, rows: pd.DataFrame) -> FloatArray:
    """Log loss of the shares of active days by channel, per customer that had one in the horizon."""
    _check(rows, *PER_CHANNEL, LABEL)
    found = _Judged.of(_ordered(rows), _all_channels(model.channels, rows))
    return share_loss(found.used, _shares(model, found))


@dataclass(frozen=True)
class _Judged:
    """Customers with an active day in the horizon: keys, what was known of them, and the days used (n, C)."""

    keys: pd.DataFrame
    uses: Uses
    used: FloatArray

    @classmethod
    def of(cls, rows: pd.DataFrame, channels: tuple[str, ...]) -> "_Judged":
        """Of rows with LABEL."""
        active = rows.groupby(list(KEYS))[LABEL].transform("sum") > 0
        rows = rows[active.to_numpy()]
        place, keys = _customers(rows)
        used = np.zeros((len(keys), len(channels)))
        column = pd.Index(channels).get_indexer(pd.Index(rows["channel"]))
        known = column >= 0
        used[place[known], column[known]] = rows[LABEL].to_numpy(dtype=np.float64)[known]
        some = used.sum(axis=1) > 0
        uses = uses_of(rows, place, len(keys), channels)
        kept = Uses(uses.channels, uses.past[some], uses.days_since[some])
        return cls(keys[some].reset_index(drop=True), kept, used[some])


def _shares(model: ChannelModel, found: _Judged) -> FloatArray:
    parameters = np.maximum(model.parameters(found.uses), 1e-9)
    return np.asarray(parameters / total(parameters)[:, None])


def _best_share(model: ChannelModel, rows: pd.DataFrame) -> FloatArray:
    """The share of the best channel per customer and date of `rows`, active in the horizon or not."""
    place, keys = _customers(rows)
    parameters = model.parameters(uses_of(rows, place, len(keys), _all_channels(model.channels, rows)))
    return np.asarray(parameters.max(axis=1) / total(parameters))


def _fit(rows: pd.DataFrame, params: ChannelParams) -> ChannelModel:
    rows = customer_sample(rows, params.most_rows)
    channels = tuple(sorted(rows["channel"].dropna().unique()))
    found = _Judged.of(rows, channels)
    if len(found.keys) < SMALLEST_ROWS:
        raise ModelError(
            f"Best channels cannot be learnt: only {len(found.keys)} training rows have an active day in the "
            f"{HORIZON_DAYS} days after them, {SMALLEST_ROWS} are needed."
        )
    return fit(found.uses, found.used)


def _interval_metrics(model: ChannelModel, found: _Judged) -> dict[str, Any]:
    parameters = model.parameters(found.uses)
    whole, each, best = total(parameters), np.arange(len(parameters)), parameters.argmax(axis=1)
    return interval_metrics(found.used[each, best], total(found.used), parameters[each, best], whole)


def _better_rules(metrics: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence per rule that was better on the test date than the model."""
    own = metrics[MODEL]["log_loss"]
    return [
        f"On the test date the rule {name} had a lower loss ({found['log_loss']:.4f}) than the model ({own:.4f})."
        for name, found in metrics.items()
        if found["log_loss"] < own
    ]


def _per_channel(rows: pd.DataFrame) -> FloatArray:
    return np.asarray(rows[list(CHANNEL_FEATURE_NAMES)].astype("float64").to_numpy())


def _all_channels(known: tuple[str, ...], rows: pd.DataFrame) -> tuple[str, ...]:
    """Those of the model, then those that only `rows` have."""
    return (*known, *sorted(set(rows["channel"].dropna().unique()) - set(known)))


def _customers(rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """The number of each row's (customer, date) in the order they appear, and the keys by number."""
    keys = rows[list(KEYS)]
    place = keys.groupby(list(KEYS), sort=False).ngroup().to_numpy()
    return place, keys.drop_duplicates().reset_index(drop=True)


def _reach(rows: pd.DataFrame, channels: tuple[str, ...]) -> Any:
    """Whether each customer can be reached on each channel, (n, C): True, False, or None where that is not known."""
    found = np.full((len(rows), len(channels)), None, dtype=object)
    for column, channel in enumerate(channels):
        if by := REACHED_BY.get(channel):
            found[:, column] = rows[by].to_numpy(dtype=bool)
    return found


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return ordered(rows.sort_values("channel", kind="stable"))


def _check(rows: pd.DataFrame, *names: str) -> None:
    missing = [name for name in (*KEYS, *names) if name not in rows.columns]
    if missing:
        raise FeatureError(f"The frame lacks {', '.join(missing)}; ml.channels says what it must have.")
    if rows[list(KEYS)].isna().to_numpy().any():
        raise FeatureError("A row has no customer_id or no as_of_date; both are needed.")
    key = [name for name in (*KEYS, "channel") if name in rows.columns]
    if rows.duplicated(key).any():
        raise FeatureError(f"A ({', '.join(key)}) occurs twice; there must be one row for each.")
