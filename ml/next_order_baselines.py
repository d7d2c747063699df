"""What the next-order model must beat: rules that a shop would use without it, fitted on the same rows."""

import numpy as np

from ml.bgnbd import BgNbd
from ml.next_order_model import rhythm_curves
from ml.schema import FEATURE_NAMES, FloatArray
from ml.survival import HORIZON_DAYS, PERIOD_ENDS, kaplan_meier

_GAP, _RECENCY = (FEATURE_NAMES.index(name) for name in ("mean_days_between_orders", "recency_days"))


def baselines(times: FloatArray, rhythm: BgNbd | None, values: FloatArray) -> dict[str, FloatArray]:
    """Survival curves of the rows of `values` by rule; `times` are those of the rows before the test.

    The shop's curve (Kaplan-Meier of all training rows); last order plus own mean gap (who is overdue orders today, who
    has no gap yet follows the shop's curve); BG/NBD, where it could be fitted.
    """
    shop = np.repeat(kaplan_meier(times), len(values), axis=0)
    found = {"shop_curve": shop, "last_order_plus_own_gap": _own_gap(shop, values)}
    return found | ({"bg_nbd": rhythm_curves(rhythm, values)} if rhythm else {})


def own_gap_days(values: FloatArray) -> FloatArray:
    """Days until the last order is one mean gap ago, 0 where it is overdue; NaN without a gap or beyond the horizon."""
    due = np.maximum(values[:, _GAP] - values[:, _RECENCY], 0.0)
    return np.where(due < HORIZON_DAYS, due, np.nan)


def _own_gap(shop: FloatArray, values: FloatArray) -> FloatArray:
    due = np.maximum(values[:, _GAP] - values[:, _RECENCY], 0.0)
    sure = (due[:, None] >= np.array(PERIOD_ENDS)).astype(np.float64)
    return np.where(np.isnan(due)[:, None], shop, sure)
