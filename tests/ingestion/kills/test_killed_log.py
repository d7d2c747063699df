"""The log's Redis is killed, torn off in a record, or its answers get lost: what was acknowledged is in it, once by its ids."""

import time
from pathlib import Path

import pytest

from ingestion.event_log import Received
from ingestion.log_entries import raw_fields
from tests.ingestion.kills.conftest import Place
from tests.ingestion.kills.ledger import CLEAN, OK, all_raw
from tests.ingestion.kills.reply_thief import ReplyThief
from tests.ingestion.kills.senders import MANY

RECOVERY_SECONDS = 10.0


def kill_log_under_load(place: Place, *, kills: int) -> None:
    with place.collector(), place.senders(batches=MANY) as senders:
        for kill in range(kills):
            senders.wait_for(20 * (kill + 1))
            place.kill_log()
            place.start_log_again()
            begun = time.monotonic()
            senders.wait_for(place.ledger.count(OK) + 1)
            assert time.monotonic() - begun < RECOVERY_SECONDS
        senders.finish()
    place.normalise()


def test_a_killed_redis_has_lost_and_doubled_nothing(place: Place) -> None:
    kill_log_under_load(place, kills=3)
    assert place.books() == CLEAN
    assert place.ledger.count(503) > 0


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_killed_20_times_redis_has_lost_and_doubled_nothing(place: Place) -> None:
    kill_log_under_load(place, kills=20)
    assert place.books() == CLEAN


def append_only_file(place: Place) -> Path:
    [file] = place.server.folder.rglob("*.aof")
    return file


def test_a_record_that_was_half_written_costs_only_itself(place: Place) -> None:
    fields = raw_fields(Received("segment", "shop", 1, b'{"half": true}'))
    parts = [b"XADD", b"events.raw", b"9999999999999-0", *fields]
    record = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    for kept in (1, 30, len(record) - 1):
        place.append(50)
        place.kill_log()
        whole = append_only_file(place).read_bytes()
        append_only_file(place).write_bytes(whole + record[:kept])
        place.start_log_again()
        assert append_only_file(place).read_bytes() == whole, "the half record is gone from the file as well"
    place.append(50)
    place.normalise()
    assert len(all_raw(place.log)) == 200
    assert place.books() == CLEAN


def test_a_file_that_lost_its_end_would_be_found_out(place: Place) -> None:
    place.append(50)
    place.kill_log()
    file = append_only_file(place)
    file.write_bytes(file.read_bytes()[:-2_000])
    place.start_log_again()
    assert 0 < len(all_raw(place.log)) < 50
    assert place.books().lost > 0


def lose_answers(place: Place, variant: str = "") -> int:
    """Send while four answers of Redis get lost; how many did."""
    with (
        ReplyThief(place.server.port) as thief,
        place.collector(log_url=thief.url, variant=variant),
        place.senders(batches=20) as senders,
    ):
        for number in range(4):
            senders.wait_for(20 * (number + 1))
            thief.steal()
        senders.wait()
    place.normalise()
    return thief.stolen


def test_an_answer_that_was_lost_makes_no_second_event(place: Place) -> None:
    lost = lose_answers(place)
    assert place.books() == CLEAN
    assert len(all_raw(place.log)) >= place.ledger.count(OK) + lost, (
        "the requests were carried out, and their senders told 503"
    )


def test_a_writer_that_sends_commands_again_would_be_found_out(place: Place) -> None:
    """By their ids the events are there once all the same; one without any id would not be."""
    lose_answers(place, "sends again")
    books = place.books()
    assert books.resent > 0
    assert (books.lost, books.phantom, books.doubled, books.changed, books.astray) == (0, 0, 0, 0, 0)
