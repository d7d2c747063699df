"""The engine on both databases of the operator state: what is sent, what is not, and what is kept for later."""

from dataclasses import astuple

import pytest
import sqlalchemy as sa

from activation.syncs.contract import DestinationMisconfiguredError, DestinationUnavailableError, Outcome
from activation.syncs.policy import RetryPolicy
from orchestration.state import State
from orchestration.sync_tables import sync_records
from tests.orchestration.scripted import SYNC, Bench, Scripted, each, raises

ANN, BOB, CY = {"ann": "ann@x.org"}, {"bob": "bob@x.org"}, {"cy": "cy@x.org"}
LOST = DestinationUnavailableError("crm did not answer")
NOT_TAKEN = DestinationUnavailableError("crm wants fewer requests", may_be_applied=False)
LATER = 4000.0


@pytest.fixture
def bench(state: State) -> Bench:
    """A sync that was never run."""
    return Bench(state)


def rows(bench: Bench) -> list[tuple[object, ...]]:
    """The ledger's rows as they stand, times included."""
    with bench.state._engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(sync_records).order_by(sync_records.c.record_key))]


def test_new_changed_and_gone_records_are_sent_and_a_run_with_nothing_changed_writes_no_row(bench: Bench) -> None:
    bench.run(ANN | BOB)
    report = bench.run({"ann": "ann@new.org"} | CY)
    assert bench.destination.holds == {"ann": "ann@new.org", "cy": "cy@x.org"}
    assert [(change.key, change.operation, change.sequence) for change in bench.destination.requests[-2]] == [
        ("bob", "remove", 2)
    ]
    assert report.totals.planned == report.totals.accepted == 3
    before, evaluated = rows(bench), bench.destination.evaluated
    bench.now += 1
    assert bench.run({"ann": "ann@new.org"} | CY).totals.planned == 0
    assert rows(bench) == before
    assert bench.destination.evaluated == evaluated, "who has not changed is not looked at"


def test_who_comes_back_is_sent_again_though_nothing_about_them_changed(bench: Bench) -> None:
    for members in (ANN, {}, ANN):
        bench.run(members)
    assert [change.operation for change in bench.destination.sent] == ["upsert", "remove", "upsert"]
    assert len({change.idempotency_key for change in bench.destination.sent}) == 3
    assert bench.destination.holds == ANN


def test_a_refused_record_waits_until_its_content_changes_or_a_person_says_so(bench: Bench) -> None:
    bench.destination.answers = [each(ann=Outcome("refused", "no such country: ann@x.org +49 170 1234567"))]
    bench.run(ANN | BOB)
    [problem] = bench.state.syncs.problems(SYNC)
    assert problem["words"] == "no such country: [hidden] [hidden]"
    bench.now += LATER
    bench.run(ANN | BOB)
    assert len(bench.destination.sent) == 2
    bench.destination.answers = [each(ann=Outcome("refused", "again"))]
    bench.run({"ann": "other@x.org"} | BOB)
    assert bench.state.syncs.retry(SYNC, bench.job.instant()) == 1
    bench.run({"ann": "other@x.org"} | BOB)
    assert bench.destination.holds == {"ann": "other@x.org"} | BOB
    assert len({change.idempotency_key for change in bench.destination.sent}) == 4


def test_a_retry_of_the_same_content_has_its_key_and_takes_the_freshest_value_with_another(bench: Bench) -> None:
    bench.destination.answers = [raises(LOST), raises(LOST)]
    bench.run(ANN)
    bench.now += LATER
    bench.run(ANN)
    bench.now += LATER
    bench.run({"ann": "new@x.org"})
    first, second, third = bench.destination.sent
    assert first == second
    assert third.idempotency_key != first.idempotency_key
    assert (third.sequence, third.payload) == (2, {"email": "new@x.org"})


@pytest.mark.parametrize(("failure", "is_sent_back"), [(LOST, True), (NOT_TAKEN, False)])
def test_what_changed_back_is_sent_only_where_the_other_value_may_have_been_taken(
    bench: Bench, failure: Exception, is_sent_back: bool
) -> None:
    bench.run(ANN)
    bench.destination.answers = [raises(failure)]
    bench.run({"ann": "other@x.org"})
    sent = len(bench.destination.sent)
    bench.now += LATER
    bench.run(ANN)
    assert (len(bench.destination.sent) - sent) == is_sent_back
    assert bench.statuses() == {"accepted": 1}


