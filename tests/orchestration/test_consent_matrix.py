"""Nobody is published without consent: ten situations in six places, and random histories against an oracle of twenty lines."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import redis

from activation.reader import Reader
from orchestration.consent_sweep import sweep_refusals
from orchestration.gate import withheld_reason
from orchestration.publishing import online_store, pending_versions, publish, register_changes
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.state import utc_now
from tests.orchestration.gated_shop import ALL, Shop, opened_shop

NEVER = dict.fromkeys(ALL, False)
PLACES = ("redis set", "redis profile", "destination", "destination with a purpose of its own", "told why", "contract")


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[dict[str, dict[str, bool]]]:
    """Who of ten people is where, after a build, a merge, and what landed since."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("matrix")
        shop = opened_shop(Platform(load_settings(home=folder, redis_url=redis_url)), monkeypatch)
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        yield _placed(shop)


WORDS: dict[str, object] = {
    "absent": None,
    "empty": "",
    "object": {},
    "yes": {"advertising": True},
    "no": {"advertising": False},
}
WORDS |= {"text": {"advertising": "true"}}
EXPECTED = dict.fromkeys([*WORDS, "devices", "withdrawn", "late", "merged"], False) | {"yes": True}
"""Whether each of the ten may be published for advertising."""


def _placed(shop: Shop) -> dict[str, dict[str, bool]]:
    shop.consents = {name: dict(ALL if name == "yes" else NEVER) for name in WORDS}
    shop.consents |= {"devices": oracle_consent([("phone", {"advertising": True}), ("laptop", {"advertising": False})])}
    shop.consents |= {name: dict(ALL) for name in ("withdrawn", "late", "merged")} | {"refused": dict(NEVER)}
    shop.redirects = {"refused": "merged"}
    people = list(EXPECTED)
    ads = shop.audience("ads", people)
    contract = shop.audience("contract", people, consent_purpose="none", legal_basis="the order")
    shop.build()
    with shop.platform.warehouse.writer() as connection:
        # said again after the build by those who had no consent: a yes needs a build, whatever its form
        shop.land_all(connection, [(f"u-{name}", None, said) for name, said in WORDS.items() if said is not None])
        shop.land_all(connection, [("u-withdrawn", None, {"advertising": False})])
        sweep_refusals(shop.platform, connection)
    platform = shop.platform
    given = (platform.settings, platform.warehouse, platform.state)
    register_changes(platform.warehouse, platform.state)
    with platform.warehouse.writer() as connection:
        shop.land_all(connection, [(None, "cookie-late", {"advertising": False})])  # while it is being sent
        sweep_refusals(platform, connection)
    for version, attempt in pending_versions(platform.state, after=0, now=utc_now()):
        publish(*given, version, attempt=attempt)
    with online_store(platform.settings) as client, platform.warehouse.open_served() as served:
        reader = Reader(client)
        destination = shop.passing(ads, destination="webhook")
        sharing = shop.passing(ads, purposes=["sharing"], destination="csv")
        places: dict[str, Callable[[str], bool]] = {
            "redis set": lambda name: reader.is_member("ads", name),
            "redis profile": lambda name: "ads" in reader.profile("customer_id", name).audiences,  # type: ignore[union-attr]
            "destination": lambda name: name in destination,
            "destination with a purpose of its own": lambda name: name in sharing,
            "told why": lambda name: withheld_reason(served, platform.state, ads, name) is None,
            "contract": lambda name: reader.is_member("contract", name) and name in shop.passing(contract),
        }
        return {place: {name: is_in(name) for name in people} for place, is_in in places.items()}


@pytest.mark.parametrize("place", PLACES)
def test_of_ten_people_only_who_said_yes_and_nothing_else_is_published(
    placed: dict[str, dict[str, bool]], place: str
) -> None:
    expected = dict.fromkeys(EXPECTED, True) if place == "contract" else EXPECTED
    assert len(EXPECTED) == 10
    assert placed[place] == expected


Word = tuple[str, object]
"""Under which identifier it was said, and the consent as it was stated."""


def oracle_consent(words: list[Word]) -> dict[str, bool]:
    """What a build knows: per identifier the last word that names the purpose; all must be the boolean true, and one there must be."""
    allowed = {}
    for purpose in ALL:
        last = {key: said[purpose] for key, said in words if isinstance(said, dict) and said.get(purpose) is not None}
        allowed[purpose] = bool(last) and all(value is True for value in last.values())
    return allowed


def oracle_passes(before: list[list[Word]], since: list[list[Word]], purpose: str) -> bool:
    """Whether a person, whose parts were merged, may be published: every part allowed it, and none refused since."""
    refused = any(
        isinstance(said, dict) and said.get(purpose) is not None and said[purpose] is not True
        for part in since
        for _, said in part
    )
    return all(oracle_consent(part)[purpose] for part in before) and not refused


SAID = [
    None,
    {},
    "",
    [],
    {"advertising": True},
    {"advertising": False},
    {"advertising": "true"},
    {"advertising": 1},
    {"advertising": None},
]
SAID += [
    {"sharing": True},
    {"sharing": False, "advertising": True},
    dict(ALL),
    dict(ALL),
    dict(ALL),
    dict(ALL),
    dict(NEVER),
]


@pytest.mark.parametrize("people", [1_500, pytest.param(100_000, marks=pytest.mark.nightly)])
def test_no_random_history_ends_in_a_publication_without_consent(
    people: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = opened_shop(Platform(load_settings(home=tmp_path)), monkeypatch)
    rng = np.random.default_rng(people)
    names = [f"p{number}" for number in range(people)]
    ads, shared = shop.audience("ads", names), shop.audience("shared", names, consent_purpose="sharing")
    before: dict[str, list[Word]] = {name: [] for name in names}
    published = {"ads": 0, "shared": 0}
    for phase in range(3):
        shop.consents = {name: oracle_consent(before[name]) for name in names}
        if phase == 2:
            shop.redirects = {name: names[int(rng.integers(people // 2))] for name in names[people // 2 :: 3]}
        shop.build()
        since: dict[str, list[Word]] = {name: [] for name in names}
        for step in range(2):
            persons: dict[str, list[str]] = {}
            for name in names:
                persons.setdefault(shop.redirects.get(name, name), []).append(name)
            for audience, purpose in ((ads, "advertising"), (shared, "sharing")):
                passing = shop.passing(audience)
                published[audience.name] += len(passing)
                expected = {
                    person
                    for person, parts in persons.items()
                    if oracle_passes([before[one] for one in parts], [since[one] for one in parts], purpose)
                }
                assert passing == expected, (phase, step)
            if step == 0:
                words = [
                    (name, SAID[int(each)])
                    for name, each in zip(names, rng.integers(len(SAID), size=people), strict=True)
                ]
                is_cookie = rng.random(people) < 0.4
                with shop.platform.warehouse.writer() as connection:
                    shop.land_all(
                        connection,
                        [
                            (None, f"cookie-{name}", said) if cookie else (f"u-{name}", None, said)
                            for (name, said), cookie in zip(words, is_cookie, strict=True)
                        ],
                    )
                    sweep_refusals(shop.platform, connection)
                for (name, said), cookie in zip(words, is_cookie, strict=True):
                    since[name].append(("cookie" if cookie else "user", said))
        for name in names:
            before[name] += since[name]
        shop.as_of = shop.as_of.replace(day=shop.as_of.day + 1)
    assert min(published.values()) > people / 4, "the oracle lets somebody pass"
