"""A pass waits for the pass of another process, and no longer than that process lives."""

import subprocess
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from orchestration.settings import Settings
from orchestration.turns import end_turn, take_turn

OTHER = """
import sys
from orchestration.settings import Settings
from orchestration.turns import take_turn
take_turn(Settings(home=sys.argv[1]))
print("mine", flush=True)
sys.stdin.read()
"""


def is_free(home: Path) -> bool:
    try:
        with FileLock(home / "pass.lock", timeout=0):
            return True
    except Timeout:
        return False


def test_a_killed_pass_leaves_the_turn_to_the_next(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", OTHER, tmp_path], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        assert not is_free(tmp_path)
        other.kill()
    settings = Settings(home=tmp_path)
    take_turn(settings)
    take_turn(settings)  # a later step of the same pass
    assert not is_free(tmp_path)
    end_turn(settings)
    end_turn(settings)
    assert is_free(tmp_path)
