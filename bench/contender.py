"""One run of one contender, in a process of its own: `python -m bench.contender MODULE:FUNCTION INPUTS SCRATCH SIZE ANSWER`."""

import importlib
import json
import resource
import sys
from pathlib import Path

from bench.harness import Run


def main(arguments: list[str]) -> None:
    """Run the function and write what it took and found to ANSWER (JSON); its own output may be anything."""
    address, inputs, scratch, size, answer = arguments
    module, _, function = address.partition(":")
    run = Run(Path(inputs), Path(scratch), int(size))
    facts = getattr(importlib.import_module(module), function)(run)
    measured = {
        "seconds": run.clock.seconds,
        "cpu_seconds": run.clock.cpu_seconds,
        "peak_mb": peak_mb(),
        "facts": facts,
    }
    Path(answer).write_text(json.dumps(measured), encoding="utf-8")


def peak_mb() -> float:
    """Peak resident memory of this process in MB, imports and what came before the clock included.

    getrusage would count what the parent held when it forked, so Linux is asked for this program's own peak.
    """
    status = Path("/proc/self/status")
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main(sys.argv[1:])
