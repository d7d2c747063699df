"""The sensor of syncs: a new build, a changed gate, records that are due, or simply the time asks for a run of a destination."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from activation.automations.definitions import AutomationError
from activation.errors import ActivationError
from orchestration import automations_file
from orchestration.assets.sync import TAG, destination_partitions, syncs
from orchestration.automations_file import Configured
from orchestration.destinations_file import Sync
from orchestration.errors import WeftError
from orchestration.resources import Platform
from orchestration.runs import NOT_OVER, is_dead
from orchestration.state import utc_now
from orchestration.sync_books import SyncRun
from orchestration.sync_gate import WarehouseGate
from orchestration.syncing import Syncing, configured


@dataclass(frozen=True)
class Seen:
    """What there is to be sent from, and the state of each sync: its last run, when its first open record is due."""

    build_id: str | None
    revisions: Mapping[str, str]
    last_runs: Mapping[str, SyncRun]
    due: Mapping[str, datetime | None]
    pauses: Mapping[str, datetime | None]


def reason_to_run(destination_syncs: Sequence[Sync | Configured], seen: Seen, now: datetime) -> str | None:
    """Why a destination wants a run now; None where it does not. One that rests is not asked, whatever is new."""
    destination = destination_syncs[0].destination
    until = seen.pauses.get(destination.name)
    if seen.build_id is None or (until is not None and until > now):
        return None
    for sync in destination_syncs:
        last = seen.last_runs.get(sync.name)
        if last is None:
            return f"{sync.name} was never run."
        is_old = now - last.started_at >= timedelta(minutes=destination.every)
        if is_old:
            return f"{sync.name} was run {destination.every} minutes ago."
        if (last.build_id, last.revision) != (seen.build_id, seen.revisions.get(sync.name)):
            return f"{sync.name} has members of another build, or another gate."
        due = seen.due.get(sync.name, now + timedelta(days=1))
        if last.status != "failed" and (due is None or due <= now):
            return f"{sync.name} has records that are due."
    return None


@dg.sensor(
    job=syncs,
    description="Send a destination of destinations.yml what changed: after a new build, a changed gate, when records are due, and "
    "every so often.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def syncs_due(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.SensorResult | dg.SkipReason:
    """One run request per destination that wants one and has none going on. The cursor counts the requests of each: with it in the run
    key neither a restart nor a repeated tick asks twice, and one that failed can be asked for again."""
    if not platform.settings.destinations_file.exists():
        return dg.SkipReason("No destination is configured (docs/syncs.md).")
    try:
        found: list[Sync | Configured] = [*configured(platform), *_automations(context, platform)]
        state, now = platform.state, utc_now()
        books, gate = state.syncs, WarehouseGate()
        revisions = {each.name: gate.revision(state, Sync(each.audience, each.destination)) for each in found}
        build_id = platform.warehouse.served_build()
        seen = Seen(build_id, revisions, books.last_runs(), books.open_syncs(), books.pauses())
    except (WeftError, ActivationError) as error:
        return dg.SkipReason(str(error))
    by_destination: dict[str, list[Sync | Configured]] = {}
    for sync in found:
        by_destination.setdefault(sync.destination.name, []).append(sync)
    cursor: dict[str, int] = json.loads(context.cursor or "{}")
    busy, syncing = _running(context.instance), Syncing(platform)
    requests, reasons = [], []
    for name, some in by_destination.items():
        reason = reason_to_run(some, seen, now)
        if reason is None or name in busy or syncing.is_busy(name):
            continue
        cursor[name] = cursor.get(name, 0) + 1
        reasons.append(reason)
        requests.append(dg.RunRequest(run_key=f"{name}:{cursor[name]}", partition_key=name, tags={TAG: name}))
    known = set(context.instance.get_dynamic_partitions(str(destination_partitions.name)))
    changes: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    if new := sorted(by_destination.keys() - known):
        changes.append(destination_partitions.build_add_request(new))
    if gone := sorted(known - by_destination.keys()):
        changes.append(destination_partitions.build_delete_request(gone))
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else "Nothing is due.",
        cursor=json.dumps(cursor),
        dynamic_partitions_requests=changes,
    )


def _automations(context: dg.SensorEvaluationContext, platform: Platform) -> list[Configured]:
    """A mistake in automations.yml holds up no sync."""
    try:
        return [each for each in automations_file.configured(platform) if each.automation.enabled]
    except AutomationError as error:
        context.log.warning(str(error))
        return []


def _running(instance: dg.DagsterInstance) -> set[str]:
    """Destinations that a run waits for or sends to."""
    runs = instance.get_runs(dg.RunsFilter(job_name=syncs.name, statuses=NOT_OVER))
    return {run.tags.get(TAG, "") for run in runs if not is_dead(instance, run)}