@pytest.mark.parametrize(("failure", "is_removed"), [(LOST, True), (NOT_TAKEN, False)])
def test_who_was_never_taken_is_removed_only_where_that_is_not_certain(
    bench: Bench, failure: Exception, is_removed: bool
) -> None:
    bench.destination.answers = [raises(failure)]
    bench.run(ANN)
    bench.now += LATER
    bench.run({})
    assert [change.operation for change in bench.destination.sent[1:]] == ["remove"] * is_removed
    assert bench.statuses() == {"accepted": 1}
    bench.run(ANN)
    assert bench.destination.holds == ANN
    keys = [change.idempotency_key for change in bench.destination.sent]
    assert len(set(keys)) == len(keys)


def test_a_process_that_dies_with_a_request_under_way_sends_the_same_again(bench: Bench) -> None:
    class Killed(BaseException):
        """The process ends here."""

    def dies(step: str) -> None:
        if step == "answered":
            raise Killed

    bench.steps = dies
    with pytest.raises(Killed):
        bench.run(ANN)
    assert bench.statuses() == {"sent": 1}
    bench.steps = lambda step: None
    bench.run(ANN)
    first, second = bench.destination.sent
    assert first == second
    killed, last = reversed(bench.state.syncs.runs(SYNC))
    assert (killed.status, killed.planned, killed.retried) == ("killed", 1, 1)
    assert (last.status, last.planned, last.accepted) == ("done", 1, 1)


def test_a_row_that_fails_again_and_again_is_set_aside_and_holds_up_nobody(bench: Bench) -> None:
    def poison(changes: object) -> list[Outcome]:
        if any(change.key == "bob" for change in changes):  # type: ignore[attr-defined]
            raise LOST
        return [Outcome("accepted")] * len(changes)  # type: ignore[arg-type]

    bench.destination.batch_size = 2
    bench.policy = RetryPolicy(quarantine_after=4, jitter=lambda: 1.0, patience_seconds=0)
    bench.destination.answers = [poison] * 100
    for number in range(8):
        bench.run(ANN | BOB | {f"new{number}": f"new{number}@x.org"})
        bench.now += LATER
    assert "ann" in bench.destination.holds
    [problem] = bench.state.syncs.problems(SYNC)
    assert (problem["record_key"], problem["status"]) == ("bob", "quarantined")
    tries = sum(change.key == "bob" for change in bench.destination.sent)
    bench.run(ANN | BOB)
    assert sum(change.key == "bob" for change in bench.destination.sent) == tries
    bench.destination.answers = []
    bench.state.syncs.retry(SYNC, bench.job.instant())
    bench.run(ANN | BOB)
    assert bench.destination.holds == ANN | BOB


def test_an_outage_sets_nobody_aside_and_the_run_ends_after_a_few_requests(bench: Bench) -> None:
    members = {f"c{number}": f"c{number}@x.org" for number in range(200)}
    bench.policy = RetryPolicy(quarantine_after=3, jitter=lambda: 1.0, patience_seconds=0)
    bench.destination.answers = [raises(LOST)] * 1000
    for _ in range(12):
        report = bench.run(members)
        assert (report.status, report.totals.accepted, report.totals.quarantined) == ("later", 0, 0)
        assert report.totals.retried + report.totals.pending == report.totals.planned == 200
        bench.now += LATER
    assert len(bench.destination.requests) == 12 * bench.policy.unavailable_in_a_row
    bench.destination.answers = []
    bench.now += LATER
    assert bench.run(members).totals.accepted == 200


def test_a_retry_after_is_obeyed_by_every_process_and_by_every_sync_of_the_destination(bench: Bench) -> None:
    bench.destination.answers = [raises(DestinationUnavailableError("wait", 600.0, may_be_applied=False))]
    assert bench.run(ANN).status == "later"
    other = Bench(bench.state, bench.destination, now=bench.now + 599)
    report = other.run(ANN)
    assert report.status == "later"
    assert report.words is not None and "gets no request before" in report.words
    assert len(bench.destination.requests) == 1
    other.now += 2
    assert other.run(ANN).status == "done"


