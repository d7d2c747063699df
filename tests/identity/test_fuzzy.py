"""Fuzzy matching: hostile tables, and the quality that is promised on public sets whose truth is known."""

import subprocess
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pytest

from bench.contact_sets import SETS, score
from identity import fuzzy
from identity.fuzzy import MissingSplinkError, links_to_propose, match_contacts, match_exactly
from identity.tables import IdentityError

try:
    import splink  # noqa: F401
except ImportError:
    HAS_SPLINK = False
else:
    HAS_SPLINK = True

needs_splink = pytest.mark.skipif(not HAS_SPLINK, reason="Splink is not installed: pip install -e '.[fuzzy]'")
text = pa.string()

PEOPLE = [
    ("Ann", "Lee", "1990-05-01", "10115", "ann.lee@mail.example"),
    ("Bob", "Ray", "1985-02-11", "20095", "bob@ray.example"),
    ("Cleo", "Ito", "1979-12-24", "50667", "cleo.ito@post.example"),
    ("Dan", "Novak", "2001-07-30", "80331", "dn@novak.example"),
    ("Eve", "Olsen", "1966-03-15", "04109", "eve66@olsen.example"),
    ("Finn", "Quist", "1994-10-02", "70173", "finnq@mail.example"),
]
COLUMNS = ("given_name", "family_name", "birth_date", "postcode", "email")


def contacts(rows: list[tuple[str | None, ...]]) -> pa.Table:
    return pa.table({name: pa.array([row[place] for row in rows], text) for place, name in enumerate(COLUMNS)})


def duplicated(rows: list[tuple[str, ...]]) -> list[tuple[str | None, ...]]:
    """Everybody once more, one letter of the family name and the e-mail wrong, the postcode missing."""
    return [
        *rows,
        *(
            (given, family + "e", born, None, email.replace(".example", ".exmple"))
            for given, family, born, _, email in rows
        ),
    ]


@needs_splink
def test_duplicates_are_found_and_their_agreement_is_named():
    table = contacts(duplicated(PEOPLE))
    matches = match_contacts(table)
    assert matches.groups.tolist() == [*range(6), *range(6)]
    proposed = links_to_propose(matches, least=0.5).to_pylist()
    assert {(row["left"], row["right"]) for row in proposed} == {(place, place + 6) for place in range(6)}
    assert all(row["equal"] == "given_name, birth_date" and row["alike"] == "family_name, email" for row in proposed)


@needs_splink
@pytest.mark.parametrize(
    "table",
    [
        contacts([]),
        pa.table({"colour": ["red", "blue"]}),
        contacts([(None,) * 5] * 4),
        contacts(PEOPLE[:1]),
        contacts([("Ann", "Lee", "1990-05-01", "10115", "a@b.example")] * 10_000),
        contacts(
            [
                ("x" * 1_000_000, "\u202e\u0000🎉", "99999999", "'; drop table x; --", "@@@"),
                ("\ud7ff", "ﷺ" * 9000, "", " ", "@"),
            ]
            * 2
        ),
    ],
    ids=["no rows", "no fields", "all null", "one row", "10,000 equal rows", "strange texts"],
)
def test_hostile_tables_have_an_answer_and_make_nobody_one_with_everybody(table):
    matches = match_contacts(table)
    assert len(matches.groups) == table.num_rows
    assert not table.num_rows or np.bincount(matches.groups).max() <= fuzzy.LARGEST_PERSON


@needs_splink
def test_the_answer_is_the_same_twice_and_in_whatever_order_the_contacts_come():
    rows = duplicated(PEOPLE)
    first, again = match_contacts(contacts(rows)), match_contacts(contacts(rows))
    assert first.pairs.equals(again.pairs)
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled = match_contacts(contacts([rows[place] for place in order]))
    assert {frozenset((order[a], order[b])) for a, b in _pairs(shuffled)} == {frozenset(pair) for pair in _pairs(first)}


