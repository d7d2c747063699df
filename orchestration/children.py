"""Services as child processes: started, started again when they end, and stopped together in an order."""

import fcntl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from orchestration.errors import ServiceError
from orchestration.guardian import KILL_SECONDS, STOP_SECONDS, end_groups, has_members
from orchestration.settings import PROJECT_ROOT

FREE_RESTARTS, WITHIN_SECONDS = 5, 600
"""So often within this time (seconds) a service is started again at once; then after a pause that doubles, up to a minute."""
LONGEST_PAUSE_SECONDS = 60
LOOK_SECONDS = 0.2
_MOST_WAVES = 4


@dataclass
class _Child:
    """One service: its command, and the process that it is at present. Waves stop one after the other, the lowest first."""

    name: str
    command: Sequence[str | Path]
    wave: int
    process: subprocess.Popen[bytes]
    ends: list[float] = field(default_factory=list)
    start_at: float | None = None


class Children:
    """The services of one `weft up`. Leaving the block stops them; if this process is killed, the guardian does.

    `guarded_by` is a lock that the guardian holds on to until it has ended all of them.
    """

    def __init__(self, logs: Path, guarded_by: IO[str], say: Callable[[str], None]) -> None:
        self._logs = logs
        self._guarded_by = guarded_by
        self._say = say
        self._children: dict[str, _Child] = {}
        self._groups: dict[int, int] = {}  # wave by process group, as long as one has members
        self._guardian: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / "guardian.log").open("ab") as log:
            self._guardian = subprocess.Popen(
                [sys.executable, "-m", "orchestration.guardian"],
                cwd=PROJECT_ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us
                pass_fds=[self._guarded_by.fileno()],
            )
        return self

    def __exit__(self, *_: Any) -> None:
        assert self._guardian is not None
        try:
            for wave in sorted(set(self._groups.values())):
                end_groups([group for group, of in self._groups.items() if of == wave], self._reap)
        finally:
            # where that was broken off, the guardian goes on with it
            assert self._guardian.stdin is not None
            self._guardian.stdin.close()

    def start(self, name: str, command: Sequence[str | Path], *, wave: int) -> None:
        """Start a service; its output goes to <logs>/<name>.log."""
        self._children[name] = _Child(name, command, wave, self._run(name, command, wave))

    def guard(self, group: int, *, wave: int) -> None:
        """Have the guardian end a process group that we stop ourselves by other means."""
        self._tell("+", wave, group)

    def require(self, name: str) -> None:
        """Raises ServiceError where a service has ended."""
        if self._children[name].process.poll() is not None:
            raise ServiceError(f"The {name} did not start; its log is {self._logs / name}.log.")

    def look(self) -> None:
        """Start again what has ended."""
        now = time.monotonic()
        for child in self._children.values():
            if child.start_at is None and child.process.poll() is not None:
                child.start_at = now + self._pause(child, now)
            if child.start_at is not None and child.start_at <= now:
                child.process = self._run(child.name, child.command, child.wave)
                child.start_at = None

    def watch(self) -> None:
        """Return never; start again what ends."""
        while True:
            self.look()
            time.sleep(LOOK_SECONDS)

    def _pause(self, child: _Child, now: float) -> float:
        child.ends = [at for at in child.ends if now - at < WITHIN_SECONDS] + [now]
        said = f"The {child.name} ended with code {child.process.returncode}"
        too_often = len(child.ends) - FREE_RESTARTS
        if too_often <= 0:
            self._say(f"{said}; it is started again.")
            return 0.0
        pause = float(min(2**too_often, LONGEST_PAUSE_SECONDS))
        self._say(f"{said}, again and again; it is started again in {pause:.0f} s. See {self._logs / child.name}.log.")
        return pause

    def _run(self, name: str, command: Sequence[str | Path], wave: int) -> subprocess.Popen[bytes]:
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=PROJECT_ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        # a killed daemon's runs may live on in its group; groups without members are forgotten, as their numbers may come again
        for group in [group for group in self._groups if not has_members(group)]:
            self._tell("-", self._groups.pop(group), group)
        self._groups[process.pid] = wave
        self._tell("+", wave, process.pid)
        return process

    def _reap(self) -> None:
        for child in self._children.values():
            child.process.poll()

    def _tell(self, sign: str, wave: int, group: int) -> None:
        assert self._guardian is not None and self._guardian.stdin is not None
        try:
            self._guardian.stdin.write(f"{sign} {wave} {group}\n".encode())
            self._guardian.stdin.flush()
        except BrokenPipeError:
            self._say("The guardian of the services was killed; if this process is as well, they will stay.")


@contextmanager
def alone_on(home: Path, say: Callable[[str], None]) -> Iterator[IO[str]]:
    """Be the only `weft up` of an installation, once what a killed one left has ended. Gives the lock for Children.

    Raises ServiceError where another one runs, or where leftovers do not end.
    """
    with (home / "up.lock").open("w") as ours, (home / "up_leftovers.lock").open("w") as leftovers:
        if not _locked(ours):
            raise ServiceError("`weft up` runs on this WEFT_HOME already; stop it first, or set another WEFT_HOME.")
        deadline = time.monotonic() + _MOST_WAVES * (STOP_SECONDS + KILL_SECONDS)
        if not _locked(leftovers):
            say("Waiting for the services of a `weft up` that was killed to end.")
            while not _locked(leftovers):
                if time.monotonic() > deadline:
                    raise ServiceError("Services of a `weft up` that was killed do not end; end them by hand.")
                time.sleep(LOOK_SECONDS)
        yield leftovers


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
