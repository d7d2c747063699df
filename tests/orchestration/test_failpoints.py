"""A process told to die at a named point dies there, on the pass that was named, and nowhere else."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.failpoints import FAILPOINTS

ROOT = Path(__file__).resolve().parents[2]
PASS_POINTS = """
from orchestration.failpoints import failpoints
from orchestration.settings import load_settings
load_settings()
reached = failpoints("landing")
for number in range(3):
    for step in ("staged", "committed"):
        print(step, number, flush=True)
        reached(step)
        load_settings()
"""


def run(tmp_path: Path, *command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "WEFT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **settings}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("crash_at", "passed"),
    [("landing.staged", ["staged 0"]), ("landing.committed:2", ["staged 0", "committed 0", "staged 1", "committed 1"])],
)
def test_the_process_dies_on_the_named_pass_of_the_named_point(
    tmp_path: Path, crash_at: str, passed: list[str]
) -> None:
    result = run(tmp_path, "-c", PASS_POINTS, WEFT_CRASH_AT=crash_at, WEFT_ALLOW_CRASHES="1")
    assert result.returncode == -signal.SIGKILL
    assert result.stdout.splitlines() == passed


def test_without_the_setting_nothing_dies(tmp_path: Path) -> None:
    result = run(tmp_path, "-c", PASS_POINTS, WEFT_ALLOW_CRASHES="1")
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 6)


@pytest.mark.parametrize(
    ("crash_at", "allowed", "sentence"),
    [
        ("landing.staged", "0", "is for tests only"),
        ("landing.stagged", "1", "names no failpoint"),
        ("landing", "1", "names no failpoint"),
        ("landing.staged:0", "1", "on which pass to die"),
        ("landing.staged:x", "1", "on which pass to die"),
    ],
)
def test_a_switch_that_cannot_be_meant_is_refused_in_one_sentence(
    tmp_path: Path, crash_at: str, allowed: str, sentence: str
) -> None:
    command = "from orchestration.cli import main; main()"
    arguments = ("-c", command, "import", "nothing.csv", "--mapping", "segment")
    result = run(tmp_path, *arguments, WEFT_CRASH_AT=crash_at, WEFT_ALLOW_CRASHES=allowed)
    said = " ".join((result.stdout + result.stderr).split())
    assert result.returncode == 2
    assert sentence in said
    assert "Traceback" not in said


def test_every_step_that_the_code_announces_is_a_failpoint() -> None:
    folders = ("ingestion", "identity", "ml", "activation", "orchestration")
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py")]
    announced = {step for text in texts for step in re.findall(r'\b(?:on_step|reached)\("([^"]+)"\)', text)}
    assert announced == {step for steps in FAILPOINTS.values() for step in steps}