def test_a_short_wait_is_waited_for_and_a_long_one_left_to_the_next_run(bench: Bench) -> None:
    bench.policy = RetryPolicy(jitter=lambda: 1.0, patience_seconds=30)
    bench.destination.answers = [raises(DestinationUnavailableError("wait", 20.0)), each(ann=Outcome("retry", "busy"))]
    assert bench.run(ANN).status == "done"
    assert bench.waited[0] == pytest.approx(20, abs=0.1)
    assert len(bench.destination.sent) == 3


def test_a_run_ends_when_its_time_is_used_up_and_the_next_goes_on(bench: Bench) -> None:
    def slow(changes: object) -> list[Outcome]:
        bench.now += 40
        return [Outcome("accepted")] * len(changes)  # type: ignore[arg-type]

    bench.budget_seconds = 100
    bench.destination.answers = [slow] * 10
    members = {f"c{number:03}": f"c{number}@x.org" for number in range(50)}
    report = bench.run(members)
    assert astuple(report.totals) == (50, 30, 0, 0, 0, 20)
    assert report.status == "later"
    assert bench.run(members).totals.accepted == 20


def test_a_wrong_token_fails_the_run_and_the_rows_wait(bench: Bench) -> None:
    bench.destination.answers = [raises(DestinationMisconfiguredError("crm answered 401: see to its secret"))]
    report = bench.run(ANN | BOB)
    assert (report.status, report.totals.retried) == ("failed", 2)
    assert bench.state.syncs.last_runs()[SYNC].words == "crm answered 401: see to its secret"
    bench.now += LATER
    assert bench.run(ANN | BOB).totals.accepted == 2


def test_two_customers_with_one_record_are_one_and_it_stays_while_one_of_them_does(state: State) -> None:
    bench = Bench(state, Scripted(is_by_email=True))
    both = {"ann": "shared@x.org", "bob": "shared@x.org"}
    bench.run(both)
    bench.run(both)
    bench.run({"bob": "shared@x.org"})
    assert len(bench.destination.sent) == 1
    bench.run(both)
    bench.run({"ann": "shared@x.org"})
    assert bench.destination.holds == {"shared@x.org": "shared@x.org"}
    assert len(bench.destination.sent) == 1
    bench.run({"ann": None})
    assert bench.destination.holds == {}


def test_a_customer_whose_record_has_another_name_leaves_no_old_one_behind(state: State) -> None:
    bench = Bench(state, Scripted(is_by_email=True))
    bench.run(ANN)
    bench.run({"ann": "moved@x.org"})
    assert bench.destination.holds == {"moved@x.org": "moved@x.org"}


def test_a_changed_configuration_makes_all_records_anew_and_sends_those_that_differ(bench: Bench) -> None:
    bench.run(ANN | BOB)
    bench.code = "2"
    bench.run(ANN | BOB)
    assert (bench.destination.evaluated, len(bench.destination.sent)) == (2 * 3, 2)


def test_a_replay_sends_all_again_as_changes_of_their_own(bench: Bench) -> None:
    bench.run(ANN | BOB)
    bench.run(ANN)
    removed_in = bench.last_run
    assert bench.state.syncs.replay(SYNC, bench.job.instant()) == 2
    assert bench.run(ANN).totals.accepted == 2
    again = bench.destination.sent[3:]
    assert [(change.key, change.operation, change.sequence) for change in again] == [
        ("bob", "remove", 3),
        ("ann", "upsert", 2),
    ]
    assert bench.state.syncs.replay(SYNC, bench.job.instant(), run_id=removed_in) == 0
    assert bench.state.syncs.replay(SYNC, bench.job.instant(), run_id=bench.last_run) == 2


def test_removals_go_first(bench: Bench) -> None:
    bench.run(BOB)
    bench.run(ANN | CY)
    assert [change.operation for change in bench.destination.sent[1:]] == ["remove", "upsert", "upsert"]
