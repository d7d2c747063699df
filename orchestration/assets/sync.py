"""ACTIVATE, beside the pass: audiences at the destinations of destinations.yml, one partition each."""

import dagster as dg

from activation.automations.definitions import AutomationError
from activation.syncs.engine import Report
from activation.syncs.fingerprints import Fingerprints
from orchestration import automations_file
from orchestration.automation_runs import Automating
from orchestration.errors import SyncBusyError
from orchestration.resources import Platform
from orchestration.syncing import Syncing, configured

DESTINATIONS = dg.AssetKey(["destinations", "syncs"])
destination_partitions = dg.DynamicPartitionsDefinition(name="destinations")
TAG = "weft/destination"
"""Runs with the same value of it go on one at a time (dagster.yaml)."""


@dg.asset(
    key=DESTINATIONS,
    group_name="activate",
    partitions_def=destination_partitions,
    deps=[["control", "audience_versions"]],
    description="What each destination of destinations.yml holds of the audiences that go there. One partition is one destination: one "
    "that is slow or fails holds up no other.",
    output_required=False,
    kinds={"python"},
)
def destination_syncs(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Run the syncs of one destination, then its automations; fails at the end where one of them did."""
    name, run_id, syncing = context.partition_key, context.run.run_id, Syncing(platform)
    failed = []
    try:
        chosen = [sync for sync in configured(platform) if sync.destination.name == name]
        reports = syncing.run_destination(chosen, run_id=run_id)
        try:
            automated = [each for each in automations_file.configured(platform) if each.destination.name == name]
        except AutomationError as error:
            failed.append(str(error))
        else:
            reports += [ran.report for ran in Automating(platform, syncing).run_destination(automated, run_id=run_id)]
    except SyncBusyError as error:
        context.log.warning(str(error))
        return
    books = platform.state.syncs.last_runs()
    for report in reports:
        told = books[report.sync].sentence() if report.sync in books else f"{report.sync}: {report.words}"
        (context.log.warning if report.status == "failed" else context.log.info)(told)
        if report.status == "failed":
            failed.append(told)
    if failed:
        raise dg.Failure(" ".join(failed), metadata=_metadata(platform, reports))
    yield dg.MaterializeResult(metadata=_metadata(platform, reports))


def _metadata(platform: Platform, reports: list[Report]) -> dict[str, dg.MetadataValue]:
    """Counts, and what was said of records that were not accepted: names of records are hashes."""
    names = ("planned", "accepted", "refused", "retried", "quarantined", "pending")
    totals = {name: sum(getattr(report.totals, name) for report in reports) for name in names}
    held = sum(platform.state.syncs.standing(report.sync).held for report in reports)
    return {
        "dagster/row_count": dg.MetadataValue.int(held),
        "rows_touched": dg.MetadataValue.int(totals["accepted"]),
        **{name: dg.MetadataValue.int(count) for name, count in totals.items()},
        "problems": dg.MetadataValue.md(_problems(platform, reports)),
    }


def _problems(platform: Platform, reports: list[Report]) -> str:
    lines = ["| sync | records | words |", "|---|---|---|"]
    for report in reports:
        lines += [f"| {report.sync} | {count:,} | {_plain(words)} |" for words, count in report.samples.items()]
        shown = Fingerprints(platform.salt, report.sync).shown
        for problem in platform.state.syncs.problems(report.sync, limit=5) if report.samples else ():
            lines.append(f"| {report.sync} | {shown(problem['record_key'])} | {_plain(problem['words'] or '')} |")
    return "\n".join(lines) if len(lines) > 2 else "none"


def _plain(words: str) -> str:
    return words.replace("|", "/").replace("<", "(")


syncs = dg.define_asset_job(
    "syncs",
    dg.AssetSelection.assets(DESTINATIONS),
    description="Send one destination what changed; waits for no pass and holds none up.",
)
