"""`weft status` on an empty, an imported and a built installation, with broken files in the inbox, beside a writer, without Redis."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pytest
from typer.testing import CliRunner

from activation.embedded_redis import EmbeddedRedis
from ingestion.landing_report import LandingReport
from orchestration.building import build
from orchestration.cli import app
from orchestration.collecting import inbox_problems, land_folder, remember_problems
from orchestration.publishing import pending_versions, publish
from orchestration.resources import Platform
from orchestration.runs import PROCESS_TAG
from orchestration.settings import export_for_tools, load_settings
from orchestration.state import State, utc_now
from orchestration.writer_lock import writer_lock
from tests.forked import PROCESSES
from tests.ingestion.landings import ndjson

WEFT = Path(sys.executable).with_name("weft")
EMAIL = "ann.secret@example.com"
CALL = {"type": "track", "userId": "u", "timestamp": "2026-01-01T00:00:00Z"}
VIEW = CALL | {"messageId": "1", "event": "Product Viewed"}
WHO = CALL | {"messageId": "2", "type": "identify", "traits": {"email": EMAIL}, "timestamp": "2026-01-01T00:01:00Z"}
ORDER = CALL | {"messageId": "3", "event": "Order Completed", "properties": {"revenue": 5, "currency": "XXX"}}


def weft(home: Path, *arguments: str, **environment: str) -> str:
    """What a command that ends well says; in this process, because importing takes longer than the command."""
    result = CliRunner().invoke(app, arguments, env={"WEFT_HOME": str(home), **environment}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def status(home: Path, **environment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(weft(home, "status", "--json", **environment))
    return found


def add_runs(home: Path, *runs: dg.DagsterRun) -> None:
    """Runs for Dagster to tell of."""
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        for run in runs:
            instance.add_run(run)


def _hold_the_lock(warehouse: Path, held: Event, release: Event) -> None:
    with writer_lock(warehouse):
        held.set()
        release.wait()


@contextmanager
def writer(warehouse: Path) -> Iterator[None]:
    """Another process that holds the writer's lock for the block."""
    held, release = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=_hold_the_lock, args=(warehouse, held, release))
    process.start()
    try:
        assert held.wait(60)
        yield
    finally:
        release.set()
        process.join()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a pass leaves of an inbox with one good file and two that cannot be landed. It is made without Dagster: that a pass of
    Dagster leaves the same is shown in test_end_to_end."""
    home = tmp_path_factory.mktemp("status")
    inbox = home / "inbox" / "segment"
    inbox.mkdir(parents=True)
    (inbox / "calls.ndjson").write_bytes(ndjson(VIEW, WHO, ORDER))
    (inbox / "calls.xlsx").write_bytes(b"PK")
    (home / "inbox" / "nobody").mkdir()
    (home / "inbox" / "nobody" / "a.csv").write_text("id\n1\n")
    platform = Platform(load_settings(home=home))
    with patch.dict(os.environ):  # the other installations of this file are elsewhere
        export_for_tools(platform.settings)
    with platform.warehouse.writer() as connection:
        landed = land_folder(connection, folder=platform.settings.inbox, landed_at=utc_now())
        remember_problems(platform.state, landed)
    build(platform, as_of=datetime(2026, 1, 2), quiet=True)
    with EmbeddedRedis(home / "redis"):
        for version, attempt in pending_versions(platform.state, after=0, now=utc_now()):
            publish(platform.settings, platform.warehouse, platform.state, version, attempt=attempt)
    add_runs(home, *(dg.DagsterRun(job, status=dg.DagsterRunStatus.SUCCESS) for job in ("whole_pass", "publish")))
    return home


def test_an_empty_installation_is_told_in_one_sentence_what_to_type(tmp_path: Path) -> None:
    variables = {**os.environ, "WEFT_HOME": str(tmp_path / "home")}
    result = subprocess.run([WEFT, "status"], env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0
    said = " ".join(result.stdout.split())
    assert said.startswith("Nothing is here yet: type `weft demo`")
    assert said.count(".") == 1
    found = status(tmp_path / "home")
    assert (found["served"], found["audiences"], found["last_runs"]) == (None, [], [])


def test_what_is_imported_and_not_built_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "calls.ndjson").write_bytes(ndjson(VIEW))
    weft(tmp_path / "home", "import", str(tmp_path / "calls.ndjson"), "--mapping", "segment")
    assert "No whole build is served yet: type `weft run`" in weft(tmp_path / "home", "status")


@pytest.mark.nightly
def test_every_figure_of_a_built_installation_is_told(built: Path) -> None:
    found = status(built)
    served = found["served"]
    [source] = served["sources"]
    assert (source["source"], source["events"], source["rejected"]) == ("segment", 2, {"unknown_currency": 1})
    assert source["newest_known_at"] == "2026-01-01T00:01:00"
    assert source["last_landing_at"] < served["completed_at"] < found["checked_at"]
    assert (served["as_of"], served["whole_builds"]) == ("2026-01-02T00:00:00", 1)
    assert (served["customers"], served["identifiers"], served["hot_identifiers"]) == (1, 2, 0)
    assert served["identity_quality"] is None, "nobody knows the truth of a real shop"
    assert served["newest_rate_date"] == "2024-01-01"
    tables = {table["table"]: table for table in served["tables"]}
    assert tables["raw.events"]["rows"] == 2
    assert tables["raw.events"]["newest_landed_at"] == source["last_landing_at"]
    assert tables["audiences.profiles"]["rows"] == 1
    assert {audience["audience"] for audience in found["audiences"]} > {"active_browsers", "profiles"}
    assert all(audience["published_at"] and not audience["is_pending"] for audience in found["audiences"])
    assert {run["job"]: run["status"] for run in found["last_runs"]} == {"publish": "success", "whole_pass": "success"}
    assert found["bytes_by_part"]["warehouse"] > 100_000
    assert found["bytes_by_part"]["inbox"] == sum(p.stat().st_size for p in (built / "inbox").rglob("*.*"))
    assert not found["is_being_written"]


@pytest.mark.nightly
def test_what_a_person_sees_fits_80_columns_and_names_no_person(built: Path) -> None:
    shown = weft(built, "status")
    assert max(map(len, shown.splitlines())) <= 80
    for text in (shown, weft(built, "status", "--json")):
        assert EMAIL not in text
    said = " ".join(shown.split())
    assert "inbox/nobody/a.csv was not landed: There is no mapping 'nobody'" in said
    assert "inbox/segment/calls.xlsx was not landed" in said
    assert "1 unknown_currency" in said
    assert "The newest exchange rate was 732 days old" in said


@pytest.mark.nightly
def test_status_answers_while_somebody_writes(built: Path) -> None:
    with writer(built / "warehouse.duckdb"):
        found = status(built)
    assert found["is_being_written"]
    assert found["served"]["customers"] == 1


@pytest.mark.nightly
def test_redis_is_asked_and_not_started(built: Path) -> None:
    assert status(built)["redis"] == {"address": "embedded", "is_reachable": False, "memory_bytes": None, "keys": None}
    with EmbeddedRedis(built / "redis") as server, server.client() as client:
        found, keys = status(built)["redis"], client.dbsize()
    assert found["is_reachable"]
    assert found["keys"] == keys > 0
    assert found["memory_bytes"] > 0
    elsewhere = status(built, REDIS_URL="redis://user:secret@127.0.0.1:1/0")
    assert not elsewhere["redis"]["is_reachable"]
    assert "secret" not in json.dumps(elsewhere)


@pytest.mark.nightly
def test_a_failed_pass_and_a_killed_one_are_told(built: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(built, home, symlinks=True)
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead = dg.DagsterRun("whole_pass", status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: str(gone.pid)})
    failed = dg.DagsterRun("publish", status=dg.DagsterRunStatus.FAILURE)
    add_runs(home, dead, failed)
    assert {run["job"]: run["status"] for run in status(home)["last_runs"]} == {
        "publish": "failure",
        "whole_pass": "dead",
    }
    said = " ".join(weft(home, "status").split())
    assert f"The last run of whole_pass is dead ({dead.run_id})" in said
    assert f"The last run of publish is failure ({failed.run_id})" in said


def test_a_problem_of_the_inbox_is_forgotten_once_its_file_lands(tmp_path: Path) -> None:
    state = State(f"sqlite:///{tmp_path / 'state.sqlite'}")
    assert inbox_problems(state) == {}
    remember_problems(state, [LandingReport("a.csv", "till", problem="It is empty."), LandingReport("b.csv", "till")])
    assert inbox_problems(state) == {"till/a.csv": "It is empty."}
    remember_problems(state, [LandingReport("a.csv", "till", accepted=1, rows_read=1)])
    assert inbox_problems(state) == {}
