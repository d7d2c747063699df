"""50 builds of random churn, with ids that merge and split: the history adds up, and an oracle of persons agrees who came and went."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from orchestration import membership_sql
from orchestration.membership_checks import membership_faults
from orchestration.memberships import changes_after
from tests.orchestration.member_shop import Shop, day, opened, settle

BUILDS = 50
BUILDS_OF_SINCE = 25
NAMES = ("fans", "buyers", "r_big", "r_new")
Members = set[tuple[str, str]]


@pytest.fixture
def shop(where: str) -> Iterator[Shop]:
    with opened(where) as connection:
        yield Shop(connection)


class Churn:
    """A shop that changes at random from build to build, and what it was at the build before."""

    def __init__(self, shop: Shop, seed: int, *, with_splits: bool = True) -> None:
        self.shop, self.random, self.with_splits = shop, random.Random(seed), with_splits
        self.members: dict[str, dict[str, str | None]] = {}
        self.before: dict[str, str | None] = {}
        self.came_from: dict[str, str] = {}

    def step(self) -> None:
        """New people; some ids merge, are given back, are new because of a split, or are nobody's; members come and go."""
        shop, dice = self.shop, self.random
        self.before, self.came_from = dict(shop.living), {}
        shop.people(*(f"c{len(shop.living) + number:04}" for number in range(dice.randrange(6))))
        for _ in range(dice.randrange(4)):
            one, other = sorted(dice.sample(self.alive(), 2)) if len(self.alive()) > 1 else ("", "")
            if one:  # the older id lives
                shop.living |= {each: one for each, holder in shop.living.items() if holder == other}
        if self.with_splits:
            self.split()
        if dice.random() < 0.2:
            lost = dice.choice([each for each in self.alive() if list(shop.living.values()).count(each) == 1] or [""])
            shop.living |= {lost: None} if lost else {}
        names = [name for name in NAMES if dice.random() < 0.95]
        self.members = {
            name: {each: self.reason() for each in self.alive() if self.is_in(name, each)} for name in names
        }

    def split(self) -> None:
        """Ids are given back, and one may get a new id for a part of it."""
        shop, dice = self.shop, self.random
        for each in [
            each for each, holder in shop.living.items() if holder not in (each, None) and dice.random() < 0.1
        ]:
            shop.living[each] = each
        stable = [each for each in self.alive() if self.before.get(each) == each]
        if stable and dice.random() < 0.3:
            origin, new = dice.choice(stable), f"c{len(shop.living):04}"
            shop.people(new)
            shop.splits.append((origin, new))
            self.came_from[new] = origin

    def now(self) -> Members:
        """Who is in by the build."""
        return {(name, each) for name, members in self.members.items() for each in members}

    def alive(self) -> list[str]:
        return [each for each, holder in self.shop.living.items() if each == holder]

    def is_in(self, name: str, customer: str) -> bool:
        was_in = customer in self.members.get(name, {})
        return self.random.random() < (0.85 if was_in else 0.15)

    def reason(self) -> str | None:
        return self.random.choice([None, "it's 3 %", "a ? of {x}"])

    def predecessors(self, customer: str) -> set[str]:
        """Under which ids the person was known at the build before."""
        parts = [each for each, holder in self.shop.living.items() if holder == customer]
        held = {self.before.get(each) for each in parts} | {self.came_from.get(each) for each in parts}
        return {each for each in held if each}


def expected(churn: Churn, was: Members) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Who came and who went as a person, by (audience, living id), told from the persons alone."""
    now = churn.now()
    came = {
        (name, each)
        for name, each in now - was
        if not any((name, before) in was for before in churn.predecessors(each))
    }
    stayed_as = {
        (name, before)
        for name, each in now
        for before in churn.predecessors(each)
        if (name, each) not in was and (name, before) in was
    }
    went = set()
    for name, each in was:
        living = churn.shop.living[each]
        if name in churn.members and living is not None and (name, living) not in now:
            split_off = living == each and (name, each) in stayed_as
            went |= set() if split_off else {(name, living)}
    return came, went


def check_sizes(shop: Shop) -> None:
    """members(n) = members(n-1) + entered - left, and the last of them is what is open."""
    open_now = Counter(name for name, _ in shop.current())
    count: Counter[str] = Counter()
    for name, before, entered, left, members in shop.connection.rows(
        "select audience, before_count, entered_count, left_count, member_count from audiences.sizes order by change_seq, audience"
    ):
        assert (before, members) == (count[name], count[name] + entered - left)
        assert entered + left > 0
        count[name] = members
    assert +count == open_now


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 12))])
def test_the_history_of_random_churn_adds_up_and_knows_who_came_and_who_went(shop: Shop, seed: int) -> None:
    churn, cursor, replayed = Churn(shop, seed), 0, set[tuple[str, str]]()
    kinds: Counter[tuple[str, str]] = Counter()
    for build in range(BUILDS):
        churn.step()
        was = shop.current() if build else set()
        settled = shop.settle(churn.members, day(build // 2))  # two builds of one as-of
        now = shop.current()
        assert now == churn.now()

        rows = changes_after(shop.connection, cursor).to_pylist()
        assert [row["change_seq"] for row in rows] == list(range(cursor + 1, settled.change_seq + 1))
        cursor = settled.change_seq
        for row in rows:
            who = (row["audience"], row["customer_id"])
            assert (who in replayed) == (row["change"] == "left")
            replayed ^= {who}
            kinds[row["change"], row["change_kind"]] += 1
        assert replayed == now

        came = [
            (row["audience"], row["customer_id"])
            for row in rows
            if (row["change"], row["change_kind"]) == ("entered", "rule")
        ]
        went = [
            (row["audience"], row["living_customer_id"])
            for row in rows
            if (row["change"], row["change_kind"]) == ("left", "rule")
        ]
        assert (sorted(came), sorted(went)) == tuple(map(sorted, expected(churn, was)))

        before = shop.everything()
        settle(shop.connection, churn.members, day(build // 2))
        assert shop.everything() == before
    check_sizes(shop)
    assert membership_faults(shop.connection) == dict.fromkeys(
        ("unbalanced_runs", "miscounted_audiences", "customers_in_twice"), 0
    )
    assert {
        ("entered", "merged"),
        ("left", "merged"),
        ("entered", "split"),
        ("left", "gone"),
        ("left", "withdrawn"),
    } <= set(kinds)


def test_since_when_somebody_is_in_follows_every_merger(shop: Shop) -> None:
    """Without splits the oracle is exact: the earliest day of the ids that are one person now."""
    churn, since = Churn(shop, 7, with_splits=False), dict[tuple[str, str], int]()
    for build in range(BUILDS_OF_SINCE):
        churn.step()
        now = churn.now()
        since = {
            (name, each): min(
                [since[name, before] for before in churn.predecessors(each) if (name, before) in since] or [build]
            )
            for name, each in now
        }
        shop.settle(churn.members, day(build))
        rows = shop.rows("audience, customer_id, entered_at where left_seq is null")
        assert {(name, each): at for name, each, at in rows} == {who: day(number) for who, number in since.items()}


def test_the_oracle_finds_out_a_settlement_that_knows_nothing_of_mergers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        membership_sql, "ENTERED", membership_sql.ENTERED.replace("living_customer_id <> customer_id", "1 = 0")
    )
    with pytest.raises(AssertionError):
        test_the_history_of_random_churn_adds_up_and_knows_who_came_and_who_went(shop, 1)
