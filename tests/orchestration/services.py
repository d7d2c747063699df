"""Commands of Weft as processes of their own, and what they say."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
COMMAND = ("-c", "from orchestration.cli import main; main()")


def until(look: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What `look` returns once that is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


class Service:
    """`weft <arguments>` on an installation; its output goes to a file below `home`."""

    def __init__(self, home: Path, *arguments: str, **settings: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.output = home / f"{'-'.join(arguments[:2])}.{time.monotonic_ns()}.out"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WEFT_")}
        environment |= {"WEFT_HOME": str(home), "WEFT_INSTALLATION_SALT": "tests", "PYTHONPATH": str(ROOT)} | settings
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *COMMAND, *arguments], cwd=ROOT, env=environment, stdout=out, stderr=out
            )

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def line(self, beginning: str) -> str:
        """The rest of a line that the service says sooner or later."""

        def look() -> str | None:
            found = re.search(rf"^{beginning} +(\S+)$", self.said, re.M)
            assert found or self.process.poll() is None, self.said
            return found and found[1]

        return str(until(look))

    def ended(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """The status after a signal, and how many seconds it took."""
        begun = time.monotonic()
        self.process.send_signal(how)
        return self.process.wait(PATIENCE), time.monotonic() - begun

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def weft(home: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """Run a command to its end: status and what it said, on one line."""
    with Service(home, *arguments, **settings) as command:
        status = command.process.wait(PATIENCE)
        return status, " ".join(command.said.split())
