"""Senders of automations that are killed anywhere: everybody is told once, with one code of their own, and nothing is skipped."""

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from activation.fake_destinations.faults import fail_at_random
from tests.forked import PROCESSES
from tests.orchestration.automated_shop import NAME, Fans, automation, codes, fans, run_once

POINTS = (
    "automations.read", "automations.written", "automations.committed", "automations.gated",
    "sync.planned", "sync.begun", "sync.marked", "sync.answered", "sync.settled", "automations.told",
)  # fmt: skip
"""In the order in which a run passes them, so that a process for each is killed there."""
MOST_RUNS = 120


def _deliver(shop: Fans, home: Path, more: dict[str, Any], *, crashes: list[str | None], kind: str) -> int:
    """Processes one after the other, each with its place to die, until one says that nothing is left; how many died."""
    variables = {name: os.environ[name] for name in ("WEBHOOK_SECRET", "SLACK_WEBHOOK")}
    killed = 0
    for _ in range(MOST_RUNS):
        crash_at = crashes.pop(0) if crashes else None
        shop.clock.seconds += 5  # the receiver's clock too: its limit is of requests a second
        arguments = (home, variables, more, crash_at, (shop.clock.seconds, kind))
        process = PROCESSES.Process(target=run_once, args=arguments)
        process.start()
        process.join(60)
        assert process.exitcode in (0, 3, -signal.SIGKILL)
        killed += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0 and not crashes:
            return killed
    pytest.fail(f"There was somebody left to tell after {MOST_RUNS} runs.")


def _trial(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    waves: int,
    people: int,
    faults: float,
    seed: int,
    kind: str = "sound",
) -> int:
    chance = random.Random(seed)
    more: dict[str, Any] = {"coupon": {"pool": "spring"}, "cool_down_days": 0}
    home = tmp_path / "home"
    with fans(home, monkeypatch) as (shop, vendor):
        shop.build()
        shop.run(automation(**more))
        uploaded = [f"S{number:05}" for number in range(waves * people + 5)]
        shop.platform.state.automations.load("spring", uploaded, shop.shop.as_of)
        fail_at_random(vendor, faults, seed)
        inside: list[str] = []
        killed = 0
        for wave in range(waves):
            inside += [f"w{wave}c{number}" for number in range(people)]
            shop.build(*inside)
            crashes: list[str | None] = [f"{point}:1" for point in POINTS]
            if faults:  # in any order
                crashes = chance.sample([*crashes, None, None], k=len(crashes))
            killed += _deliver(shop, home, more, crashes=crashes, kind=kind)
        given = codes(vendor)
        assert set(given) == set(inside)
        assert len(set(given.values())) == len(inside)
        assert set(given.values()) <= set(uploaded)
        assert len(vendor.effects) == len(inside)
        told = shop.platform.state.automations.of(NAME, "told")
        assert {each.customer_id: each.coupon for each in told} == given
        assert shop.platform.state.automations.pools() == {"spring": (len(uploaded) - len(inside), len(inside))}
        assert shop.platform.state.syncs.standing(f"automation.{NAME}").by_status == {"accepted": len(inside)}
    return killed


def test_killed_at_every_step_everybody_is_told_once_with_one_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _trial(tmp_path, monkeypatch, waves=1, people=40, faults=0.0, seed=1) == len(POINTS)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_killed_again_and_again_with_faults_everybody_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    assert _trial(tmp_path, monkeypatch, waves=4, people=200, faults=0.3, seed=seed) >= 12


@pytest.mark.nightly
def test_an_automation_that_moves_its_cursor_first_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError):
        _trial(tmp_path, monkeypatch, waves=1, people=20, faults=0.0, seed=1, kind="cursor first")