@needs_splink
def test_pairs_kept_in_files_give_the_same_answer(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    table = contacts(duplicated(PEOPLE))
    in_memory = match_contacts(table)
    monkeypatch.setattr(fuzzy, "PAIRS_IN_MEMORY", 0)
    in_files = match_contacts(table)
    assert in_files.pairs.equals(in_memory.pairs) and in_files.groups.tolist() == in_memory.groups.tolist()
    assert not list(tmp_path.iterdir())


def _pairs(matches: fuzzy.Matches) -> list[tuple[int, int]]:
    return [(row["left"], row["right"]) for row in links_to_propose(matches, least=0.5).to_pylist()]


@needs_splink
@pytest.mark.parametrize("bad", [{"join_above": 0.0}, {"join_above": 1.0}, {"max_size": 0}])
def test_limits_that_make_no_sense_are_refused(bad):
    with pytest.raises(IdentityError, match="join_above must be between 0 and 1"):
        match_contacts(contacts(PEOPLE), **bad)


def test_a_group_is_proposed_by_its_most_probable_pairs():
    pairs = pa.table(
        {
            "left": [0, 0, 1, 3],
            "right": [1, 2, 2, 4],
            "probability": [0.6, 0.9, 0.8, 0.7],
            "equal": ["", "", "", ""],
            "alike": ["", "", "", ""],
        },
        schema=fuzzy.PAIRS,
    )
    matches = fuzzy.Matches(pairs, np.array([0, 0, 0, 3, 4]), 0, 4, 0.1)
    assert _pairs(matches) == [(0, 2), (1, 2)]
    allowed = np.array([True, False, True, True])
    assert links_to_propose(matches, least=0.5, allowed=allowed)["probability"].to_pylist() == [0.8, 0.6]


def test_exact_mode_needs_equal_facts_and_no_splink():
    rows = [PEOPLE[0], ("LEE", "ann", "1990-05-01", "10115", None), ("Ann", "Lee", "1990-05-02", None, None), PEOPLE[1]]
    assert match_exactly(contacts(rows)).groups.tolist() == [0, 0, 2, 3]


def test_exact_mode_takes_groups_apart_that_are_too_large():
    chain = [(None, None, None, None, "a@x.example")] * 60 + [(None, None, None, None, "b@x.example")] * 2
    found = match_exactly(contacts(chain))
    assert found.groups.tolist() == [*range(60), 60, 60]
    linked = pa.table(
        {
            "email": [f"{place // 2}@x.example" for place in range(80)],
            "phone": [f"+49171{(place + 1) // 2:05}" for place in range(80)],
        }
    )
    found = match_exactly(linked)
    assert found.refused == 1 and found.groups.tolist() == list(range(80))


def test_without_splink_one_sentence_says_what_to_install():
    program = (
        "import sys; sys.modules['splink'] = None\n"
        "import pyarrow as pa\n"
        "from identity.fuzzy import MissingSplinkError, match_contacts\n"
        "try:\n    match_contacts(pa.table({'email': ['a@b.example', 'a@b.example']}))\n"
        "except MissingSplinkError as error:\n    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "Fuzzy matching needs Splink, which is not installed: type pip install 'weft[fuzzy]'."
    assert issubclass(MissingSplinkError, IdentityError)


# what a very good system reaches (../shared/reference/data_and_ml.md, part 4): F1, precision, the largest person
PROMISED = {
    "febrl4": (0.999, 0.995, 4),
    "febrl3": (0.9985, 0.995, 8),
    "historical_50k": (0.88, 0.96, 65),
    "fake_1000": (0.93, 0.96, 20),
}


def _read(name: str) -> tuple[pa.Table, np.ndarray]:
    missing = [path for path in SETS[name].paths() if not path.exists()]
    if missing:
        pytest.skip(f"the public set {name} is not here: {missing[0]}")
    return SETS[name].read()


@needs_splink
@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_one_configuration_is_very_good_on_every_set(name):
    table, people = _read(name)
    found = score(match_contacts(table).groups, people)
    f1, precision, largest = PROMISED[name]
    assert found.f1 >= f1 and found.precision >= precision and found.largest <= largest, found


@pytest.mark.parametrize("name", SETS)
def test_exact_mode_is_hardly_ever_wrong(name):
    table, people = _read(name)
    found = score(match_exactly(table).groups, people)
    assert found.precision >= 0.995 and found.largest <= np.bincount(people).max() + 3, found


@needs_splink
@pytest.mark.parametrize("duplicates", [0, 10])
def test_a_set_with_hardly_any_duplicates_is_not_made_up_into_people(duplicates):
    """5,000 different people and the errors-laden second record of few of them."""
    table, people = _read("febrl4")
    chosen = np.r_[0:5000, 5000 : 5000 + duplicates]
    matches = match_contacts(table.take(chosen))
    found = {(people[chosen[a]], people[chosen[b]]) for a, b in _pairs(matches)}
    assert len(found) == duplicates and all(one == other for one, other in found)


def _shop(*, with_birth_dates: bool, in_households: bool, duplicates: int) -> tuple[pa.Table, list[int]]:
    """2,000 people of few names whose addresses are made of them, some in households; some once more with another e-mail."""
    random = np.random.default_rng(4)
    given = [start + end for start in ("an", "be", "cla", "do", "el", "fi") for end in ("na", "rt", "la", "ris", "vin")]
    family = [
        start + end
        for start in ("mul", "schmi", "web", "kra", "bau", "wag")
        for end in ("ler", "dt", "mer", "ner", "ski")
    ]
    rows: list[dict[str, str | None]] = []
    people: list[int] = []
    while len(rows) < 2_000:
        name, street = random.choice(family), f"{random.integers(10**6)} street"
        for _ in range(random.integers(2, 5) if in_households else 1):
            first, born = (
                random.choice(given),
                f"{random.integers(1940, 2008)}-0{random.integers(1, 10)}-{random.integers(10, 29)}",
            )
            row = {
                "given_name": first,
                "family_name": name,
                "email": f"{first}.{name}-{random.integers(10**6)}@x.example",
            }
            row |= {"phone": f"+49{random.integers(10**9, 10**10)}", "city": f"city {len(rows) % 12}"}
            row |= {"birth_date": born} if with_birth_dates else {}
            rows.append(row | ({"street": street} if in_households else {}))
            people.append(len(people))
    for place in random.permutation(len(rows))[:duplicates].tolist():
        rows.append(rows[place] | {"email": f"{random.integers(10**6)}@other.example"})
        people.append(place)
    return pa.table({name: pa.array([row[name] for row in rows], text) for name in rows[0]}), people


@needs_splink
@pytest.mark.parametrize(
    "in_households",
    [pytest.param(False, marks=pytest.mark.nightly, id="strangers"), pytest.param(True, id="households")],
)
@pytest.mark.parametrize("duplicates", [pytest.param(0, marks=pytest.mark.nightly), 100])
def test_neither_namesakes_nor_families_are_proposed_as_one_person(in_households, duplicates):
    table, people = _shop(with_birth_dates=True, in_households=in_households, duplicates=duplicates)
    found = _pairs(match_contacts(table))
    right = sum(people[one] == people[other] for one, other in found)
    assert right >= 0.95 * duplicates and len(found) - right <= 10
