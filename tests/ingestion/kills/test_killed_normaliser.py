"""The normaliser is killed, or runs twice: every request is normalised once, under its own id, and counted once."""

import random
from collections import Counter
from contextlib import closing

import pytest

from ingestion.normaliser import run_once
from ingestion.redis_log import WAREHOUSE, RedisEventLog
from tests.ingestion.kills.conftest import Place
from tests.ingestion.kills.ledger import CLEAN, OK, all_normalized, all_raw
from tests.ingestion.kills.processes import CountsTwice
from tests.ingestion.kills.senders import MANY, until

STEPS = ("read", "before_write", "written", "before_trim")


def are_all_normalised(place: Place) -> bool:
    """Whether nothing is left to be normalised."""
    state = place.log.state()
    return state.last_normalized == state.last_raw


def are_counted_once(place: Place) -> bool:
    """Whether the log's counts are those of the lines that are in it."""
    lines: Counter[str] = Counter()
    for entry in all_normalized(place.log):
        lines.update(entry.normalized.counts)
    return place.log.counts() == lines


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_it_goes_on_where_it_was(place: Place, step: str) -> None:
    place.append(100)
    with place.normaliser(crash_at=f"{step}:1") as killed:
        killed.wait_until_killed()
    place.append(50)
    with place.normaliser():
        until(lambda: are_all_normalised(place), "requests are not normalised")
    assert place.books() == CLEAN
    assert are_counted_once(place)


def test_two_at_once_write_what_one_writes(place: Place) -> None:
    with place.normaliser() as one, place.normaliser():
        place.append(400)
        one.kill()
        place.append(400)
        until(lambda: are_all_normalised(place), "requests are not normalised")
    assert len(all_raw(place.log)) == 800
    assert place.books() == CLEAN
    assert are_counted_once(place)


def test_what_was_trimmed_behind_the_readers_is_not_normalised_again(place: Place) -> None:
    place.append(20)
    place.normalise()
    place.log.confirm(WAREHOUSE, place.log.state().last_normalized, epoch=place.log.state().epoch)
    with place.normaliser():
        until(lambda: not all_raw(place.log), "what every reader has passed is not forgotten")
        place.append(20)
        until(lambda: are_all_normalised(place), "requests are not normalised")
    assert len(all_raw(place.log)) == len(all_normalized(place.log)) == 20


def test_a_normaliser_that_mints_ids_would_be_found_out(place: Place) -> None:
    place.append(50)
    with place.normaliser(variant="mints ids"):
        until(lambda: len(all_normalized(place.log)) >= 50, "requests are not normalised")
    assert place.books().astray > 0


def normalise_while_another_does(log: RedisEventLog) -> None:
    """A round in whose middle another normaliser makes the same round."""

    def other(step: str) -> None:
        if step == "before_write":
            assert run_once(log)

    run_once(log, on_step=other)


def test_a_normaliser_that_is_overtaken_changes_nothing(place: Place) -> None:
    place.append(50)
    normalise_while_another_does(place.log)
    assert place.books() == CLEAN
    assert are_counted_once(place)


def test_one_that_counts_in_a_step_of_its_own_would_be_found_out(place: Place) -> None:
    place.append(50)
    with closing(CountsTwice(place.server.url)) as log:
        normalise_while_another_does(log)
    assert place.books() == CLEAN
    assert not are_counted_once(place)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_killed_40_times_while_requests_come_in_it_has_lost_and_doubled_nothing(place: Place) -> None:
    chance = random.Random(20_260_101)
    with place.server.client() as redis:
        redis.config_set("maxmemory", "1gb")  # nobody reads on here, so nothing is forgotten
    with place.collector(), place.senders(threads=2, batches=MANY) as senders:
        for turn in range(40):
            crash_at = f"{STEPS[turn % 3]}:{chance.randrange(1, 20)}" if turn % 4 else ""
            with place.normaliser(crash_at=crash_at) as killed:
                if crash_at:
                    killed.wait_until_killed()
                else:
                    senders.wait_for(place.ledger.count(OK) + chance.randrange(1, 100))
        senders.finish()
        with place.normaliser():
            until(lambda: are_all_normalised(place), "requests are not normalised")
    assert place.books() == CLEAN
    assert are_counted_once(place)
