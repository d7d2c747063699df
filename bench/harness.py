"""Run contenders side by side: every run in a fresh process of its own, interleaved, on inputs that were prepared once."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

Facts = dict[str, Any]
"""What a run found, by name: counts and hashes. Contenders that name the same fact must agree on it."""


class BenchError(Exception):
    """A benchmark cannot be run or its contenders disagree; one sentence."""


@dataclass
class Clock:
    """Wall and CPU seconds (this process and its ended children) of the blocks it ran for."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the time of the block."""
        cpu, wall = sum(os.times()[:4]), time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - wall
            self.cpu_seconds += sum(os.times()[:4]) - cpu


@dataclass(frozen=True)
class Run:
    """What a contender is handed: `inputs` holds what was prepared, `scratch` is empty and its own."""

    inputs: Path
    scratch: Path
    size: int
    clock: Clock = field(default_factory=Clock)


Work = Callable[[Run], Facts]


@dataclass(frozen=True)
class Contender:
    """One way to do the work: a module's function that runs `clock` from input to commit."""

    name: str
    work: Work


@dataclass(frozen=True)
class Measurement:
    """One run of one contender."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    facts: Facts


def measure(work: Work | str, *, inputs: Path, size: int) -> Measurement:
    """Run a function (or `module:function`, where this process must not import it) once in a fresh process.

    Its scratch folder is removed afterwards; its environment names an installation of Weft of its own, so that nobody's
    warehouse or Redis is touched.
    """
    with tempfile.TemporaryDirectory(prefix="run-", dir=inputs.parent) as folder:
        scratch, answer = Path(folder) / "scratch", Path(folder) / "answer.json"
        scratch.mkdir()
        address = work if isinstance(work, str) else f"{work.__module__}:{work.__qualname__}"
        arguments = [address, str(inputs), str(scratch), str(size), str(answer)]
        run_in_installation([sys.executable, "-m", "bench.contender", *arguments], home=scratch / "weft")
        return Measurement(**json.loads(answer.read_text(encoding="utf-8")))


def run_in_installation(command: Sequence[str], *, home: Path) -> None:
    """Run a command that sees an installation in `home` and no other. Raises BenchError with the end of what it said."""
    settings = {
        "WEFT_HOME": home,
        "WEFT_DUCKDB_PATH": home / "warehouse.duckdb",
        "WEFT_TARGET": "duckdb",
        "WEFT_INSTALLATION_SALT": "bench",
        "REDIS_URL": "",
        "DAGSTER_HOME": home / "dagster",
    }
    environment = ["env", *(f"{name}={value}" for name, value in settings.items())]
    done = subprocess.run([*environment, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-15:]
        raise BenchError(f"{' '.join(command[1:4])} ended with {done.returncode}:\n" + "\n".join(said))


def interleaved(
    contenders: Sequence[Contender], *, inputs: Path, size: int, repeats: int
) -> dict[str, list[Measurement]]:
    """Measure every contender `repeats` times, turn by turn, so that a busy minute hits all of them."""
    measured: dict[str, list[Measurement]] = {contender.name: [] for contender in contenders}
    for turn in range(repeats):
        for contender in contenders:
            one = measure(contender.work, inputs=inputs, size=size)
            measured[contender.name].append(one)
            print(f"  {turn + 1}/{repeats} {contender.name}: {one.seconds:.2f} s", file=sys.stderr, flush=True)
    check_agreement(measured)
    return measured


VARYING = "bytes"
"""How a fact begins that two runs of the same work may differ in: memory depends on how a server's hash tables grew."""


def check_agreement(measured: dict[str, list[Measurement]]) -> None:
    """Raise BenchError where contenders did not find the same facts."""
    agreed: Facts = {}
    for name, runs in measured.items():
        for fact, value in ((fact, value) for run in runs for fact, value in run.facts.items()):
            if agreed.setdefault(fact, value) != value and not fact.startswith(VARYING):
                raise BenchError(f"{name} found {fact} = {value}, another found {agreed[fact]}: not the same work.")


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder with an empty `inputs` in it (under TMPDIR), removed at the end; yields `inputs`."""
    folder = Path(tempfile.mkdtemp(prefix="weft-bench-"))
    try:
        (folder / "inputs").mkdir()
        yield folder / "inputs"
    finally:
        shutil.rmtree(folder)
