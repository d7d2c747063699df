"""`weft crm`, the asset and the cursors: pulls of an installation, killed ones included."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from filelock import FileLock

from orchestration.crm_cursors import CrmCursors
from orchestration.crm_pulls import pull_source, source_named
from orchestration.errors import PullError
from orchestration.failpoints import FAILPOINTS
from orchestration.landing import land_folder
from orchestration.resources import Platform, build_platform
from orchestration.state import State
from orchestration.status import read_status, status_json
from orchestration.status_tables import _problems
from tests.fakes.hubspot import TOKEN, HubSpot
from tests.fakes.vendor import FakeClock, Reply

ROOT = Path(__file__).resolve().parents[2]
WEFT = Path(sys.executable).with_name("weft")


@pytest.fixture
def hubspot() -> Iterator[HubSpot]:
    vendor = HubSpot(FakeClock())
    for id_ in range(1, 251):
        vendor.add(id_, modified=vendor.clock.now() - 1e6 - id_, email=f"c{id_}@example.com")
    with vendor.serving() as url:
        vendor.url = url  # type: ignore[attr-defined]
        yield vendor


@pytest.fixture
def crm_home(tmp_path: Path, hubspot: HubSpot, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with two sources, the second of which leads nowhere."""
    monkeypatch.setenv("HUB_TOKEN", TOKEN)
    home = tmp_path / "weft"
    home.mkdir()
    url = hubspot.url  # type: ignore[attr-defined]
    configure(home, f"{{name: hub, kind: hubspot, secret: HUB_TOKEN, url: '{url}', allow_private_address: true}}")
    return home


def configure(home: Path, *sources: str) -> None:
    (home / "crm.yml").write_text("sources:\n" + "".join(f"  - {source}\n" for source in sources), encoding="utf-8")


