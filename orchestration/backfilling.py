"""Past days, a range or any list: land the files of their dated folders, make the feature snapshots of their midnights, in one pass."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from ingestion.landing_report import LandingReport
from orchestration.building import build
from orchestration.clock import resolve_as_of
from orchestration.collecting import land_folder
from orchestration.consent_sweep import sweep_refusals
from orchestration.errors import BackfillError, NothingServedError
from orchestration.resources import Platform
from orchestration.state import utc_now
from orchestration.warehouse import scalar

LANDINGS = "select count(*) from raw.landings"


def days_from(platform: Platform, first: date, last: date) -> list[date]:
    """The days of a backfill, both ends included, ascending. Raises BackfillError with one sentence."""
    settings, today = platform.settings, resolve_as_of(platform.state, None).date()
    if first > last:
        raise BackfillError(f"{first} lies after {last}; give the earlier day first.")
    if last >= today:
        raise BackfillError(f"{last} is not over yet; backfill up to {today - timedelta(days=1)}.")
    if first < settings.partitions_start:
        raise BackfillError(
            f"{first} lies before the first day, {settings.partitions_start}; set WEFT_PARTITIONS_START to an earlier one."
        )
    _check_kept(platform, first, today)
    return [first + timedelta(days=count) for count in range((last - first).days + 1)]


def days_listed(platform: Platform, text: str) -> list[date]:
    """The days of a list such as "2026-01-01,2026-02-01", ascending, each once. Raises BackfillError with one sentence."""
    today = resolve_as_of(platform.state, None).date()
    try:
        days = sorted({date.fromisoformat(part.strip()) for part in text.split(",") if part.strip()})
    except ValueError:
        days = []
    if not days:
        raise BackfillError(f"{text!r} is not a list of days; give them as 2026-01-01,2026-02-01.")
    if days[-1] >= today:
        raise BackfillError(f"{days[-1]} is not a past day; give days up to {today - timedelta(days=1)}.")
    _check_kept(platform, days[0], today)
    return days


def _check_kept(platform: Platform, first: date, today: date) -> None:
    oldest = today - timedelta(days=platform.settings.snapshot_retention_days)
    if first < oldest:
        raise BackfillError(
            f"Snapshots are kept from {oldest} on, {first} would be gone at once; set WEFT_SNAPSHOT_RETENTION_DAYS higher."
        )


def land_days(platform: Platform, days: Sequence[date]) -> Iterator[LandingReport]:
    """Land inbox/<mapping>/<day>/ of every day in order, one report a file; what has landed before is left alone."""
    with platform.warehouse.writer() as connection:
        for day in days:
            yield from land_folder(
                connection, folder=platform.settings.inbox, landed_at=utc_now(), within=day.isoformat()
            )
        sweep_refusals(platform, connection)


def make_snapshots(platform: Platform, days: Sequence[date]) -> bool:
    """Make the features of the days' midnights, in one pass; False where the served build has them and all that landed.

    A pass that was killed is simply made again: the days stay asked for. Raises BackfillError where there are no events.
    """
    with platform.warehouse.writer() as connection:
        is_empty = scalar(connection, "select min(known_at) from raw.events") is None
        landings = scalar(connection, LANDINGS)
    if is_empty:
        raise BackfillError("No event has landed yet; put files into inbox/<mapping>/<YYYY-MM-DD>/, then backfill.")
    platform.state.snapshots.ask_for(days)
    if _is_served(platform, days, landings):
        return False
    build(platform, as_of=None, quiet=True)
    return True


def snapshot_sizes(platform: Platform, days: Sequence[date]) -> dict[date, int]:
    """Customers with features at each day's midnight, as served; days ascending."""
    with platform.warehouse.open_served() as served:
        found = served.rows(
            "select as_of_date, count(*) from features.customer_features where as_of_date between ? and ? group by as_of_date",
            [days[0], days[-1]],
        )
    sizes = dict(found)
    return {day: sizes.get(day, 0) for day in days}


def _is_served(platform: Platform, days: Sequence[date], landings: int) -> bool:
    try:
        with platform.warehouse.open_served() as served:
            made = {day for (day,) in served.rows("select as_of_date from control.feature_dates")}
            return made.issuperset(days) and scalar(served, LANDINGS) == landings
    except NothingServedError:
        return False
