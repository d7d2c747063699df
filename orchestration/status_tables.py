"""The status of an installation as a person reads it, in 80 columns."""

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestration.build_status import BuildStatus, QualityStatus
from orchestration.log_passes import LogLanding
from orchestration.log_status import LogStatus
from orchestration.status import Status

NOTHING_YET = "Nothing is here yet: type `weft demo` for a simulated shop, or `weft import FILE --mapping NAME` and then `weft run`."
NOT_BUILT = "No whole build is served yet: type `weft run`."
STALE_RATES_DAYS = 31


def status_tables(status: Status) -> Iterator[RenderableType]:
    """The parts in the order of the pipeline; problems come first."""
    if status.is_empty:
        yield NOTHING_YET
        return
    yield from _problems(status)
    yield _installation(status)
    if status.served is None:
        yield NOT_BUILT
    else:
        yield _sources(status.served, status.checked_at)
        yield _tables(status.served, status.checked_at)
        yield _models(status.served, status.checked_at)
    yield _audiences(status)
    yield _pulls(status)
    yield _runs(status)


def _problems(status: Status) -> Iterator[Text]:
    for file, problem in sorted(status.inbox_problems.items()):
        yield Text(f"inbox/{file} was not landed: {problem}", style="yellow")
    if status.log and status.log.problem:
        yield Text(status.log.problem, style="yellow")
    if status.log and status.log.last_landing and status.log.last_landing.problem:
        yield Text(f"The last landing of the event log: {status.log.last_landing.problem}", style="yellow")
    for pull in status.crm_pulls:
        if pull.problem:
            yield Text(f"The last pull of {pull.source}: {pull.problem}", style="yellow")
    for name, problem in sorted(status.gate_problems.items()):
        yield Text(f"{name} is not published: {problem}", style="yellow")
    yield from (Text(problem, style="yellow") for _, problem in sorted(status.stuck_publications.items()))
    for each in status.audiences:
        if each.held:
            approve = f"`weft audience approve {each.audience}` lets it pass."
            yield Text(f"{each.audience} v{each.version} is held back: {each.held} {approve}", style="yellow")
    for run in status.last_runs:
        if run.status in ("failure", "dead"):
            yield Text(f"The last run of {run.job} is {run.status} ({run.run_id}).", style="yellow")
    if status.served and status.served.newest_rate_date:
        age = (status.served.as_of.date() - status.served.newest_rate_date).days
        if age > STALE_RATES_DAYS:
            yield Text(
                f"The newest exchange rate was {age:,} days old at the build's as-of (docs/sources.md).", style="yellow"
            )


def _installation(status: Status) -> Table:
    table = _titled("Installation", "", "")
    served, online = status.served, status.redis
    table.add_row("home", status.home)
    table.add_row("warehouse", f"{status.target}, {_size(status.bytes_by_part['warehouse'])}")
    table.add_row("writer", "somebody writes right now" if status.is_being_written else "nobody writes")
    table.add_row("run clock", f"pinned at {status.pinned_as_of}" if status.pinned_as_of else "now")
    if served:
        table.add_row("served build", f"{served.build_id}, {_age(served.completed_at, status.checked_at)} old")
        table.add_row("whole builds", f"{served.whole_builds:,} so far")
        table.add_row("as of", f"{served.as_of:%Y-%m-%d %H:%M}")
        table.add_row("identity", _identity(served))
        if served.identity_quality:
            table.add_row("identity quality", _quality(served.identity_quality))
        table.add_row("newest rate", str(served.newest_rate_date or "none"))
    sizes = (
        f"{_size(online.memory_bytes or 0)}, {online.keys or 0:,} keys" if online.is_reachable else "does not answer"
    )
    table.add_row("Redis", f"{online.address}: {sizes}")
    if status.log:
        table.add_row("event log", _log(status.log, status.checked_at))
    if status.log and status.log.last_landing:
        table.add_row("last of it landed", _log_landing(status.log.last_landing, status.checked_at))
    if status.log or status.write_keys:
        table.add_row("write keys", f"{status.write_keys:,}")
    parts = ", ".join(f"{part} {_size(size)}" for part, size in status.bytes_by_part.items() if part != "warehouse")
    table.add_row("disk", f"{parts}; {_size(status.free_bytes)} free")
    return table