def weft(home: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = {**os.environ, "WEFT_HOME": str(home), "HUB_TOKEN": TOKEN, **environment}
    return subprocess.run([WEFT, *arguments], env=variables, capture_output=True, text=True, check=False, timeout=120)


PULL = """
from orchestration.crm_pulls import pull_source, source_named
from orchestration.resources import build_platform
platform = build_platform()
print(pull_source(platform, source_named(platform.settings, "hub")).sentence())
"""


def pull_in_a_child(home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = {**os.environ, "WEFT_HOME": str(home), "HUB_TOKEN": TOKEN, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-c", PULL], env=variables, capture_output=True, text=True, check=False)


def landed(platform: Platform) -> list[tuple[str, ...]]:
    """Contacts in the warehouse after a landing of the inbox, repeated ones repeated."""
    with duckdb.connect() as connection:
        for report in land_folder(connection, folder=platform.settings.inbox, landed_at=datetime(2100, 1, 1)):
            assert report.problem is None
        query = "select payload->>'$.id' from raw.events where source = 'hub' order by 1::bigint"
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("step", FAILPOINTS["crm"])
def test_killed_anywhere_the_next_pull_repairs(crm_home: Path, hubspot: HubSpot, step: str) -> None:
    killed = pull_in_a_child(crm_home, WEFT_CRASH_AT=f"crm.{step}:1", WEFT_ALLOW_CRASHES="1")
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    again = pull_in_a_child(crm_home)
    assert again.returncode == 0, again.stdout + again.stderr
    assert not list((crm_home / "inbox").rglob(".*"))
    assert landed(build_platform(home=crm_home)) == [(str(id_),) for id_ in range(1, 251)]


def test_the_commands_say_what_is_there_and_never_a_secret(crm_home: Path, hubspot: HubSpot) -> None:
    pulled = weft(crm_home, "crm", "pull", "hub")
    assert "hub: 250 contacts" in pulled.stdout
    listed = weft(crm_home, "crm", "list")
    assert "250" in listed.stdout
    refused = weft(crm_home, "crm", "pull", "hub", HUB_TOKEN=TOKEN + "x")
    assert (refused.returncode, "answered 401" in refused.stdout) == (2, True)
    platform = build_platform(home=crm_home)
    status = status_json(read_status(platform))
    assert "answered 401" in json.loads(status)["crm_pulls"][0]["problem"]
    assert "answered 401" in str(next(_problems(read_status(platform))))
    everything = status + "".join(each.stdout + each.stderr for each in (pulled, listed, refused))
    assert TOKEN not in everything
    assert TOKEN.encode() not in b"".join(path.read_bytes() for path in crm_home.rglob("*") if path.is_file())


def test_what_is_not_configured_is_one_sentence(crm_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = build_platform(home=crm_home)
    with pytest.raises(PullError, match="has no source 'nobody'; it has hub"):
        source_named(platform.settings, "nobody")
    monkeypatch.delenv("HUB_TOKEN")
    assert "HUB_TOKEN" in (pull_source(platform, source_named(platform.settings, "hub")).problem or "")


def test_while_the_vendor_wants_rest_no_request_goes_out(crm_home: Path, hubspot: HubSpot) -> None:
    platform, clock = build_platform(home=crm_home), hubspot.clock
    source = source_named(platform.settings, "hub")
    hubspot.faults = [Reply(429, {}, {"Retry-After": "5000"})]
    assert pull_source(platform, source, clock=clock.clock).is_later
    with pytest.raises(PullError, match="wants no request before"):
        pull_source(platform, source, clock=clock.clock)
    assert len(hubspot.calls) == 1
    clock.sleep(5001)
    assert pull_source(platform, source, clock=clock.clock).pulled.contacts == 250
    assert hubspot.called_while_told_to_wait == 0


def test_one_pull_of_a_source_at_a_time(crm_home: Path, hubspot: HubSpot) -> None:
    platform = build_platform(home=crm_home)
    (crm_home / "crm").mkdir()
    with FileLock(crm_home / "crm" / "hub.lock"), pytest.raises(PullError, match="is being pulled right now"):
        pull_source(platform, source_named(platform.settings, "hub"))


def test_from_the_start_lands_nothing_twice(crm_home: Path, hubspot: HubSpot) -> None:
    platform = build_platform(home=crm_home)
    source = source_named(platform.settings, "hub")
    assert pull_source(platform, source).pulled.contacts == 250
    assert pull_source(platform, source).pulled.contacts == 0
    assert pull_source(platform, source, from_start=True).pulled.contacts == 250
    assert len(landed(platform)) == 250


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "2130706433"])
def test_a_private_address_is_refused_before_a_connection(crm_home: Path, host: str) -> None:
    configure(crm_home, f"{{name: inner, kind: hubspot, secret: HUB_TOKEN, url: 'https://{host}'}}")
    platform = build_platform(home=crm_home)
    report = pull_source(platform, source_named(platform.settings, "inner"))
    assert report.problem == "inner leads to a private address; set allow_private_address in crm.yml if you want that."


def test_an_inbox_that_cannot_be_written_is_one_sentence_and_moves_no_cursor(crm_home: Path, hubspot: HubSpot) -> None:
    (crm_home / "inbox").mkdir()
    (crm_home / "inbox" / "crm_contacts").write_text("in the way")
    platform = build_platform(home=crm_home)
    report = pull_source(platform, source_named(platform.settings, "hub"))
    assert report.problem and report.problem.startswith("hub: the inbox cannot be written")
    assert platform.state.crm.cursor("hub", "hubspot") == {}


def test_a_source_that_fails_holds_up_no_other_and_fails_the_asset(crm_home: Path, hubspot: HubSpot) -> None:
    from orchestration.assets.crm import crm_contacts

    url = hubspot.url  # type: ignore[attr-defined]
    second = f"{{name: hub, kind: hubspot, secret: HUB_TOKEN, url: '{url}', allow_private_address: true}}"
    platform = build_platform(home=crm_home)
    configure(crm_home, "{name: broken, kind: hubspot, secret: NOT_SET}", second)
    result = dg.materialize([crm_contacts], resources={"platform": platform}, raise_on_error=False)
    assert not result.success
    assert len(landed(platform)) == 250
    configure(crm_home, second)
    assert dg.materialize([crm_contacts], resources={"platform": platform}).success
    (crm_home / "crm.yml").unlink()
    assert dg.materialize([crm_contacts], resources={"platform": platform}).success


def test_a_cursor_is_good_for_its_own_kind_of_source_on_both_databases(state: State) -> None:
    cursors: CrmCursors = state.crm
    assert cursors.cursor("hub", "hubspot") == {}
    cursors.move("hub", "hubspot", {"since": "2026-01-01T00:00:00.000Z", "at": None})
    cursors.note("hub", "hubspot", contacts=7, problem="x", not_before=None, now=datetime(2026, 1, 1))
    assert cursors.cursor("hub", "hubspot") == {"since": "2026-01-01T00:00:00.000Z", "at": None}
    assert cursors.cursor("hub", "rest") == {}
    assert cursors.last_pulls()["hub"].contacts == 7
