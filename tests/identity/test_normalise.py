"""Normalisation: the shared vectors (the dbt macros run the same ones), and what holds of any text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import identity.normalise
from identity.normalise import LOWER, PLAIN_DIGITS, UPPER, WIDE_DIGITS, normalise

VECTORS = json.loads(Path(identity.normalise.__file__).with_name("normalise_vectors.json").read_text(encoding="utf-8"))
TYPES = ["email", "phone", "user_id", "loyalty_id", "device_id", "anonymous_id", "upi_id"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda each: f"{each['type']}-{ascii(each['value'])[:40]}")
def test_vector(vector: dict[str, str]) -> None:
    assert normalise(vector["type"], vector["value"], vector["default_country"]) == vector["expected"]


def test_there_are_vectors_enough() -> None:
    assert len(VECTORS) >= 60


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.sampled_from(TYPES), st.text(max_size=40))
def test_normalising_again_changes_nothing(kind: str, value: str) -> None:
    once = normalise(kind, value, "49")
    assert once is None or normalise(kind, once, "49") == once


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(alphabet="0123456789 +-()/", max_size=24), st.sampled_from(["49", "1", "39", "357"]))
def test_a_phone_is_e164_and_means_the_same_in_every_country(value: str, country: str) -> None:
    number = normalise("phone", value, country)
    if number is not None:
        assert number[0] == "+" and number[1] != "0" and 8 <= len(number[1:]) <= 15


def test_a_default_country_that_is_no_calling_code_is_refused() -> None:
    with pytest.raises(ValueError, match="calling code"):
        normalise("phone", "0171 1234567", "DE")


def test_the_tables_pair_up() -> None:
    assert len(UPPER) == len(LOWER) and len(WIDE_DIGITS) == len(PLAIN_DIGITS)
    assert UPPER.lower() == LOWER


def test_it_needs_the_standard_library_only() -> None:
    code = "import sys, identity.normalise; print(sorted({'numpy', 'pyarrow', 'pydantic', 'yaml'} & set(sys.modules)))"
    root = Path(identity.normalise.__file__).parents[1]
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
