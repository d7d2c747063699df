"""Ends the services of a `weft up` that was killed: `python -m orchestration.guardian`, started by it and told which process groups it has.

Its input is a pipe from `weft up`, in lines `+ WAVE GROUP` and `- WAVE GROUP`. The pipe ends when `weft up` does, however that came; what
is still there then is asked to end, one wave after the other, and made to where it does not. Standard library only: it should cost nothing.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Collection

STOP_SECONDS = 20.0
KILL_SECONDS = 2.0
_POLL_SECONDS = 0.1


def end_groups(groups: Collection[int], reap: Callable[[], object] = lambda: None) -> None:
    """Ask process groups to end (SIGINT) and kill those that have not after STOP_SECONDS; returns once they are gone.

    `reap` is called while they are waited for: an ended child that nobody asked for stays a member of its group. One that nobody ever
    asks for (a container without an init) is waited for KILL_SECONDS more.
    """
    for told, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        for group in groups:
            if has_members(group):
                os.killpg(group, told)
        deadline = time.monotonic() + seconds
        while any(map(has_members, groups)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
            reap()
        groups = [group for group in groups if has_members(group)]


def has_members(group: int) -> bool:
    """Whether a process group has any process left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of processes that have ended
        return False
    return True


def main() -> None:
    """Wait for the end of the pipe, then end what is left."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    left: dict[int, set[int]] = {}
    for line in sys.stdin:
        sign, wave, group = line.split()
        if sign == "+":
            left.setdefault(int(wave), set()).add(int(group))
        else:
            left.get(int(wave), set()).discard(int(group))
    for wave in sorted(left):
        end_groups(left[wave])


if __name__ == "__main__":
    main()
