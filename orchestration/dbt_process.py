"""A process that imports dbt and parses the project once, and forks another for every command that it is given.

Both together cost some four seconds of CPU, more than the models of a small shop do, and a pass runs dbt three times. A forked process
is still one of its own: when it ends, the warehouse's file and lock are free.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_STOP_SECONDS = 10


class DbtProcess:
    """Our end of it. Started with the first command, ended with this process; for one command at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._parsed: object = None

    def run(self, arguments: Sequence[str], *, project: Path, environment: Mapping[str, str], parsed: object) -> int:
        """Run a dbt command in `environment` on `project`; its exit code. What dbt says goes where our own output goes.

        `parsed` stands for all that dbt's description of the project hangs on: where it is another than before, dbt reads it again.
        """
        if self._process is None or self._process.poll() is not None or parsed != self._parsed:
            self.end()
            self._process = _started(project, environment)
            self._parsed = parsed
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        request = {"arguments": list(arguments), "environment": dict(environment)}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        if answer := process.stdout.readline():
            return int(answer)
        return process.wait() or 1  # it ended instead of answering: the project cannot be parsed, or somebody killed it

    def end(self) -> None:
        """Let the process end, where there is one."""
        if self._process is not None:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait(_STOP_SECONDS)
            self._process.stdout.close()
            self._process = None


def _started(project: Path, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    output = os.dup(1)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(output)],
            cwd=project,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[output],
            text=True,
        )
    finally:
        os.close(output)


DBT_PROCESS = DbtProcess()
"""The one of this process."""
atexit.register(DBT_PROCESS.end)


def main(output: int) -> None:
    """The other end: reads commands, a line each, from stdin, and writes their exit codes to what was stdout."""
    answers = os.dup(1)
    os.dup2(output, 1)
    os.close(output)
    from dbt.cli.main import dbtRunner  # noqa: PLC0415  (our end of it would pay for the import)
    from dbt.contracts.graph.manifest import Manifest  # noqa: PLC0415

    described = dbtRunner().invoke(["--quiet", "parse", "--no-write-json"])
    manifest = described.result
    if not described.success or not isinstance(manifest, Manifest):
        sys.exit(1)
    at_ctrl_c = signal.signal(signal.SIGINT, signal.SIG_IGN)  # dbt is interrupted, and we answer that it was
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, at_ctrl_c)
            os.environ.clear()  # noqa: TID251  (for dbt, which reads it)
            os.environ.update(request["environment"])  # noqa: TID251
            done = dbtRunner(manifest=manifest).invoke(["--no-write-json", *request["arguments"]])
            sys.exit(0 if done.success else 1)
        _, status = os.waitpid(child, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
