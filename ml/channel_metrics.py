"""How good stated shares of channels were, and the rules that they are held to."""

from typing import Any, Final

import numpy as np
from scipy.special import betaln, gammaln

from ml.evaluation import calibration_table, expected_calibration_error
from ml.schema import FloatArray

TAIL: Final = 0.1
SMALLEST: Final = 1e-9


def channel_metrics(used: FloatArray, shares: FloatArray) -> dict[str, Any]:
    """Metrics over customers with an active day; `used` (n, C) active days in the horizon, `shares` (n, C) stated ones.

    `accuracy`: the best channel is one of those used most. `calibration_table` and `ece` are of the best channel's share.
    """
    best = shares.argmax(axis=1)
    each = np.arange(len(used))
    seen = used / used.sum(axis=1, keepdims=True)
    return {
        "rows": len(used),
        "accuracy": float((used[each, best] == used.max(axis=1)).mean()),
        "log_loss": float(share_loss(used, shares).mean()),
        "brier": float(((shares - seen) ** 2).sum(axis=1).mean()),
        "ece": expected_calibration_error(seen[each, best], shares[each, best]),
        "calibration_table": calibration_table(seen[each, best], shares[each, best]),
    }


def share_loss(used: FloatArray, shares: FloatArray) -> FloatArray:
    """Log loss per customer: minus the mean log of the share that was stated for the channel of each of its active days."""
    logs = np.log(np.maximum(shares, SMALLEST))
    return np.asarray(-(used * logs).sum(axis=1) / used.sum(axis=1))


def rules(before: Any, test: Any) -> dict[str, FloatArray]:
    """Shares of the test customers by rule: what all use; the channel used last (as often right as it was before); own
    days of the year with one day more on each channel."""
    shop = (before.used.sum(axis=0) + 0.5) / (before.used.sum() + 0.5 * before.used.shape[1])
    everybody = np.repeat(shop[None, :], len(test.used), axis=0)
    right = _share_on(_last(before.uses), before.used)
    last = _last(test.uses)
    told = np.where(last.sum(axis=1, keepdims=True) > 0, right * last + (1 - right) * everybody, everybody)
    days = test.uses.past[:, :, :3].sum(axis=2) + 1.0
    return {"shops_most_common": everybody, "last_used": told, "own_share": days / days.sum(axis=1, keepdims=True)}


def interval_metrics(used: FloatArray, of_days: FloatArray, parameter: FloatArray, whole: FloatArray) -> dict[str, Any]:
    """Coverage of the 80 % interval of the best channel's share, on the days that were counted.

    Few days cannot show a share: the interval is carried to counts (beta-binomial of the same parameters), and `stated`
    is the chance that the model itself gives to the counts within it, which is above 80 % where counts are small.
    """
    other = np.maximum(whole - parameter, SMALLEST)
    most = int(of_days.max())
    counts = np.arange(most + 1)[None, :]
    n = of_days[:, None]
    rest = np.maximum(n - counts, 0.0)
    chances = gammaln(n + 1) - gammaln(counts + 1) - gammaln(rest + 1)
    chances = chances + betaln(counts + parameter[:, None], rest + other[:, None])
    chances = np.where(counts <= n, np.exp(chances - betaln(parameter, other)[:, None]), 0.0)
    below = np.cumsum(chances, axis=1)
    lower = (below < TAIL).sum(axis=1)
    upper = (below < 1 - TAIL).sum(axis=1)
    each = np.arange(len(used))
    stated = below[each, np.minimum(upper, most)] - np.where(lower > 0, below[each, np.maximum(lower - 1, 0)], 0.0)
    return {
        "interval": {
            "coverage": float(((used >= lower) & (used <= upper)).mean()),
            "stated": float(stated.mean()),
            "below": float((used < lower).mean()),
            "above": float((used > upper).mean()),
        }
    }


def _last(uses: Any) -> FloatArray:
    """1 on the channel used last (the first of them by name where several are), nothing for who used none."""
    since = np.where(np.isnan(uses.days_since), np.inf, uses.days_since)
    found = np.zeros(since.shape)
    known = np.isfinite(since).any(axis=1)
    found[np.flatnonzero(known), since[known].argmin(axis=1)] = 1.0
    return found


def _share_on(stated: FloatArray, used: FloatArray) -> float:
    """The share of active days that fell on the stated channel, of customers for whom one was stated."""
    has = stated.any(axis=1)
    return float((stated * used)[has].sum() / used[has].sum()) if has.any() else 0.0
