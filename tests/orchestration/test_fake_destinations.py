"""Stand-ins for people: what `weft fake-destination` tells a newcomer to write works as it stands."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from activation.destinations import KINDS, Tools
from activation.fake_destinations import FAKES
from activation.fake_destinations.faults import fail_at_random
from activation.syncs.clock import Clock
from activation.syncs.contract import DestinationUnavailableError
from orchestration.cli import app
from orchestration.errors import DestinationError
from tests.activation.destinations import members, statuses, upserts
from tests.fakes.vendor import FakeClock

PEOPLE = {
    "email": ["ada@example.com", "bo@example.com"],
    "phone": ["+4915112345678", "+4915112345679"],
    "user_id": ["u1", "u2"],
    "loyalty_id": ["l1", "l2"],
}


def _adapter(kind: str, url: str, clock: Any) -> Any:
    fake = FAKES[kind]
    example = fake.example.replace("{kind}", kind).replace("{url}", url)
    [settings] = yaml.safe_load(example)["destinations"]
    config = KINDS[settings["type"]].config_model(**settings)
    secrets = {name: value.replace("{url}", url) for name, value in fake.variables.items()}
    tools = Tools(
        audience="high_value",
        client_for=lambda base: httpx.Client(base_url=base, timeout=5.0, headers={"Connection": "close"}),
        secret=secrets.__getitem__,
        folder=Path("unused"),
        clock=clock,
    )
    return KINDS[settings["type"]].open(config, tools)


@pytest.mark.parametrize("kind", sorted(FAKES))
def test_what_a_newcomer_is_told_to_write_works(kind: str) -> None:
    clock = FakeClock()
    vendor = FAKES[kind].make(clock)
    told: list[str] = []
    vendor.tell = told.append
    with vendor.serving() as url:
        adapter = _adapter(kind, url, Clock(clock.now, clock.sleep))
        changes = upserts(list(adapter.records(members(**PEOPLE))))
        assert len(changes) == 2
        outcomes = [outcome for change in changes for outcome in adapter.send([change]) if clock.sleep(1) is None]
        with urllib.request.urlopen(f"{url}/_state", timeout=5) as answer:
            held = json.load(answer)
    assert statuses(outcomes) == ["accepted", "accepted"]
    assert any(held.values())
    assert told and not any(value in line for line in told for values in PEOPLE.values() for value in values)


def test_the_same_seed_fails_the_same_requests() -> None:
    fates = []
    for _ in range(2):
        clock = FakeClock()
        vendor = FAKES["rest"].make(clock)
        fail_at_random(vendor, 0.5, 11)
        with vendor.serving() as url:
            adapter = _adapter("rest", url, Clock(clock.now, clock.sleep))
            [change, _] = upserts(list(adapter.records(members(**PEOPLE))))
            fate = ""
            for _ in range(12):
                try:
                    fate += statuses(adapter.send([change]))[0][0]
                except DestinationUnavailableError as error:
                    fate += "w" if error.retry_after else "x"
        fates.append(fate)
    assert fates[0] == fates[1]
    assert set(fates[0]) == {"a", "w", "x"}


def test_it_runs_until_it_is_stopped_and_names_nobody() -> None:
    script = "import sys; from orchestration.cli import main; sys.argv[0] = 'weft'; main()"
    command = [sys.executable, "-u", "-c", script, "fake-destination", "rest", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        first = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", first)
        assert found, first + process.stdout.read()
        adapter = _adapter("rest", found[0], Clock())
        changes = upserts(list(adapter.records(members(**PEOPLE))))
        assert statuses([adapter.send([change])[0] for change in changes]) == ["accepted", "accepted"]
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        assert process.wait(20) == 0
    assert said.count("a member was written") == 2
    assert "@" not in said
    assert said.rstrip().endswith("Stopped.")


def test_all_of_them_are_listed_and_an_unknown_one_is_a_mistake() -> None:
    listed = CliRunner().invoke(app, ["fake-destination"])
    assert all(kind in listed.output for kind in FAKES)
    refused = CliRunner().invoke(app, ["fake-destination", "myspace"])
    assert isinstance(refused.exception, DestinationError)
    assert str(refused.exception).startswith("There is no stand-in for 'myspace'; choose one of discord, ")
