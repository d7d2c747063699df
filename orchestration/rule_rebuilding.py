"""Rules built at once instead of with the next pass: on the data of the newest whole build, asked for over the API or by an operator."""

from uuid import uuid4

import dagster as dg

from orchestration.clock import mark_selection_built
from orchestration.consent_sweep import sweep_before_whole
from orchestration.holdout_assignments import assign_holdouts
from orchestration.memberships import settle_audiences
from orchestration.publishing import register_changes
from orchestration.resources import Platform
from orchestration.rule_audiences import RuleMembers, build_rule_members
from orchestration.rule_author import REBUILD_ASKED_AT
from orchestration.runs import unfinished_run
from orchestration.schedules import WRITES, WRITING_JOBS
from orchestration.turns import end_turn, take_turn
from orchestration.warehouse import Connection, first_row, tables_of


def rebuild_rules(platform: Platform) -> RuleMembers | None:
    """Build all rules as of the newest whole build, serve them, and register what changed for the sensor that publishes.

    None where what stands in the warehouse is no whole build: a pass was broken off, and the next one builds the rules as well.
    Cost: that of the rules, and a copy of the warehouse for readers.
    """
    take_turn(platform.settings)
    try:
        with platform.warehouse.writer() as connection:
            if not _is_whole(connection):
                return None
            row = first_row(connection, "select as_of from control.current_run")
            assert row is not None, "a whole build has the row of its run"
            built = build_rule_members(connection, platform.state, row[0])
            settle_audiences(connection, platform.state)
            sweep_before_whole(platform, connection)
            assign_holdouts(connection, platform.state)
            mark_selection_built(connection, f"rules-{uuid4()}")
        register_changes(platform.warehouse, platform.state)
        return built
    finally:
        end_turn(platform.settings)


def _is_whole(connection: Connection) -> bool:
    """Whether the run that wrote last came to its end."""
    if not {"builds", "current_run"} <= tables_of(connection, "control"):
        return False
    query = (
        "select 1 from control.builds inner join control.current_run on builds.run_seq = current_run.run_seq "
        "where builds.run_seq is not null"
    )
    return first_row(connection, query) is not None


@dg.op(description="Build every rule on the data of the newest whole build, and serve it.")
def build_rules(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
    """See `rebuild_rules`."""
    built = rebuild_rules(platform)
    if built is None:
        context.log.warning("The last pass was broken off; the rules are built by the next one.")
        return
    for name, count in sorted(built.counts.items()):
        context.log.info(f"{name}: {count:,} members")
    for name, problem in built.problems.items():
        context.log.warning(f"{name} could not be built and keeps the members it had: {problem}")


@dg.job(
    name="rebuild_rules",
    tags=WRITES,
    description="Build the audiences that are rules at once; the sensor publishes what changed.",
)
def rebuild_rules_job() -> None:
    """One op."""
    build_rules()


@dg.sensor(
    job=rebuild_rules_job,
    description="Build the rules when somebody asked for it (POST /v1/audiences/{name}/rebuild).",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def rules_asked_for(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.RunRequest | dg.SkipReason:
    """One run for each time that somebody asked; what was asked for while a pass goes on comes after it."""
    asked = platform.state.setting(REBUILD_ASKED_AT)
    if asked is None or asked == context.cursor:
        return dg.SkipReason("Nobody asked for the rules to be built.")
    running = unfinished_run(context.instance, {*WRITING_JOBS, "rebuild_rules"})
    if running:
        return dg.SkipReason(f"A run of {running.job_name} is {running.status.value.lower()}; the rules come after it.")
    context.update_cursor(asked)
    return dg.RunRequest(run_key=f"rules:{asked}")
