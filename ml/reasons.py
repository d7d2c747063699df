"""Reason codes: what moved a score most, in words with numbers."""

import json
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from ml.schema import Feature, FloatArray

REASON_COUNT: Final = 3


def reason_codes(
    values: FloatArray, contributions: FloatArray, *, features: Sequence[Feature], outcome: str
) -> list[str]:
    """JSON per row: a list of up to 3 {"feature", "value", "contribution", "text"}, largest contribution first.

    `values` and `contributions` are (rows, len(features)), contributions on the model's raw scale; `outcome` names what
    a positive contribution raises ("the risk"). Features that moved nothing are left out.
    """
    order = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :REASON_COUNT]
    amounts = np.take_along_axis(contributions, order, axis=1).round(6)
    numbers = np.take_along_axis(values, order, axis=1)
    return [
        "[" + ", ".join(_reason(features[f], v, c, outcome) for f, v, c in zip(*row, strict=True) if c) + "]"
        for row in zip(order.tolist(), numbers.tolist(), amounts.tolist(), strict=True)
    ]


def spoken(value: float, unit: str) -> str:
    """A number as a person writes it: 1,250 for money, 30 % for a share, whole days, one decimal for the rest."""
    if unit == "share":
        return f"{100 * value:z.0f} %"
    if unit in {"money", "days"} or abs(value) >= 100:
        return f"{value:z,.0f}"
    return f"{value:z,.1f}".removesuffix(".0")


def _reason(feature: Feature, value: float, contribution: float, outcome: str) -> str:
    is_null = math.isnan(value)
    said = spoken(value, feature.unit)
    words = feature.words_if_null if is_null else (feature.words_if_one if said == "1" else "") or feature.words
    return json.dumps(
        {
            "feature": feature.name,
            "value": None if is_null else round(value, 4),
            "contribution": contribution,
            "text": f"{words.format(value=said)} {'raises' if contribution > 0 else 'lowers'} {outcome}",
        }
    )


def no_reasons(frame: pd.DataFrame) -> list[str]:
    """An empty JSON list per row, for callers that do not ask for explanations."""
    return ["[]"] * len(frame)
