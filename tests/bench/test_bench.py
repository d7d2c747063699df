"""Every benchmark runs once at a tiny size, so that none rots, some of them nightly; nothing is timed."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench import collector, log_landing, normaliser
from bench.comparison import Ratio, spread
from bench.harness import BenchError, Measurement, Run, check_agreement
from bench.identity_quality import Judged
from bench.online_retail import FILE
from bench.stitched_shops import SETTINGS

ROOT = Path(__file__).resolve().parents[2]


def report(name: str, *, size: int, folder: Path) -> str:
    command = [sys.executable, "-m", "bench", name, "--size", str(size), "--repeats", "1"]
    environment = ["env", f"TMPDIR={folder}"]
    done = subprocess.run([*environment, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == [], "a benchmark removes what it wrote"
    return done.stdout


def nightly(name: str, line: str) -> object:
    """One that takes a minute however small its input."""
    return pytest.param(name, line, marks=pytest.mark.nightly)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        nightly("landing", "| Weft land_file / DuckDB read_json |"),
        nightly("identity", "| Weft engine, 1 date / DuckDB dictionary + SciPy components |"),
        nightly("customer360", "| Weft, all events / one statement by hand |"),
        nightly("features", "| Weft, all dates / one statement by hand |"),
        nightly("publish", "| Weft, full / redis-cli --pipe |"),
        nightly("scoring", "| Weft churn.score / LightGBM predict |"),
        nightly("scoring_pass", "| Weft, everybody / Weft, 1 % changed |"),
        nightly("training", "| Weft churn.train / LightGBM train |"),
    ],
)
def test_a_benchmark_with_peers_gives_its_ratio(name: str, line: str, tmp_path: Path) -> None:
    if name == "publish" and not (Path(sys.executable).with_name("redis-cli").exists() or shutil.which("redis-cli")):
        pytest.skip("no redis-cli here")
    assert line in report(name, size=1_000, folder=tmp_path)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="no wrk here")
def test_every_collector_takes_requests_and_the_log_holds_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "WARM_SECONDS", 0)
    (tmp_path / "body.json").write_bytes(collector.batch_of(1))

    def measured(name: str) -> list[Measurement]:
        run = Run(tmp_path, tmp_path / name, size=1)
        return [Measurement(1.0, 1.0, 1.0, getattr(collector, collector.WORK[name])(run))]

    with ThreadPoolExecutor(len(collector.WORK)) as at_once:
        runs = dict(zip(collector.WORK, at_once.map(measured, collector.WORK), strict=True))
    said = collector.tables(1, runs)
    assert [line.split(" | ")[0] for line in said if " / Weft | " in line] == [
        f"| {peer} / Weft" for peer in ("FastAPI + pydantic", "bare Starlette", "the log alone")
    ]


def test_without_wrk_the_collector_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "Skipped: wrk is not installed" in collector.run(1, 1)


def test_normalised_or_copied_every_request_is_written(tmp_path: Path) -> None:
    for contender in normaliser.COMPARISON.contenders:
        run = Run(tmp_path, tmp_path / contender.work.__name__, size=200)
        [[requests_of, count]] = contender.work(run).items()
        assert count * int(requests_of.removeprefix("requests of ")) == 200


def test_what_lands_from_the_log_is_what_lands_from_the_file(tmp_path: Path) -> None:
    landed = []
    log_landing.COMPARISON.prepare(Run(tmp_path, tmp_path, size=300))
    for contender in log_landing.COMPARISON.contenders:
        scratch = tmp_path / contender.work.__name__
        scratch.mkdir()
        landed.append(contender.work(Run(tmp_path, scratch, size=300)))
    assert landed == [{"events": 300}] * 2


@pytest.mark.nightly
def test_the_normalisers_latency_is_that_of_every_request(tmp_path: Path) -> None:
    assert "| 100 a request | 50 |" in report("normaliser_latency", size=1, folder=tmp_path)


@pytest.mark.nightly
def test_the_whole_pass_says_its_seconds_by_stage_and_publishes_nothing_the_second_time(tmp_path: Path) -> None:
    first, again = report("whole_pass", size=1_000, folder=tmp_path).splitlines()[7:9]
    assert first.startswith("| first pass |")
    assert again.startswith("| again, unchanged |")
    assert again.endswith("| 0 |")


@pytest.mark.nightly
def test_identity_quality_says_for_every_shop_what_was_met(tmp_path: Path) -> None:
    said = report("identity_quality", size=1_000, folder=tmp_path).splitlines()
    assert [line.split(" | ")[0] for line in said if line.startswith("| ")][1:] == [
        f"| {setting.label}" for setting in SETTINGS.values()
    ]


def test_a_shop_that_misses_a_target_says_which() -> None:
    weft = {"pairwise_precision": 0.995, "pairwise_recall": 0.9599, "exact_share": None}
    runs = [{"weft": weft}, {"weft": weft | {"pairwise_recall": 0.9}}]
    assert Judged(SETTINGS["default-7"], runs).verdict() == "**missed**: pairwise_recall, exact_share"
    assert Judged(SETTINGS["default-7"], [{"weft": dict.fromkeys(weft, 1.0)}]).verdict() == "met"
    assert Judged(SETTINGS["hard"], runs).verdict() == ""


@pytest.mark.nightly
@pytest.mark.skipif(not FILE.exists(), reason="shared data is not here")
def test_online_retail_lands_whole_and_its_revenue_is_that_of_the_file(tmp_path: Path) -> None:
    said = report("online_retail", size=1, folder=tmp_path)
    assert "| 541,909 |" in said
    assert "4,372 customers, equal for every customer" in said


def test_contenders_that_did_not_do_the_same_work_are_refused() -> None:
    measured = {name: [Measurement(1.0, 1.0, 1.0, {"rows": rows})] for name, rows in (("one", 1), ("two", 2))}
    with pytest.raises(BenchError, match="not the same work"):
        check_agreement(measured)


def test_a_ratio_is_taken_turn_by_turn_and_shown_with_its_spread() -> None:
    runs = {
        name: [Measurement(s, s, 1.0, {}) for s in seconds]
        for name, seconds in {"a": (2, 6, 4), "b": (2, 2, 2)}.items()
    }
    assert Ratio("a", "b", at_most=1.5).row(runs) == [
        "a / b",
        "2.00 (1.00-3.00)",
        "2.00 (1.00-3.00)",
        "<= 1.5",
        "**missed**",
    ]
    assert Ratio("a", "b", at_least=2).row(runs)[-1] == "met"
    assert spread([1.234]) == "1.23"
