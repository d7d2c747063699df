"""What libraries send for JSON, mended."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.near_json import mended

TEXTS = st.text() | st.sampled_from(["NaN", '"NaN"', "\\", '\\"Infinity', "-Infinity", "\\ud83d"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_python_writes_for_no_number_is_out_of_range_and_all_else_stays(value: object) -> None:
    def no_constant(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    written = json.dumps(value)
    better = mended(written.encode())
    of_constants = {"NaN": math.inf, "Infinity": math.inf, "-Infinity": -math.inf}
    assert json.loads(better, parse_constant=no_constant) == json.loads(
        written, parse_constant=of_constants.__getitem__
    )
    assert mended(better) == better


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    ['"' * 500_000, '\\"' * 250_000, '"' + '\\"' * 250_000, '"' + "\\" * 499_999],
    ids=["quotes", "escaped", "open", "backslashes"],
)
def test_a_body_of_quotes_is_read_once(text: str) -> None:
    assert len(mended(f"{text}NaN".encode())) >= 500_000
