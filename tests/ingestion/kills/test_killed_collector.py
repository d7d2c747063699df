"""The collector is killed at every step of a request: what it acknowledged is in the log once, and sending again is all the repair."""

import random

import pytest

from tests.ingestion.kills.conftest import Place
from tests.ingestion.kills.ledger import CLEAN, OK, all_raw
from tests.ingestion.kills.senders import MANY

STEPS = ("received", "authenticated", "before_append", "before_answer")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_it_has_lost_and_doubled_nothing(place: Place, step: str) -> None:
    with place.collector(crash_at=f"{step}:50") as killed, place.senders() as senders:
        killed.wait_until_killed()
        with place.collector():
            senders.wait()
    place.normalise()
    assert place.books() == CLEAN
    assert place.ledger.count(OK) > 80
    assert place.ledger.count(None) > 0
    if step == "before_answer":
        assert len(all_raw(place.log)) > place.ledger.count(OK), "nobody had been told of these"


def test_a_collector_that_answers_first_would_be_found_out(place: Place) -> None:
    with place.collector(variant="answers first", crash_at="received:50") as killed, place.senders():
        killed.wait_until_killed()
    assert place.books().lost > 0


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", [*STEPS, "anywhere"])
def test_killed_20_times_it_has_lost_and_doubled_nothing(place: Place, step: str) -> None:
    chance = random.Random(20_260_101)
    with place.senders(batches=MANY) as senders:
        for _ in range(20):
            after = chance.randrange(1, 150)
            with place.collector(crash_at="" if step == "anywhere" else f"{step}:{after}") as killed:
                if step == "anywhere":
                    senders.wait_for(place.ledger.count(OK) + after)
                else:
                    killed.wait_until_killed()
        with place.collector():
            senders.finish()
    place.normalise()
    assert place.books() == CLEAN
