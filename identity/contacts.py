"""What contacts say about people, made comparable: one way of writing each field, and the keys under which contacts meet.

A contact is a row with any of the columns of FIELDS; which of them are there, and filled, decides everything that follows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.tables import IdentityError

FIELDS: Final = (
    "given_name",
    "family_name",
    "birth_date",
    "email",
    "phone",
    "national_id",
    "street",
    "street_number",
    "district",
    "city",
    "postcode",
    "region",
    "gender",
    "job_title",
)
"""The fields that are compared. `full_name` may be given too: it fills in for a contact that has neither name."""

MAX_LENGTH: Final = 64
"""Characters of a value that count. No name needs more, and what compares two values is quadratic in their lengths."""

LARGEST_BLOCK: Final = 300
"""A key that more contacts than this share says too little to compare them all with each other; it is left out."""

MIN_PAIRS: Final = 1_000_000
"""So many pairs are always affordable: up to 1,414 contacts, everybody is compared with everybody."""

PAIRS_PER_CONTACT: Final = 100
"""Pairs that one run may compare, for each contact."""

MOST_PAIRS: Final = 50_000_000
"""Pairs that one run may compare in all; a million take some 15 CPU seconds."""

KEYS: Final[tuple[tuple[str, ...], ...]] = (
    ("national_id",),
    ("email",),
    ("phone",),
    ("names", "birth_date"),
    ("names", "postcode"),
    ("birth_date", "postcode"),
    ("street", "postcode"),
    ("street", "birth_date"),
    ("family_name", "birth_date"),
    ("given_name", "birth_date"),
    ("family_name", "postcode"),
    ("given_name", "postcode"),
    ("street", "family_name"),
    ("street", "given_name"),
    ("birth_date", "city"),
    ("mailbox",),
    ("names",),
    ("name_sounds", "birth_year"),
    ("name_sounds", "postcode"),
    ("name_sounds", "city"),
    ("postcode", "birth_year"),
    ("family_sound", "postcode"),
    ("family_sound", "birth_day"),
    ("given_sound", "birth_day"),
    ("family_sound", "city", "birth_year"),
    ("given_sound", "city", "birth_year"),
    ("family_name", "city"),
    ("given_name", "city"),
    ("birth_date", "job_title"),
    ("city", "birth_year", "job_title"),
    ("postcode",),
    ("street",),
    ("birth_date",),
)
"""Contacts are compared that share one of these, the telling ones first: errors in one field leave the keys of the others."""

EXACT_KEYS: Final[tuple[tuple[str, ...], ...]] = (
    ("national_id",),
    ("email",),
    ("phone",),
    ("names", "postcode"),
    ("birth_date", "postcode"),
    ("names", "birth_date", "city"),
    ("names", "street", "city"),
)
"""Exact mode: contacts that share one of these, letter by letter, are one person."""

_NOT_WORDS: Final = re.compile(r"[^\w@.+ ]+")
_EIGHT_DIGITS: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_SOUNDS: Final = dict(zip("bfpvcgjkqsxzdtlmnr", "111122222222334556", strict=True))
_NOT_GIVEN: Final = frozenset({"null", "none", "nan", "n a", "unknown", "undefined"})


def normalise_contacts(contacts: pa.Table) -> pa.Table:
    """Give the known fields of `contacts` that hold anything, each value in its one way of writing; empty text becomes null.

    Raises IdentityError where a field is not text or the table has a column twice.
    """
    columns: dict[str, pa.Array] = {}
    for field in (*FIELDS, "full_name"):
        count = contacts.column_names.count(field)
        if count > 1:
            raise IdentityError(f"contacts must have one column {field}; they have {count}.")
        if count:
            columns[field] = _mapped(_text(contacts.column(field), field), _WRITTEN.get(field, plain_text))
    if "full_name" in columns:
        _fill_names(columns, contacts.num_rows)
    kept = {
        field: values
        for field in FIELDS
        if (values := columns.get(field)) is not None and values.null_count < len(values)
    }
    return pa.table(kept)


def plain_text(value: str) -> str | None:
    """Lower case without accents and punctuation, single spaces, at most MAX_LENGTH characters; None where nothing is left."""
    folded = unicodedata.normalize("NFKD", value[: 4 * MAX_LENGTH]).casefold()
    letters = "".join(character for character in folded if not unicodedata.combining(character))
    cleaned = " ".join(_NOT_WORDS.sub(" ", letters).split())[:MAX_LENGTH].strip()
    return None if not cleaned or cleaned in _NOT_GIVEN else cleaned


def _date(value: str) -> str | None:
    """A day as YYYY-MM-DD. What is no such day stays text: two wrong dates may still be the same wrong date."""
    text = value.strip()[:MAX_LENGTH]
    if match := _EIGHT_DIGITS.fullmatch(text):
        return "-".join(match.groups())
    return text[:10] if _DATE.match(text) else (plain_text(text) or None)


def _full_name(value: str) -> str | None:
    """A full name with the given name first: 'Lee, Ann' is Ann Lee."""
    family, comma, given = value[: 4 * MAX_LENGTH].partition(",")
    return plain_text(f"{given} {family}" if comma else value)


def _without_spaces(value: str) -> str | None:
    text = plain_text(value)
    return text.replace(" ", "") if text else None


def _digits(value: str) -> str | None:
    return "".join(character for character in value[:MAX_LENGTH] if character.isdecimal()) or None


_WRITTEN: Final[Mapping[str, Callable[[str], str | None]]] = {
    "birth_date": _date,
    "email": lambda value: "".join(value[: 4 * MAX_LENGTH].casefold().split())[:MAX_LENGTH] or None,
    "full_name": _full_name,
    "phone": _digits,
    "national_id": _without_spaces,
    "postcode": _without_spaces,
}


def sound(word: str) -> str | None:
    """American Soundex of a word; a word without Latin letters sounds like its first four characters."""
    letters = word.replace(" ", "")
    if not letters:
        return None
    if not letters[0].isascii():
        return letters[:4]
    code, last = letters[0], _SOUNDS.get(letters[0], "")
    for letter in letters[1:]:
        digit = _SOUNDS.get(letter, "")
        if digit and digit != last:
            code += digit
        if letter not in "hw":
            last = digit
    return code[:4]


def key_codes(contacts: pa.Table, keys: Sequence[Sequence[str]]) -> list[tuple[tuple[str, ...], np.ndarray]]:
    """For each key that the fields allow: a number per contact, equal where the key is, and -1 where it has none."""
    parts = _parts(contacts)
    codes: list[tuple[tuple[str, ...], np.ndarray]] = []
    for key in keys:
        if not all(part in parts for part in key):
            continue
        combined = parts[key[0]]
        for part in key[1:]:
            other = parts[part]
            wide = combined.astype(np.int64) * (int(other.max(initial=0)) + 1) + other
            combined = _renumbered(np.where((combined < 0) | (other < 0), -1, wide))
        codes.append((tuple(key), combined))
    return codes


def without_large_blocks(codes: np.ndarray, largest: int = LARGEST_BLOCK) -> np.ndarray:
    """The codes, with -1 for those that nobody shares or more than `largest` contacts do."""
    if not codes.size:
        return codes
    sizes = np.bincount(codes + 1)
    sizes[0] = 0
    size = sizes[codes + 1]
    return np.where((size > 1) & (size <= largest), codes, -1)


def pair_count(codes: np.ndarray) -> int:
    """Pairs of contacts with equal codes."""
    sizes = np.bincount(codes + 1)[1:].astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


def blocks(contacts: pa.Table) -> dict[str, np.ndarray]:
    """The keys to compare under, by name, as codes per contact: together at most as many pairs as are affordable.

    A key whose blocks are too large in sum is used on its smaller blocks only.
    """
    affordable = min(max(MIN_PAIRS, PAIRS_PER_CONTACT * contacts.num_rows), MOST_PAIRS)
    chosen: dict[str, np.ndarray] = {}
    for key, codes in key_codes(contacts, KEYS):
        largest = LARGEST_BLOCK
        kept = without_large_blocks(codes, largest)
        while (pairs := pair_count(kept)) > affordable and largest > 1:
            largest //= 2
            kept = without_large_blocks(kept, largest)
        if pairs:
            chosen["_".join(key)] = kept
            affordable -= pairs
    return chosen


def _parts(contacts: pa.Table) -> dict[str, np.ndarray]:
    """Whatever keys are made of, as codes: the fields, and what is derived from them."""
    values: dict[str, pa.Array] = {field: contacts.column(field).combine_chunks() for field in contacts.column_names}
    if "birth_date" in values:
        values["birth_year"] = _mapped(values["birth_date"], lambda day: day[:4] if _DATE.match(day) else None)
        values["birth_day"] = _mapped(values["birth_date"], lambda day: day[5:] if _DATE.match(day) else None)
    if "email" in values:
        values["mailbox"] = _mapped(values["email"], lambda address: address.partition("@")[0] or None)
    for part, field in (("given_sound", "given_name"), ("family_sound", "family_name")):
        if field in values:
            values[part] = _mapped(values[field], sound)
    codes = {name: _codes(column) for name, column in values.items()}
    for part, one, other in (("names", "given_name", "family_name"), ("name_sounds", "given_sound", "family_sound")):
        if one in values and other in values:
            codes[part] = _unordered(values[one], values[other])
    return codes


def _codes(values: pa.Array) -> np.ndarray:
    indices = pc.fill_null(values.dictionary_encode().indices, -1)
    return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _unordered(one: pa.Array, other: pa.Array) -> np.ndarray:
    """Codes of pairs of values, whichever of the two was typed into which box."""
    codes = _codes(pa.concat_arrays([one, other]))
    lower, upper = np.sort(codes.reshape(2, -1), axis=0)
    return _renumbered(np.where(lower < 0, -1, lower * (int(upper.max(initial=0)) + 1) + upper))


def _renumbered(codes: np.ndarray) -> np.ndarray:
    """Small numbers for large ones; -1 stays."""
    found, places = np.unique(codes, return_inverse=True)
    return places.astype(np.int64) - int(found.size > 0 and found[0] == -1)


def _text(column: pa.ChunkedArray, field: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_null(column.type)):
        raise IdentityError(f"contacts.{field} must be text, not {column.type}.")
    return column.cast(pa.large_string()).combine_chunks()


def _mapped(values: pa.Array, function: Callable[[str], str | None]) -> pa.Array:
    """The function of every value, asked once for each that differs; null stays null."""
    encoded = values.dictionary_encode()
    answers = pa.array(
        [None if value is None else function(value) for value in encoded.dictionary.to_pylist()], pa.large_string()
    )
    return answers.take(encoded.indices)


def _fill_names(columns: dict[str, pa.Array], rows: int) -> None:
    """Given and family name are the first and the last word of the full one where a contact has neither."""
    full, empty = columns.pop("full_name"), pa.nulls(rows, pa.large_string())
    given, family = columns.get("given_name", empty), columns.get("family_name", empty)
    nameless = pc.and_(given.is_null(), family.is_null())
    first = _mapped(full, lambda name: name.partition(" ")[0])
    last = _mapped(full, lambda name: name.rpartition(" ")[2] if " " in name else None)
    columns["given_name"] = pc.if_else(nameless, first, given)
    columns["family_name"] = pc.if_else(nameless, last, family)
