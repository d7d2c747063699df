"""Published baselines on Online Retail, typed in from the project's reference page, section 3 (measured once, 2 cores).

Source: shared/reference/data_and_ml.md. Churn: no purchase in the next 90 days, base rate .430. LTV: 90 days after
2011-09-10, 3,370 customers. Both count no cancellations and only positive prices, so an order there is not quite ours
(refunds lower our revenue), and a customer-day is one purchase.
"""

from typing import Final

CHURN_COLUMNS: Final = ("roc_auc", "pr_auc", "brier", "ece")
CHURN: Final = {
    "recency rank": (0.683, 0.590, 0.243, 0.131),
    "BG/NBD": (0.733, 0.618, 0.218, 0.112),
    "logistic regression": (0.738, 0.627, 0.210, 0.080),
    "LightGBM": (0.734, 0.619, 0.218, 0.102),
    "mean of three": (0.742, 0.630, 0.212, 0.096),
}

LTV_COLUMNS: Final = ("mae", "rmse", "spearman", "normalised_gini", "top_decile_lift", "total_bias")
LTV: Final = {
    "own mean rate": (792.0, 4165.0, 0.459, 0.637, 4.96, -0.01),
    "BG/NBD + Gamma-Gamma": (639.0, 4191.0, 0.512, 0.688, 5.25, -0.45),
    "LightGBM past window": (628.0, 3987.0, 0.514, 0.698, 5.15, -0.37),
    "mean of the two": (625.0, 4070.0, 0.525, 0.701, 5.24, -0.41),
}
