"""COLLECT, beside the pass: contacts of CRMs become files of the inbox, which the next refresh lands."""

import dagster as dg

from orchestration.crm_pulls import configured_sources, pull_source
from orchestration.errors import PullError
from orchestration.resources import Platform
from orchestration.runs import unfinished_run
from orchestration.settings import Settings

CRM_CONTACTS = dg.AssetKey(["inbox", "crm_contacts"])


@dg.asset(
    key=CRM_CONTACTS,
    group_name="collect",
    description="Contacts that changed in the CRMs of crm.yml since the last pull, as files of the inbox. Each source has its own "
    "cursor; one that fails holds up no other and goes on where it stopped.",
    output_required=False,
    kinds={"python"},
)
def crm_contacts(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Pull every source; fails at the end where one failed for another reason than a vendor's limits."""
    sources = configured_sources(platform.settings)
    problems, contacts = [], 0
    for source in sources:
        try:
            report = pull_source(platform, source)
        except PullError as error:
            context.log.warning(str(error))
            continue
        contacts += report.pulled.contacts
        (context.log.warning if report.problem else context.log.info)(report.sentence())
        if report.problem and not report.is_later:
            problems.append(report.problem)
    if problems:
        raise PullError(" ".join(problems))
    if sources:
        yield dg.Output(None, metadata={"sources": len(sources), "contacts": contacts})


crm_pulls = dg.define_asset_job(
    "crm_pulls",
    dg.AssetSelection.assets(CRM_CONTACTS),
    description="Pull the CRMs of crm.yml into the inbox; waits for no pass and holds none up.",
)


def crm_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Every hour (WEFT_HOURLY_CRON), where a crm.yml is there."""

    @dg.schedule(
        name="hourly_crm_pulls",
        job=crm_pulls,
        cron_schedule=settings.hourly_cron,
        description="Pull the CRMs of crm.yml (WEFT_HOURLY_CRON), where there is one; the inbox's sensor lands what came.",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if not settings.crm_file.exists():
            return dg.SkipReason("No CRM is configured (docs/crm.md).")
        running = unfinished_run(context.instance, {crm_pulls.name})
        return dg.SkipReason(f"The last pull is not over ({running.run_id}).") if running else dg.RunRequest()

    return tick
