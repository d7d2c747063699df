"""Named places where this very process kills itself, so that tests can show what a kill there leaves behind.

`WEFT_CRASH_AT=landing.before_commit:3` sends SIGKILL on the third pass of that point; it is refused unless
WEFT_ALLOW_CRASHES=1. The stages announce their steps through `on_step`; `failpoints("landing")` is what orchestration
hands to them.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestration.errors import SettingsError

FAILPOINTS: dict[str, tuple[str, ...]] = {
    "landing": ("file_begun", "staged", "rejects_written", "rows_written", "before_commit", "committed"),
    "crm": ("page_written", "file_in_place", "cursor_saved"),
    "collector": (
        "received", "authenticated", "before_append", "before_answer", "upload_received", "upload_in_place",
    ),
    "normaliser": ("read", "before_write", "written", "before_trim"),
    "log_landing": (
        "after_read", "staged", "rejects_written", "rows_written", "before_commit", "committed", "confirmed",
    ),
    "replay": ("read", "staged", "rejects_written", "rows_written", "before_commit", "committed"),
    "automations": ("read", "written", "committed", "gated", "told"),
    "stitching": ("resolved", "before_commit", "committed"),
    "training": ("trained", "files written", "files in place", "registered"),
    "scoring": ("scored", "committed"),
    "memberships": ("compared", "written", "before_commit", "committed"),
    "profiles": ("planned", "begun", "written", "snapshot", "identifiers", "removals", "complete"),
    "sync": ("planned", "begun", "marked", "answered", "paused", "settled"),
    "audience": ("planned", "registered", "copied", "staged", "switched", "remembered"),
}  # fmt: skip
"""Every point by the work that passes it. Other steps (a percentage of the way) are no failpoints."""

OnStep = Callable[[str], None]


@dataclass
class _Switch:
    """The point to die at and on which pass; None outside of tests."""

    point: str | None = None
    on_pass: int = 1
    passed: Counter[str] = field(default_factory=Counter)


_SWITCH = _Switch()


def arm(crash_at: str | None, *, is_allowed: bool) -> None:
    """Set the switch to `<work>.<point>[:n]` (None: off). Raises SettingsError with one sentence.

    Asked for the same again, the passes counted so far stand.
    """
    point, on_pass = _parsed(crash_at) if crash_at else (None, 1)
    if point and not is_allowed:
        raise SettingsError(
            "WEFT_CRASH_AT kills this process and is for tests only; unset it, or set WEFT_ALLOW_CRASHES=1."
        )
    if (point, on_pass) != (_SWITCH.point, _SWITCH.on_pass):
        _SWITCH.point, _SWITCH.on_pass = point, on_pass
        _SWITCH.passed.clear()


def failpoints(work: str) -> OnStep:
    """The `on_step` of a work of FAILPOINTS: where the switch names the step that it is called with, the process dies."""
    assert work in FAILPOINTS

    def reached(step: str) -> None:
        point = f"{work}.{step}"
        if point == _SWITCH.point:
            _SWITCH.passed[point] += 1
            if _SWITCH.passed[point] == _SWITCH.on_pass:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _parsed(crash_at: str) -> tuple[str, int]:
    point, _, count = crash_at.partition(":")
    work, _, step = point.partition(".")
    if step not in FAILPOINTS.get(work, ()):
        known = ", ".join(f"{work}.{step}" for work, steps in FAILPOINTS.items() for step in steps)
        raise SettingsError(f"WEFT_CRASH_AT={crash_at} names no failpoint; use one of {known}.")
    if count and not (count.isdecimal() and int(count) > 0):
        raise SettingsError(f"WEFT_CRASH_AT={crash_at}: after the colon stands on which pass to die, 1 or more.")
    return point, int(count or 1)
