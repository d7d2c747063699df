import json

import numpy as np
import pytest

from ml.reasons import reason_codes, spoken
from ml.schema import FEATURE_NAMES, FEATURES


def reasons_for(**moved: tuple[float, float]) -> list[dict[str, object]]:
    """Reasons of one customer: feature -> (value, contribution)."""
    values, contributions = np.zeros((1, len(FEATURES))), np.zeros((1, len(FEATURES)))
    for name, (value, contribution) in moved.items():
        values[0, FEATURE_NAMES.index(name)], contributions[0, FEATURE_NAMES.index(name)] = value, contribution
    [text] = reason_codes(values, contributions, features=FEATURES, outcome="the risk")
    found: list[dict[str, object]] = json.loads(text)
    return found


def test_the_three_largest_are_said_in_words_with_their_number_and_direction() -> None:
    reasons = reasons_for(
        recency_days=(120.4, 0.9), net_revenue=(1250.0, -1.1), order_count=(3, -0.2), refund_share=(0.3, 0.1)
    )
    assert [reason["text"] for reason in reasons] == [
        "net revenue of 1,250 so far lowers the risk",
        "no order for 120 days raises the risk",
        "3 orders so far lowers the risk",
    ]
    assert reasons[1] == {
        "feature": "recency_days",
        "value": 120.4,
        "contribution": 0.9,
        "text": "no order for 120 days raises the risk",
    }


def test_one_of_something_is_singular_and_nothing_known_is_said() -> None:
    texts = [
        reason["text"]
        for reason in reasons_for(order_count=(1, 0.3), recency_days=(1, -0.2), mean_days_between_orders=(np.nan, 0.1))
    ]
    assert texts == [
        "1 order so far raises the risk",
        "no order for 1 day lowers the risk",
        "orders on one day only so far raises the risk",
    ]


def test_a_missing_value_is_null_and_what_moved_nothing_is_left_out() -> None:
    [reason] = reasons_for(recency_to_rhythm=(np.nan, 0.5))
    assert reason["value"] is None


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.256, "share", "26 %"),
        (12345.6, "money", "12,346"),
        (2.0, "ratio", "2"),
        (2.25, "ratio", "2.2"),
        (-0.4, "money", "0"),
    ],
)
def test_numbers_are_written_as_a_person_would(value: float, unit: str, text: str) -> None:
    assert spoken(value, unit) == text
