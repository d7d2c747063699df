"""The sensor of audiences: what changed is published, what did not is confirmed, what Redis lost is sent again."""

from collections.abc import Sequence

import dagster as dg
import redis

from orchestration.assets.activate import AUDIENCE_NAMES, CONFIRMED, OTHER_AUDIENCES, other_names
from orchestration.confirming import due, republish_lost, request, running_store
from orchestration.consent_sweep import sweep_when_idle
from orchestration.publishing import PROFILES, REQUESTED, pending_versions, register_changes
from orchestration.registering import gate_problems
from orchestration.resources import Platform
from orchestration.runs import goes_on, runs_going_on
from orchestration.schedules import confirm, publish, publish_other
from orchestration.state import AudienceVersion, utc_now

ASSETS_OF_THEIR_OWN = {PROFILES, *AUDIENCE_NAMES}


@dg.sensor(
    jobs=[publish, publish_other, confirm],
    description="Publish every audience, and the profiles, whose content or definition changed; again those that failed, "
    "were killed, or are no longer in Redis. Tell readers of audiences that a new build left unchanged.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def audience_changed(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.SensorResult | dg.SkipReason:
    """Request one publication for every version registered since the cursor, and again for those that failed; and one run for all
    confirmations that readers are owed.

    First registers what changed without us, an analyst's own `dbt build` included. The cursor is the last version seen; the run
    key is audience, version and try, and each try is written down, so that neither a restart nor a repeated tick publishes twice or
    skips one.
    """
    state, now = platform.state, utc_now()
    sweep_when_idle(platform)  # what a landing that was killed did not come to
    register_changes(platform.warehouse, state, wait=False)
    for problem in gate_problems(state).values():
        context.log.warning(problem)
    _notice_losses(context, platform)
    cursor = int(context.cursor or 0)

    def run_of(version: AudienceVersion, attempt: int) -> bool | None:
        return goes_on(context.instance, _tags(version, attempt))

    def is_confirming() -> bool:
        return bool(runs_going_on(context.instance, {confirm.name}))

    pending = pending_versions(state, after=cursor, now=now, run_of=run_of)
    wanted, problems = due(state, now=now, goes_on=is_confirming)
    for problem in problems:
        context.log.warning(problem)
    requests = [_publication(version, attempt) for version, attempt in pending]
    if wanted:
        requests.append(
            dg.RunRequest(run_key=request(state, wanted), job_name=confirm.name, asset_selection=[CONFIRMED])
        )
    for version, attempt in pending:
        # written before the run is there: where this process dies in between, the lease ends and the next try is asked for
        state.record_publication(version.audience, version.version, attempt, REQUESTED)
    if not requests:
        return dg.SkipReason("No audience has changed.")
    return dg.SensorResult(
        run_requests=requests,
        dynamic_partitions_requests=_new_partitions([version.audience for version, _ in pending]),
        cursor=str(max([cursor, *(version.seq for version, _ in pending)])),
    )


def _publication(version: AudienceVersion, attempt: int) -> dg.RunRequest:
    has_asset = version.audience in ASSETS_OF_THEIR_OWN
    asset = dg.AssetKey(["redis", version.audience]) if has_asset else OTHER_AUDIENCES
    return dg.RunRequest(
        run_key=f"{version.audience}:{version.version}:{attempt}",
        job_name=publish.name if has_asset else publish_other.name,
        asset_selection=[asset],
        partition_key=None if has_asset else version.audience,
        run_config={
            "ops": {asset.to_python_identifier(): {"config": {"version": version.version, "attempt": attempt}}}
        },
        tags=_tags(version, attempt),
    )


def _tags(version: AudienceVersion, attempt: int) -> dict[str, str]:
    return {"weft/audience": version.audience, "weft/version": str(version.version), "weft/attempt": str(attempt)}


def _new_partitions(names: Sequence[str]) -> list[dg.AddDynamicPartitionsRequest]:
    others = sorted({name for name in names if name not in ASSETS_OF_THEIR_OWN})
    return [other_names.build_add_request(others)] if others else []


def _notice_losses(context: dg.SensorEvaluationContext, platform: Platform) -> None:
    """A Redis that does not answer is no loss: publications fail visibly, and are tried again."""
    try:
        with running_store(platform.settings) as client:
            lost = republish_lost(client, platform.state, now=utc_now()) if client else []
    except redis.RedisError:
        context.log.warning("Redis does not answer; what changed is published once it does.")
        return
    if lost:
        context.log.warning(f"Redis no longer holds {', '.join(lost)}; it is published again.")
