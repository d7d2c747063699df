"""Built run by run or from nothing, the warehouse is the same: on random histories, with late events and killed runs."""

import shutil
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from orchestration.transform import DBT_PROJECT
from tests.dbt_project.increments import Shop
from tests.dbt_project.shop_history import DECISIONS, START, STEPS, History
from tests.identity.histories import Decision, decisions_table

BROKEN_OFF_AFTER = (
    "evidence_customers",
    "touched_customers",
    "orders",
    "refund_versions",
    "sessions",
    "activity",
    "known_evidence",
    "order_features",
    "customer_features",
)


NOT_IN_FORCE = Decision("link", ())


def live(shop: Shop, *, seed: int, runs: int) -> list[str]:
    """A random history of so many runs after the first; returns what each of them was."""
    random = Random(seed)
    history, as_of = History(random), START
    shop.land(history.events(150, since=as_of - timedelta(days=380), until=as_of))
    shop.run(as_of)
    story = []
    for _ in range(runs):
        step = random.choice(STEPS)
        count = random.choice((0, 1, 5, 12))
        if count:
            shop.land(history.events(count, since=as_of, until=as_of + step))
        as_of += step
        until = random.choice(BROKEN_OFF_AFTER) if random.random() < 0.3 else None
        in_force = [each if random.random() < 0.5 else NOT_IN_FORCE for each in DECISIONS]
        decisions = decisions_table(in_force)
        shop.run(as_of, until=until, decisions=decisions)
        made = sum(each is not NOT_IN_FORCE for each in in_force)
        story.append(f"{count} events, {made} decisions, clock +{step}" + (f", killed after {until}" if until else ""))
    if until is not None:
        shop.run(as_of, decisions=decisions)
        story.append("again")
    return story


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_a_history_in_runs_is_the_history_at_once(seed: int, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    story = live(shop, seed=seed, runs=3)
    assert shop.differences() == {}, story
    assert not any(shop.misattributed().values()), story
    assert shop.bitten() == {"shared", "review"}


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [2, *range(100, 130)])
def test_many_histories_in_runs_are_the_histories_at_once(seed: int, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    story = live(shop, seed=seed, runs=8)
    assert shop.differences() == {}, story
    assert not any(shop.misattributed().values()), story


def blind_to_time(folder: Path) -> Path:
    """A copy of the project that does not look for what passed the edge of a window."""
    project = folder / "project"
    shutil.copytree(DBT_PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    macros = project / "macros" / "touched.sql"
    text = macros.read_text(encoding="utf-8")
    start = text.index("{% macro passed_edges")
    macros.write_text(
        text[:start] + "{% macro passed_edges(instant, windows, run) -%} false {%- endmacro %}\n", encoding="utf-8"
    )
    return project


@pytest.mark.slow
@pytest.mark.nightly
def test_customers_whom_only_time_touches_are_seen_by_this_test(tmp_path: Path) -> None:
    history = History(Random(5))
    shop = Shop(tmp_path, project=blind_to_time(tmp_path))
    shop.land(history.events(60, since=START - timedelta(days=20), until=START))
    shop.run(START)
    shop.run(START + timedelta(days=8))
    assert {"customer_360.activity", "customer_360.purchases", "customer_360.visits"} <= set(shop.differences())
