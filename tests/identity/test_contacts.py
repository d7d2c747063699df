"""How contacts are written before they are compared, and the keys under which they meet."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import contacts
from identity.contacts import (
    FIELDS,
    KEYS,
    blocks,
    key_codes,
    normalise_contacts,
    plain_text,
    sound,
    without_large_blocks,
)
from identity.tables import IdentityError

ANY_FIELD = st.sampled_from([*FIELDS, "full_name"])


@pytest.mark.parametrize(
    ("field", "given_value", "written"),
    [
        ("given_name", "  JOSÉ-Luis ", "jose luis"),
        ("family_name", "O'Brien", "o brien"),
        ("family_name", "Müller", "muller"),
        ("family_name", "山田", "山田"),
        ("city", "N/A", None),
        ("city", "null", None),
        ("birth_date", "19560409", "1956-04-09"),
        ("birth_date", "1956-04-09T00:00:00Z", "1956-04-09"),
        ("birth_date", "1857-06-77", "1857-06-77"),
        ("birth_date", "9 April 1956", "9 april 1956"),
        ("email", " Ann@Example.COM ", "ann@example.com"),
        ("phone", "+49 (171) 234", "49171234"),
        ("phone", "none", None),
        ("postcode", "SW1A 1AA", "sw1a1aa"),
        ("street", "  ", None),
    ],
)
def test_a_value_is_written_in_one_way(field, given_value, written):
    table = normalise_contacts(pa.table({field: [given_value, "9"]}))
    assert table[field][0].as_py() == written


def test_the_full_name_fills_in_for_both_names_only():
    table = normalise_contacts(
        pa.table(
            {
                "full_name": ["Ann Mary Lee", "Lee, Ann", "Prince", "Bob Ray", None],
                "given_name": [None, None, None, "Robert", None],
            }
        )
    )
    assert table["given_name"].to_pylist() == ["ann", "ann", "prince", "robert", None]
    assert table["family_name"].to_pylist() == ["lee", "lee", None, None, None]


def test_columns_that_say_nothing_are_left_out():
    table = normalise_contacts(
        pa.table({"city": [None, " "], "email": ["a@b.c", None], "favourite_colour": ["red", "red"]})
    )
    assert table.column_names == ["email"]


def test_a_field_that_is_no_text_is_refused_by_name():
    with pytest.raises(IdentityError, match=r"contacts\.phone must be text, not int64"):
        normalise_contacts(pa.table({"phone": [49171]}))


def test_a_column_that_is_there_twice_is_refused():
    with pytest.raises(IdentityError, match="one column city; they have 2"):
        normalise_contacts(pa.table([pa.array(["a"]), pa.array(["b"])], names=["city", "city"]))


@given(st.text(max_size=500))
def test_writing_a_text_again_changes_nothing(text):
    once = plain_text(text)
    assert once is None or (plain_text(once) == once and 0 < len(once) <= contacts.MAX_LENGTH)


@given(st.dictionaries(ANY_FIELD, st.lists(st.none() | st.text(), min_size=4, max_size=4), max_size=4))
def test_any_text_can_be_written_and_keyed(columns):
    table = normalise_contacts(pa.table({field: pa.array(values, pa.string()) for field, values in columns.items()}))
    for _, codes in key_codes(table, KEYS) if table.num_columns else []:
        assert codes.shape == (4,) and codes.min() >= -1


@pytest.mark.parametrize(
    ("word", "code"), [("robert", "r163"), ("rupert", "r163"), ("ashcraft", "a261"), ("lee", "l"), ("山田", "山田")]
)
def test_names_that_sound_alike_have_one_sound(word, code):
    assert sound(word) == code


def test_names_meet_whichever_box_they_were_typed_into():
    table = normalise_contacts(pa.table({"given_name": ["Ann", "Lee", "Ann"], "family_name": ["Lee", "Ann", None]}))
    (_, codes), *_ = key_codes(table, [("names",)])
    assert codes[0] == codes[1] >= 0 and codes[2] == -1


@given(st.lists(st.integers(-1, 5), max_size=30), st.integers(1, 5))
def test_large_and_lonely_blocks_are_left_out(codes, largest):
    kept = without_large_blocks(np.array(codes, dtype=np.int64), largest)
    for code, left in zip(codes, kept.tolist(), strict=True):
        assert left == (code if code >= 0 and 1 < codes.count(code) <= largest else -1)


def test_a_value_that_everybody_has_is_no_key():
    equal = normalise_contacts(pa.table({"family_name": ["Lee"] * 10_000, "birth_date": ["1990-01-01"] * 10_000}))
    assert blocks(equal) == {}


def test_keys_together_compare_no_more_pairs_than_are_affordable(monkeypatch):
    monkeypatch.setattr(contacts, "MIN_PAIRS", 1_000)
    monkeypatch.setattr(contacts, "PAIRS_PER_CONTACT", 1)
    random = np.random.default_rng(3)
    table = normalise_contacts(
        pa.table(
            {
                field: [f"{field} {value}" for value in random.integers(0, 40, 2_000)]
                for field in ("family_name", "postcode", "birth_date")
            }
        )
    )
    assert 0 < sum(contacts.pair_count(codes) for codes in blocks(table).values()) <= 2_000
