"""The command line: a user's mistake is one sentence and exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEFT = Path(sys.executable).with_name("weft")


def weft(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(home), "WEFT_HOME": str(home / "weft"), **environment}
    return subprocess.run(
        [WEFT, *arguments], cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("import", "missing.csv", "--mapping", "segment"), "missing.csv does not exist"),
        (("import", "README.md", "--mapping", "nobody"), "There is no mapping 'nobody'"),
        (("run", "--as-of", "yesterday"), "'yesterday' is not an instant"),
        (("simulate", "--difficulty", "brutal", "--out", "x"), "There is no difficulty 'brutal'"),
        (("audience", "withdraw", "high_value"), "high_value is still defined"),
        (("audience", "show", "nobody"), "Redis holds no whole version of audience 'nobody'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = weft(tmp_path, *arguments)
    assert result.returncode == 2
    assert said in " ".join((result.stdout + result.stderr).split())
    assert "Traceback" not in result.stdout + result.stderr


def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    result = weft(tmp_path, "status", WEFT_TARGET="oracle")
    assert result.returncode == 2
    assert "WEFT_TARGET" in result.stdout
    result = weft(tmp_path, "status", WEFT_DAGSTER_PORT="many")
    assert result.returncode == 2
    assert "DAGSTER_PORT" in result.stdout


def test_help_reads_like_a_table_of_contents(tmp_path: Path) -> None:
    result = weft(tmp_path, "--help")
    assert result.returncode == 0
    commands = (
        "simulate",
        "import",
        "build",
        "run",
        "demo",
        "up",
        "status",
        "why",
        "link",
        "forbid",
        "split",
        "review",
        "identity",
    )
    for command in (*commands, "audience", "model"):
        assert f" {command} " in result.stdout


def test_a_folder_with_one_unusable_file_lands_the_others_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    event = '{"messageId": "1", "type": "track", "event": "Seen", "userId": "u", "timestamp": "2026-01-01T00:00:00Z"}\n'
    (folder / "a.ndjson").write_text(event)
    (folder / "b.txt").write_text("what is this")
    (folder / "c.ndjson").write_text(event.replace('"1"', '"2"'))
    result = weft(tmp_path, "import", str(folder), "--mapping", "segment")
    assert result.returncode == 2
    assert result.stdout.count("1 accepted") == 2
    assert "b.txt" in result.stdout
