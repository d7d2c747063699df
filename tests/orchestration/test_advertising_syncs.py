"""Meta and Google behind the sync engine and its ledger: households that share identifiers, answers that fail, terms that change."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from activation.fake_destinations.vendor import Reply
from activation.syncs.clock import Clock
from activation.syncs.contract import Destination
from activation.syncs.engine import Report, ask, run
from activation.syncs.fingerprints import Fingerprints
from activation.syncs.ledger import RunStart
from activation.syncs.sending import Job
from orchestration.state import State
from tests.activation.advertising.driven import StandingClock, members, opened
from tests.activation.advertising.test_shared_identifiers import PEOPLE, VENDORS, customers

ADA = {"customer_id": "c1", "email": "person.0@gmail.com", "phone": "+491710000000"}
BO = {"customer_id": "c2", "email": "person.1@example.com", "phone": "+491710000001"}


@dataclass
class Synced:
    """A vendor's stand-in, and runs of its sync with one ledger."""

    kind: str
    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fake, self.secrets, self.entry, self.audience_id = VENDORS[self.kind]
        self.vendor = fake(StandingClock(), people=PEOPLE, most_calls=100_000)
        self.url = f"sqlite:///{self.folder / 'state.sqlite'}"
        self.sync = f"{self.entry['name']}.lapsed"
        self._numbers = count()

    @contextmanager
    def adapter(self) -> Iterator[Destination]:
        with opened(self.vendor, self.secrets, {**self.entry, **self.settings}) as made:
            yield made

    def run(self, *audience: Mapping[str, Any], code: str = "code") -> Report:
        """One run, with an adapter and a ledger of its own as in a process of its own."""
        ledger = State(self.url).syncs.ledger(self.sync)
        clock = Clock(self.vendor.clock.now, self.vendor.clock.pass_by)
        table = members(*audience)
        with self.adapter() as made:
            job = Job(self.sync, ledger, made, Fingerprints("salt", self.sync), code, 3600.0, clock=clock)
            return run(job, table, RunStart(f"run-{next(self._numbers)}", "run", "b1", None, len(table)))

    def run_until_done(self, *audience: Mapping[str, Any]) -> None:
        while self.run(*audience).status != "done":
            self.vendor.clock.pass_by(600)

    @property
    def people(self) -> set[str]:
        return self.vendor.people[self.audience_id]


@pytest.fixture(params=sorted(VENDORS))
def synced(request: pytest.FixtureRequest, tmp_path: Path) -> Synced:
    return Synced(request.param, tmp_path)


def test_whom_a_member_can_be_found_by_is_in_and_nobody_else(synced: Synced) -> None:
    chance = random.Random(synced.kind)
    for _ in range(6):
        audience = customers(chance)
        synced.vendor.faults = [chance.choice([None, None, "lost", Reply(503, b""), "cut"]) for _ in range(4)]
        synced.run_until_done(*audience)
        held = {person[name] for person in audience for name in ("email", "phone")} - {None}
        assert synced.people == held
        assert len(synced.vendor.audiences[synced.audience_id]) == len(held)


def test_nothing_is_asked_or_sent_where_nothing_changed(synced: Synced) -> None:
    synced.run(ADA, BO)
    calls = len(synced.vendor.calls)
    report = synced.run(BO, ADA)
    assert (report.status, report.totals.planned, report.evaluated) == ("done", 0, 0)
    assert len(synced.vendor.calls) == calls


def test_the_ledger_holds_hashes_and_what_the_vendor_said(synced: Synced, tmp_path: Path) -> None:
    synced.run(ADA, BO)
    synced.run(BO)
    with sa.create_engine(synced.url).connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        held = " ".join(str(row) for table in tables for row in connection.execute(sa.text(f'select * from "{table}"')))
    for person in (ADA, BO):
        assert not any(str(person[name]).lstrip("+") in held for name in ("email", "phone"))
    # the name of the request, by which Google's diagnostics are asked for
    assert ("fake-" in held) == (synced.kind == "google")


def test_a_vendors_other_audience_gets_everybody(tmp_path: Path) -> None:
    synced = Synced("meta", tmp_path)
    synced.run(ADA, BO)
    synced.vendor.add_audience("777")
    synced.settings = {"audience_ids": {"lapsed": "777"}}
    assert synced.run(ADA, BO, code="other code").totals.accepted == 2
    assert synced.vendor.people["777"] == synced.people


def test_terms_that_are_not_accepted_fail_the_run_and_lose_nobody(tmp_path: Path) -> None:
    synced = Synced("google", tmp_path)
    synced.vendor.are_terms_signed = False
    report = synced.run(ADA, BO)
    assert report.status == "failed" and "accept the terms of Customer Match" in str(report.words)
    assert synced.people == set()
    synced.vendor.are_terms_signed = True
    synced.vendor.clock.pass_by(86_400)
    synced.run_until_done(ADA, BO)
    assert synced.people == {*(str(person[name]) for person in (ADA, BO) for name in ("email", "phone"))}


def test_what_meta_did_not_attribute_is_in_the_report(tmp_path: Path) -> None:
    synced = Synced("meta", tmp_path)
    with synced.adapter() as made:
        (record,) = made.records(members(ADA))
    synced.vendor.unusable = {record.payload["identifiers"]["EMAIL"]}
    synced.vendor.samples = 0
    report = synced.run(ADA, BO)
    assert report.totals.accepted == 2
    assert report.samples == {"Meta could not use 1 of 2 entries and did not say which": 2}


def test_a_row_that_google_refuses_is_listed_with_its_words(tmp_path: Path) -> None:
    synced = Synced("google", tmp_path)
    with synced.adapter() as made:
        (record,) = made.records(members(ADA))
    synced.vendor.unusable = {record.payload["identifiers"]["email"]}
    assert synced.run(ADA, BO).totals.refused == 1
    (problem,) = State(synced.url).syncs.problems(synced.sync, limit=10)
    assert problem["words"] == "invalid sha256 format: The SHA256 encoded value is malformed."


def test_google_can_be_asked_without_anything_being_changed(synced: Synced) -> None:
    with synced.adapter() as made:
        (record,) = made.records(members(ADA))
        synced.vendor.unusable = set(record.payload["identifiers"].values())
        ledger = State(synced.url).syncs.ledger(synced.sync)
        said = ask(Job(synced.sync, ledger, made, Fingerprints("salt", synced.sync), "code", 0.0), members(ADA, BO))
    refused = "invalid sha256 format: The SHA256 encoded value is malformed."
    assert said == ({"accepted": 1, refused: 1} if synced.kind == "google" else None)
    assert synced.people == set() and synced.run(BO).totals.accepted == 1
