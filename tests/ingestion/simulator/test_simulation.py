"""The run as a whole: layout, counts, determinism."""

from datetime import datetime
from hashlib import sha256
from pathlib import Path

import pytest

from ingestion.simulator import Difficulty, SimulationConfig, SimulationError, SimulationSummary, simulate


def fingerprints(summary: SimulationSummary) -> dict[str, str]:
    return {str(path.relative_to(summary.out)): sha256(path.read_bytes()).hexdigest() for path in summary.files}


def test_the_same_seed_writes_the_same_bytes(run_simulation):
    first, second = run_simulation(events=5_000, seed=3), run_simulation(events=5_000, seed=3)
    assert fingerprints(first) == fingerprints(second)
    assert sorted(first.files) == sorted(path for path in first.out.rglob("*") if path.is_file())


def test_another_seed_writes_another_shop(run_simulation):
    first, second = (
        fingerprints(run_simulation(events=2_000, seed=3)),
        fingerprints(run_simulation(events=2_000, seed=4)),
    )
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("difficulty", ["easy", "default", "hard"])
@pytest.mark.parametrize("events", [1_000, 6_000])
def test_the_number_of_rows_is_the_requested_one_within_two_percent(run_simulation, events, difficulty):
    summary = run_simulation(events=events, difficulty=Difficulty.named(difficulty))
    assert abs(summary.rows - events) <= 0.02 * events
    assert summary.rows == sum(summary.rows_by_source.values())


def test_many_chunks_of_people_give_one_shop_in_files_that_follow_each_other_in_time(run_simulation, shop):
    summary = run_simulation(events=20_000, chunk_events=4_000)
    assert abs(summary.rows - 20_000) <= 400
    folders = {path.parent.name for path in summary.files}
    assert folders == {"simulator_web", "simulator_pos", "simulator_whatsapp", "products", "truth"}
    medians = shop.rows(
        "select filename, median(received_at) as middle from web_files group by filename order by filename"
    )
    assert len(medians) >= 2
    assert [middle for _, middle in medians] == sorted(middle for _, middle in medians)


def test_nothing_is_known_at_or_after_the_end(shop):
    end = datetime(2026, 7, 1)
    assert shop.one("select max(received_at) from web")[0] < end
    assert shop.one("select max(exported_at::timestamp) from pos")[0] < end
    assert shop.one("select max(received_at) from whatsapp")[0] < end


def test_a_second_run_replaces_the_first_and_leaves_other_files_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    simulate(SimulationConfig(events=3_000, seed=1), tmp_path)
    summary = simulate(SimulationConfig(events=1_000, seed=1), tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {*summary.files, tmp_path / "notes.txt"}


def test_progress_is_told_after_every_chunk(tmp_path: Path):
    told: list[tuple[int, int]] = []
    simulate(
        SimulationConfig(events=5_000, seed=1, chunk_events=1_500), tmp_path, progress=lambda *step: told.append(step)
    )
    assert len(told) > 2
    assert told == sorted(told)
    assert all(done <= wanted for done, wanted in told)


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"events": 10}, "ask for 1,000 to 10,000,000"),
        ({"events": 20_000_000}, "ask for 1,000 to 10,000,000"),
        ({"days": 30}, "ask for 180 or more"),
        ({"seed": -1}, "give 0 or more"),
    ],
)
def test_an_impossible_request_says_what_to_ask_for(wrong, advice):
    with pytest.raises(SimulationError, match=advice):
        SimulationConfig(**{"events": 1_000, "seed": 1, **wrong})


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SimulationError, match="is a file"):
        simulate(SimulationConfig(events=1_000, seed=1), tmp_path / "taken")
