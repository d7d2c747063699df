"""Around the history of membership: a kill at any step, overlaps, and the check that finds a history that does not add up."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from random import Random

import pytest

from orchestration import overlaps
from orchestration.failpoints import FAILPOINTS
from orchestration.membership_checks import membership_faults
from orchestration.memberships import changes_after
from tests.forked import PROCESSES
from tests.orchestration.member_shop import Shop, day, opened, settle

FANS = {"fans": {"a": "1", "b": "2"}, "r_big": {"b": None, "c": None}}
LATER = {"fans": {"a": "1", "d": "3"}, "r_big": {"a": None, "c": None}}


@pytest.fixture
def shop(where: str) -> Iterator[Shop]:
    with opened(where) as connection:
        yield Shop(connection)


def start(shop: Shop) -> None:
    """Two audiences, then a build in which people come, go and merge."""
    shop.people("a", "b", "c", "d")
    shop.settle(FANS, day(0))
    shop.living["b"] = "a"
    shop.build(LATER)


def die_at(where: str, step: str, names: list[str], as_of: int) -> None:
    def on_step(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    with opened(where) as connection:
        settle(connection, dict.fromkeys(names), day(as_of), on_step=on_step)


@pytest.mark.parametrize("step", FAILPOINTS["memberships"])
def test_a_settlement_that_is_killed_and_made_again_tells_nothing_twice_and_nothing_less(where: str, step: str) -> None:
    with opened(where) as connection:
        start(Shop(connection))
    killed = PROCESSES.Process(target=die_at, args=(where, step, [*LATER], 1))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    with opened(where) as connection:
        shop = Shop(connection)
        told = changes_after(connection, 0).num_rows
        assert told == (8 if step == "committed" else 4)
        settle(connection, LATER, day(1))
        assert shop.current() == {(name, each) for name, members in LATER.items() for each in members}
        assert changes_after(connection, 0)["change_seq"].to_pylist() == list(range(1, 9))
        assert not any(membership_faults(connection).values())
        assert shop.rows("entered_at where audience = 'r_big' and customer_id = 'a'") == [(day(0),)]


@pytest.mark.parametrize("further", [0, overlaps.BITS])
def test_overlaps_are_the_customers_of_each_pair(shop: Shop, further: int) -> None:
    dice, names = Random(5), ["fans", "buyers", "r_big", *(f"r_{number}" for number in range(further)), "nobody"]
    shop.people(*(f"c{number}" for number in range(200)))
    members = {name: {each: None for each in shop.living if dice.random() < 0.3} for name in names[:-1]} | {
        "nobody": {}
    }
    shop.settle(members, day(0))
    expected = Counter(
        pair
        for each in shop.living
        for pair in combinations(sorted(name for name in names if each in members[name]), 2)
    )
    rows = shop.connection.rows("select * from audiences.overlaps")
    assert {(one, other): count for one, other, count, *_ in rows} == dict(expected)
    for one, other, count, share, share_of_other, as_of in rows:
        assert share == pytest.approx(count / len(members[one]))
        assert share_of_other == pytest.approx(count / len(members[other]))
        assert as_of == day(0)


def test_the_check_finds_a_history_that_does_not_add_up(shop: Shop) -> None:
    start(shop)
    settle(shop.connection, LATER, day(1))
    assert not any(membership_faults(shop.connection).values())
    shop.connection.execute(
        "insert into audiences.memberships (audience, customer_id, entered_seq) values ('fans', 'a', 99)"
    )
    faults = membership_faults(shop.connection)
    assert (faults["miscounted_audiences"], faults["customers_in_twice"]) == (1, 1)
    shop.connection.execute("update audiences.sizes set entered_count = entered_count + 1 where left_count > 0")
    assert membership_faults(shop.connection)["unbalanced_runs"] == 2


def test_rows_are_written_for_what_changed_and_for_nothing_else(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One customer of 500 leaves: one row of the history is written, and no redirect of those who merged long ago."""
    shop.people(*(f"c{number:03}" for number in range(600)))
    shop.living |= {f"c{number:03}": "c000" for number in range(500, 600)}
    everybody = {"fans": {each: None for each, holder in shop.living.items() if each == holder}}
    shop.settle(everybody, day(0))
    del everybody["fans"]["c007"]
    shop.build(everybody)
    if shop.connection.dialect == "postgres":
        version = "select xmin::text, count(*) from {} group by 1"
        settle(shop.connection, everybody, day(1))
        assert sorted(count for _, count in shop.connection.rows(version.format("audiences.memberships"))) == [1, 499]
        assert [count for _, count in shop.connection.rows(version.format("control.settled_redirects"))] == [100]
    else:
        written: list[str] = []
        execute = type(shop.connection).execute

        def counting(self: object, sql: str, parameters: object = ()) -> None:
            [[count]] = self.native.execute(sql, list(parameters)).fetchall() or [[0]]  # type: ignore[attr-defined, call-overload]
            written.extend(
                [sql] * (count if " audiences.memberships" in sql[:40] or "settled_redirects" in sql[:40] else 0)
            )

        monkeypatch.setattr(type(shop.connection), "execute", counting)
        settle(shop.connection, everybody, day(1))
        monkeypatch.setattr(type(shop.connection), "execute", execute)
        assert len(written) == 1, written
