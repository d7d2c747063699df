"""The evidence tables after runs that only added to them are those of a build from nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from identity.tables import DECISIONS
from ingestion.simulator import Difficulty, SimulationConfig
from orchestration.clock import mark_build_whole, start_run
from orchestration.collecting import land_folder
from orchestration.demo import put_into_inbox, simulate_once
from orchestration.resources import Platform, build_platform
from orchestration.state import utc_now
from orchestration.stitching import Statistics, stitch
from orchestration.transform import EVIDENCE, dbt_build

BUILT = ("evidence", "superseded_keys", "evidence_identifiers", "identifiers", "evidence_customers")


def build(platform: Platform, as_of: datetime) -> Statistics:
    """What a pass does up to whose the evidence is."""
    with platform.warehouse.writer() as connection:
        list(land_folder(connection, folder=platform.settings.inbox, landed_at=utc_now()))
        dates = start_run(
            connection,
            run_id="run",
            as_of=as_of,
            settings=platform.settings,
            state=platform.state,
            rules=platform.rules,
        )
    dbt_build(platform.settings, select=[EVIDENCE], quiet=True)
    with platform.warehouse.writer() as connection:
        done = stitch(
            connection, rules=platform.rules, decisions=DECISIONS.empty_table(), dates=dates, salt=platform.salt
        )
    dbt_build(platform.settings, select=["order_evidence", "touched_evidence", "evidence_customers"], quiet=True)
    with platform.warehouse.writer() as connection:
        mark_build_whole(connection, f"build at {as_of}")
    return done


def contents(platform: Platform) -> dict[str, list[tuple[Any, ...]]]:
    with platform.warehouse.writer() as connection:
        columns = {table: "* exclude (changed_seq)" if table == "evidence" else "*" for table in BUILT}
        return {
            table: sorted(connection.rows(f"select {columns[table]} from identity.{table}"), key=repr)
            for table in BUILT
        }


REPEATED = """
    insert into raw.events
    select * replace (
        (select max(landed_seq) from raw.events) + row_number() over (order by landed_seq) as landed_seq,
        'again ' || message_id as message_id,
        occurred_at - interval 1 hour as occurred_at,
        known_at + case when landed_seq % 20 = 0 then interval 3 hour else - interval 1 hour end as known_at
    )
    from raw.events
    where landed_seq % 10 = 0
"""
"""Every tenth event again, landed late, an hour earlier and under another id: sets move to an earlier key, half of them to one
that was known later."""


@pytest.mark.nightly
def test_growing_evidence_equals_evidence_built_from_nothing(tmp_path: Path, home: Path) -> None:
    platform = build_platform(home=tmp_path / "home", duckdb_path=tmp_path / "warehouse.duckdb")
    config = SimulationConfig(events=3_000, seed=5, difficulty=Difficulty.named("easy"))
    simulate_once(config, tmp_path / "shop")
    put_into_inbox(tmp_path / "shop", platform.settings.inbox)
    late = sorted(path for path in platform.settings.inbox.rglob("*") if path.is_file())[::3]
    held = [path.rename(tmp_path / f"{number}-{path.name}") for number, path in enumerate(late)]

    assert build(platform, config.end - timedelta(days=20)).decided_in_full == "nothing was decided before"
    for path, place in zip(held, late, strict=True):
        path.rename(place)
    with platform.warehouse.writer() as connection:
        connection.execute(REPEATED)
    build(platform, config.end - timedelta(days=1))
    done = build(platform, config.end)
    assert (done.decided_in_full, done.decided_identifiers < done.identifiers) == ("no", True)

    grown = contents(platform)
    dbt_build(platform.settings, select=BUILT, quiet=True, from_nothing=True)
    rebuilt = contents(platform)
    assert all(len(rows) > 20 for rows in grown.values())
    for table in BUILT:
        assert grown[table] == rebuilt[table], table
