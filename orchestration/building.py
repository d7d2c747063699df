"""`weft build`: dbt up to evidence, the identity engine, dbt from there; served when it is whole. No Dagster."""

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from orchestration.clock import mark_build_whole, mark_selection_built, rebuilds_events, resolve_as_of, start_run
from orchestration.consent_sweep import sweep_before_whole
from orchestration.holdout_assignments import assign_holdouts
from orchestration.memberships import settle_audiences
from orchestration.published_features import note_published_features
from orchestration.publishing import register_changes
from orchestration.quality import judge
from orchestration.resources import Platform
from orchestration.rule_audiences import build_rule_members
from orchestration.state import AudienceVersion
from orchestration.stitching import Statistics, stitch
from orchestration.sync_copies import copy_syncs
from orchestration.transform import AUDIENCES, CUSTOMERS, EVIDENCE, dbt_build, prepare_manifest
from orchestration.treatments import write_treatments
from orchestration.turns import end_turn, take_turn
from orchestration.warehouse import tables_of


def build(
    platform: Platform, *, as_of: datetime | None, select: Sequence[str] = (), quiet: bool = False
) -> tuple[Statistics, list[AudienceVersion]]:
    """Build the warehouse once with the predictions at hand; returns the engine's counts and the audiences that changed.

    Waits for a pass in progress. `select` is dbt's own selection, applied to every dbt step. Raises BuildError where a model or a
    test fails: readers keep the build before.
    """
    take_turn(platform.settings)
    try:
        return _build(platform, as_of=as_of, select=select, quiet=quiet)
    finally:
        end_turn(platform.settings)


def _build(
    platform: Platform, *, as_of: datetime | None, select: Sequence[str], quiet: bool
) -> tuple[Statistics, list[AudienceVersion]]:
    settings = platform.settings
    prepare_manifest(settings)
    build_id = f"build-{uuid4()}"
    instant = resolve_as_of(platform.state, as_of)
    with platform.warehouse.writer() as connection:
        dates = start_run(
            connection, run_id=build_id, as_of=instant, settings=settings, state=platform.state, rules=platform.rules
        )
        from_nothing = rebuilds_events(connection)
    _step(platform, select, EVIDENCE, leave_out=[CUSTOMERS, AUDIENCES], quiet=quiet, from_nothing=from_nothing)
    with platform.warehouse.writer() as connection:
        statistics = stitch(
            connection,
            rules=platform.rules,
            decisions=platform.state.decisions.table(),
            dates=dates,
            salt=platform.salt,
        )
        judge(connection, rules=platform.rules)
    _step(platform, select, CUSTOMERS, leave_out=[EVIDENCE, AUDIENCES], quiet=quiet)
    _step(platform, select, AUDIENCES, leave_out=[EVIDENCE, CUSTOMERS], quiet=quiet)
    with platform.warehouse.writer() as connection:
        if "profiles" in tables_of(connection, "audiences"):
            build_rule_members(connection, platform.state, instant)
        settle_audiences(connection, platform.state)
        sweep_before_whole(platform, connection)
        assign_holdouts(connection, platform.state)
        write_treatments(connection, platform.state)
        note_published_features(connection, settings, platform.state)
        copy_syncs(connection, platform)
        (mark_selection_built if select else mark_build_whole)(connection, build_id)
    return statistics, register_changes(platform.warehouse, platform.state)


def _step(
    platform: Platform,
    select: Sequence[str],
    step: str,
    *,
    leave_out: Sequence[str],
    quiet: bool,
    from_nothing: bool = False,
) -> None:
    exclude = leave_out if select else ()
    with platform.warehouse.dbt_turn():
        dbt_build(platform.settings, select=select or [step], exclude=exclude, quiet=quiet, from_nothing=from_nothing)
