"""What the engine is made of: words without personal data, hashes that tell nothing, waits that grow."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activation.syncs.clock import Clock
from activation.syncs.fingerprints import Fingerprints
from activation.syncs.pacing import Pacer
from activation.syncs.policy import RetryPolicy
from activation.syncs.redaction import LONGEST_WORDS, redacted

TOKEN = "EAAJZCq3f0xYBAAyZBm9tZCnn2QZD"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("Invalid e-mail ann.smith+x@example.co.uk.", "Invalid e-mail [hidden]"),
        ("ann%40example.com is no address", "[hidden] is no address"),
        ("Phone +49 (170) 123-45 67 is taken", "Phone [hidden] is taken"),
        (f"Bad token {TOKEN}", "Bad token [hidden]"),
        ("Authorization: Bearer abc", "Authorization: [hidden]"),
        ("see https://x.org/?email=ann", "see [hidden]"),
        ("Ann Smith has no city", "[hidden] has no city"),
        ("error 190: two\nlines\x00", "error 190: two lines"),
        ("", None),
        (None, None),
    ],
)
def test_words_lose_what_may_be_about_somebody(words: str | None, kept: str | None) -> None:
    assert redacted(words, {"name": "ann smith", "city": "", "orders": 1}) == kept


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=3, max_size=40).filter(lambda text: len(text.strip()) >= 3), st.text(max_size=400))
def test_no_value_that_was_sent_is_left_in_the_words(value: str, around: str) -> None:
    shown = redacted(f"{around}{value}{around}", {"deep": [{"er": value}]}) or ""
    hidden = shown.replace("[hidden]", "\n")
    assert value.strip() not in hidden or value.strip() in "[hidden]"
    assert len(shown) <= LONGEST_WORDS


def members(**columns: list[object]) -> pa.Table:
    return pa.table({"customer_id": ["a", "b", "c"], **columns})


def test_the_hash_of_a_row_changes_with_each_of_its_values_and_with_what_makes_records_of_it() -> None:
    hashes = Fingerprints("salt", "crm.vip")
    tables = [
        members(name=["x", "y", None], n=[1, 2, 3]),
        members(name=["x", "z", None], n=[1, 2, 3]),
        members(name=["x", "y", ""], n=[1, 2, 4]),
        members(n=["x", "y", None], name=[1, 2, 3]),
    ]
    found = [hashes.sources(table, "1") for table in tables]
    assert (found[0] == found[1]).tolist() == [True, False, True]
    assert (found[0] == found[2]).tolist() == [True, True, False]
    assert not (found[0] == found[3]).any()
    assert not (hashes.sources(tables[0], "2") == found[0]).any()
    assert not (Fingerprints("other", "crm.vip").sources(tables[0], "1") == found[0]).any()
    assert not (Fingerprints("salt", "crm.all").sources(tables[0], "1") == found[0]).any()
    parts = pa.concat_tables([tables[0].slice(0, 1), tables[0].slice(1)])
    assert (hashes.sources(parts, "1") == found[0]).all()


def test_hashes_of_a_hundred_thousand_rows_are_all_different() -> None:
    rows = pa.table({"customer_id": [f"c{n}" for n in range(100_000)], "spend": np.arange(100_000) * 0.5})
    assert len(np.unique(Fingerprints("salt", "crm.vip").sources(rows, "1"))) == 100_000


def test_equal_contents_of_two_syncs_or_installations_cannot_be_joined_by_their_hashes() -> None:
    payload = {"email": "ann@x.org"}
    made = [Fingerprints(*names) for names in (("salt", "crm.vip"), ("salt", "crm.all"), ("other", "crm.vip"))]
    assert len({each.content(payload) for each in made}) == 3
    assert len({each.idempotency_key("ann", 1) for each in made}) == 3
    assert made[0].content({"b": 1, "a": 2}) == made[0].content({"a": 2, "b": 1})


def test_waits_double_with_jitter_up_to_the_longest() -> None:
    most, least = RetryPolicy(jitter=lambda: 1.0), RetryPolicy(jitter=lambda: 0.0)
    assert [most.wait(tries) for tries in (1, 2, 3, 100)] == [2, 4, 8, 3600]
    assert [least.wait(tries) for tries in (1, 2, 3, 100)] == [1, 2, 4, 1800]


def test_requests_keep_their_distance_and_a_clock_that_is_set_back_stops_nobody() -> None:
    waits: list[float] = []
    times = [100.0, 100.0, 100.1, 101.0, 50.0]
    pacer = Pacer(2.0, Clock(lambda: times.pop(0), waits.append))
    for _ in range(5):
        pacer.wait()
    assert waits == pytest.approx([0.5, 0.5, 0.5, 0.5], abs=0.41)
    assert all(0 < wait <= 0.5 for wait in waits)