def _log(log: LogStatus, now: datetime) -> str:
    if log.backlog is None:
        return f"{log.address}: does not answer"
    backlog = log.backlog
    waits = f"waits since {_age(backlog.waiting_since, now)}" if backlog.is_waiting else "all of it has landed"
    plural = "" if backlog.entries == 1 else "s"
    unread = "" if backlog.is_normalised else ", not all of it normalised"
    full = f"{_size(backlog.memory_used)} of {_size(backlog.memory_limit)} used"
    return f"{log.address}: {backlog.entries:,} request{plural}, {waits}{unread}; {full}"


def _log_landing(landing: LogLanding, now: datetime) -> str:
    rejected = ", ".join(f"{count:,} {reason}" for reason, count in sorted(landing.rejected.items()))
    return (
        f"{_age(landing.at, now)} ago: {landing.events:,} events, {landing.duplicates:,} seen before, "
        f"{landing.conflicts:,} in conflict, {sum(landing.rejected.values()):,} rejected{f' ({rejected})' if rejected else ''}"
    )


def _identity(served: BuildStatus) -> str:
    return f"{served.customers:,} customers, {served.identifiers:,} identifiers, {served.hot_identifiers:,} of them hot"


def _quality(quality: QualityStatus) -> str:
    """Against the truth of a simulated shop."""
    shares = {
        "precision": quality.pairwise_precision,
        "recall": quality.pairwise_recall,
        "F1": quality.pairwise_f1,
        "customers exactly right": quality.exact_share,
    }
    return ", ".join(f"{name} {share:.4f}" for name, share in shares.items() if share is not None) or "nothing to judge"


def _sources(served: BuildStatus, now: datetime) -> Table:
    table = _titled("Sources", "source", "events", "newest", "last landing", "rejected")
    for source in served.sources:
        rejected = ", ".join(f"{count:,} {reason}" for reason, count in source.rejected.items())
        ages = (_age(source.newest_known_at, now), _age(source.last_landing_at, now))
        table.add_row(source.source, f"{source.events:,}", *ages, rejected or "-")
    return table


def _tables(served: BuildStatus, now: datetime) -> Table:
    table = _titled("Tables", "table", "rows", "newest known", "newest landed")
    for schema, statuses in groupby(served.tables, key=lambda status: status.table.partition(".")[0]):
        table.add_row(f"[bold]{schema}[/]")
        for status in statuses:
            ages = (_age(status.newest_known_at, now), _age(status.newest_landed_at, now))
            table.add_row(f"  {status.table.partition('.')[2]}", f"{status.rows:,}", *ages)
    return table


def _models(served: BuildStatus, now: datetime) -> Table:
    table = _titled("Models", "model", "champion", "trained")
    for champion in served.champions:
        table.add_row(champion.model, champion.version, _age(champion.trained_at, now))
    return table


def _audiences(status: Status) -> Table:
    table = _titled("Audiences", "audience", "version", "members", "published", "as of")
    for each in status.audiences:
        published = (
            "held back" if each.held else "pending" if each.is_pending else _age(each.published_at, status.checked_at)
        )
        table.add_row(each.audience, f"v{each.version}", f"{each.members:,}", published, f"{each.as_of:%Y-%m-%d %H:%M}")
    return table


def _pulls(status: Status) -> Table:
    table = _titled("CRM contacts", "source", "contacts", "last pull")
    for pull in status.crm_pulls:
        table.add_row(pull.source, f"{pull.contacts:,}", _age(pull.pulled_at, status.checked_at))
    return table


def _runs(status: Status) -> Table:
    table = _titled("Last runs", "job", "status", "created")
    for run in status.last_runs:
        table.add_row(run.job, run.status, _age(run.created_at, status.checked_at))
    return table


def _titled(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=any(columns))
    for position, column in enumerate(columns):
        is_number = column in ("rows", "events", "members")
        # names may be long: they are folded, so that nothing of them is lost
        table.add_column(
            column, justify="right" if is_number else "left", overflow="fold", no_wrap=position > 0 and is_number
        )
    return table


def _age(instant: datetime | None, now: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    if instant is None:
        return "-"
    seconds = (now - instant).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000:
            return f"{size:,.0f} {unit}"
        size /= 1_000
    return f"{size:,.1f} TB"
