"""E-mails, phones, cards and accounts: the true values, the mistyped ones, and the ways people write them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.simulator.arrays import Flags, Ints, Strings, chance, choose, exactly
from ingestion.simulator.arrow_text import digits, hex_ids, joined, letters, picked, where
from ingestion.simulator.config import Difficulty
from ingestion.simulator.people import People
from ingestion.simulator.places import COUNTRIES

# .internal is reserved (ICANN 2024): nothing that is ever sent to these addresses reaches anybody; .example and .test
# would be as safe, but real shops see them as junk, and so do the blocking rules
_DOMAINS = ("mailbox.internal", "webpost.internal", "letterbox.internal", "fastmail.internal", "inbox.internal")
FIRST_NAMES = (
    "Anna", "Ben", "Clara", "David", "Emma", "Finn", "Greta", "Hugo", "Ida", "Jonas", "Klara", "Leon", "Marie", "Noah",
    "Olivia", "Paul", "Rosa", "Simon", "Thea", "Victor", "Zoë", "José", "Łukasz", "Åsa", "Camille", "Louise", "Oscar",
)  # fmt: skip
LAST_NAMES = (
    "Müller", "Schmidt", "Weber", "Fischer", "Becker", "Dubois", "Martin", "Bernard", "Smith", "Jones", "Taylor",
    "Brown", "Jansen", "de Vries", "Bakker", "Gruber", "Huber", "Andersson", "Nilsson", "Nowak", "Kowalski", "Meier",
    "Keller", "Rossi", "Novák", "Silva", "O'Brien",
)  # fmt: skip
PRIMARY, SECOND, TYPO = 0, 1, 2


@dataclass(frozen=True)
class Contacts:
    """Normalised values over people; e-mails and phones are laid out variant by variant (variant * people + person)."""

    first_name: Ints
    last_name: Ints
    user_ids: Strings
    loyalty_ids: Strings
    emails: Strings  # PRIMARY, SECOND, TYPO
    phones: Strings  # PRIMARY, (none), TYPO
    has_second_email: Flags

    @property
    def people(self) -> int:
        """How many people there are."""
        return self.first_name.size

    def email_index(self, person: Ints, variant: Ints) -> Ints:
        """Where a variant of a person stands in `emails` and `phones`."""
        return variant * self.people + person


def _ascii_names(names: tuple[str, ...]) -> list[str]:
    plain = str.maketrans("üëéŁÅá", "ueeLAa", " '")
    return [name.translate(plain).lower() for name in names]


def _emails(rng: np.random.Generator, first: Ints, last: Ints) -> Strings:
    count = first.size
    head = joined(picked(_ascii_names(FIRST_NAMES), first), ".")
    tail = joined(picked(_ascii_names(LAST_NAMES), last), "-", letters(rng, count, 5))
    domain = picked(list(_DOMAINS), choose(rng, count, [5, 3, 2, 2, 1]))
    return joined(head, tail, "@", domain)


def _mistyped_emails(rng: np.random.Generator, emails: Strings) -> Strings:
    doubled = pc.replace_substring_regex(emails, "(.)@", r"\1\1@")
    cut = pc.replace_substring_regex(emails, ".@", "@")
    ending = pc.replace_substring(emails, ".internal", ".internel")
    kind = choose(rng, len(emails), [1, 1, 1])
    return where(kind == 0, doubled, where(kind == 1, cut, ending))


def _phones(rng: np.random.Generator, country: Ints) -> tuple[Strings, Strings]:
    """Mobile numbers in E.164, and the same with the last digit wrong."""
    longest = max(item.digits for item in COUNTRIES)
    number = digits(rng, country.size, longest)
    sizes = np.array([item.digits for item in COUNTRIES])[country]
    prefix = picked([item.calling_code + item.mobile for item in COUNTRIES], country)
    rest = pa.nulls(country.size, pa.string())
    for size in np.unique(sizes).tolist():
        rest = where(sizes == size, pc.utf8_slice_codeunits(number, 0, size), rest)
    wrong = pc.replace_substring_regex(rest, "[0-4]$", "7")
    wrong = where(np.asarray(pc.equal(wrong, rest)), pc.replace_substring_regex(rest, "[5-9]$", "2"), wrong)
    return joined(prefix, rest), joined(prefix, wrong)


def draw_contacts(rng: np.random.Generator, people: People, difficulty: Difficulty) -> Contacts:
    """Contact details of everybody in a chunk (passers-by have them too: they only never tell)."""
    count = people.count
    first = choose(rng, count, [1.0] * len(FIRST_NAMES))
    last = choose(rng, count, [1.0] * len(LAST_NAMES))
    primary, second = _emails(rng, first, last), _emails(rng, first, last)
    phones, wrong_phones = _phones(rng, people.country)
    customers = np.flatnonzero(people.is_customer)
    has_second = np.zeros(count, np.bool_)
    has_second[customers] = exactly(rng, customers.size, difficulty.second_email_share)
    return Contacts(
        first_name=first,
        last_name=last,
        user_ids=hex_ids(rng, count, 12),
        loyalty_ids=joined("7", digits(rng, count, 12)),
        emails=pa.concat_arrays([primary, second, _mistyped_emails(rng, primary)]),
        phones=pa.concat_arrays([phones, phones, wrong_phones]),
        has_second_email=has_second,
    )


def typed_variants(
    rng: np.random.Generator, person: Ints, contacts: Contacts, *, second_share: float, typo_share: float
) -> Ints:
    """Which variant somebody types each time: the second address at times, a typo now and then."""
    takes_second = contacts.has_second_email[person] & chance(rng, person.size, second_share)
    variant = np.where(takes_second, SECOND, PRIMARY)
    return np.where(chance(rng, person.size, typo_share), TYPO, variant)


def written_emails(rng: np.random.Generator, emails: Strings) -> Strings:
    """The same addresses as people write them: capitals here and there, a blank before or after."""
    style = choose(rng, len(emails), [84, 9, 4, 3])
    capital = pc.utf8_capitalize(emails)
    padded = joined(" ", emails, " ")
    shouted = where(style == 2, pc.utf8_upper(emails), emails)
    return where(style == 1, capital, where(style == 3, where_present(emails, padded), shouted))


def where_present(values: Strings, derived: Strings) -> Strings:
    """`derived`, and null where `values` is null."""
    return pc.if_else(pc.is_valid(values), derived, pa.scalar(None, pa.string()))


def written_phones(rng: np.random.Generator, phones: Strings, country: Ints) -> Strings:
    """The same numbers as people write them: mostly +E.164, blanks, 00, and (Germans only) the national form."""
    style = choose(rng, len(phones), [58, 18, 12, 12])
    spaced = pc.replace_substring_regex(phones, r"^(\+\d\d?)(\d{3})(\d{3})", r"\1 \2 \3 ")
    zeros = pc.replace_substring_regex(phones, r"^\+", "00")
    national = pc.replace_substring_regex(phones, r"^\+49(\d{3})", r"0\1 ")
    german = np.array([item.code == "DE" for item in COUNTRIES])[country]
    plain = where((style == 3) & german, national, phones)
    return where(style == 1, spaced, where(style == 2, zeros, plain))
