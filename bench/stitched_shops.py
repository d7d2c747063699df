"""The product's side of the identity-quality table: one simulated shop, stitched and judged; the folder of its inputs names which."""

from dataclasses import dataclass, replace

from bench.harness import BenchError, Facts, Run
from ingestion.simulator import Difficulty, SimulationConfig, simulate
from ingestion.simulator.config import MIN_EVENTS
from orchestration.building import build
from orchestration.collecting import land_folder
from orchestration.resources import build_platform
from orchestration.truth import load_truth


@dataclass(frozen=True)
class Setting:
    """A shop to stitch: what it is called in the table, its seed, how dirty it is and how big."""

    label: str
    seed: int
    difficulty: Difficulty
    has_targets: bool = False
    part: int = 1  # one in so many of the events


def _harder(label: str, **rates: float) -> Setting:
    return Setting(label, 7, replace(Difficulty(), **rates))


SETTINGS = {
    "default-7": Setting("default, seed 7", 7, Difficulty(), has_targets=True),
    "default-1": Setting("default, seed 1", 1, Difficulty(), has_targets=True),
    "default-2": Setting("default, seed 2", 2, Difficulty(), has_targets=True),
    "default-3": Setting("default, seed 3", 3, Difficulty(), has_targets=True),
    "small": Setting("default, a tenth of the events", 7, Difficulty(), part=10),
    "easy": Setting("easy preset", 7, Difficulty.named("easy")),
    "hard": Setting("hard preset", 7, Difficulty.named("hard")),
    "families": _harder("30 % of customers share a device (8)", shared_device_share=0.3),
    "typos": _harder("5 % of typed e-mails and phones wrong (1)", typo_share=0.05),
    "kiosks": _harder(
        "10 % of visits at kiosks (2), 20 % of receipts with the store's phone (5)",
        kiosk_visit_share=0.1,
        store_phone_share=0.2,
    ),
    "quiet-kiosks": _harder("0.1 % of visits at kiosks: few logins on each", kiosk_visit_share=0.001),
    "second-emails": _harder("60 % have a second e-mail (20)", second_email_share=0.6),
    "short-cookies": _harder(
        "cookies last 20 days (120), 60 % of visits not logged in (35)",
        cookie_lifetime_days=20.0,
        stay_anonymous_share=0.6,
    ),
}


def judge(run: Run) -> Facts:
    """Simulate, land, stitch and judge through `weft build`; the rows of identity.quality by method."""
    setting = SETTINGS[run.inputs.name]
    events = max(run.size // setting.part, MIN_EVENTS)
    config = SimulationConfig(events=events, seed=setting.seed, difficulty=setting.difficulty)
    platform = build_platform()
    simulate(config, run.scratch / "shop")
    truth = (run.scratch / "shop" / "truth").rename(run.scratch / "truth")
    with run.clock.running():
        with platform.warehouse.writer() as connection:
            for file in land_folder(connection, folder=run.scratch / "shop", landed_at=config.end):
                if file.problem is not None:
                    raise BenchError(file.problem)
            load_truth(connection, truth)
        build(platform, as_of=config.end, select=["tag:evidence", "quality"], quiet=True)
        with platform.warehouse.writer() as connection:
            rows = connection.arrow("select * from identity.quality").to_pylist()
    return {row["method"]: row for row in rows}
