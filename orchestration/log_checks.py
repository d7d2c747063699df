"""Asset checks of what the collector took: is the log read on from where it was left, what was refused, who waits for an answer."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import dagster as dg

from ingestion.envelope import LOG_POSITIONS, PRIVACY_REQUESTS, RejectReason
from ingestion.event_log import LogError
from ingestion.log_backlog import Backlog, read_backlog
from orchestration.collecting import ensure_raw_tables
from orchestration.event_log import has_log, opened_log
from orchestration.log_passes import last_log_landing
from orchestration.resources import Platform
from orchestration.state import utc_now
from orchestration.warehouse import Connection

LOOKED_AT = timedelta(hours=24)
REJECTED_SHARE, CONFLICTING_SHARE = 0.05, 0.01
"""Of what came from one source: more is a sender, or a mapping, that changed."""
ALARM_FOR = timedelta(days=7)
"""How long a restarted reader is an alarm: nobody has to confirm it, and nobody can miss it."""
LAG_LIMIT = timedelta(minutes=15)
MEMORY_LIMIT = 0.5
"""Of the log's memory; from .75 on the collector asks senders to wait."""
ANSWER_WITHIN = timedelta(days=20)
"""The law gives a month."""


@dg.asset_check(asset=["raw", "log_positions"])
def the_log_has_landed(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """Nothing in the event log waits for longer than 15 minutes, the log is less than half full, and the last landing of it took all."""
    last = last_log_landing(platform.state)
    metadata: dict[str, Any] = {}
    problem = last.problem if last else None
    backlog: Backlog | None = None
    try:
        if has_log(platform.settings):
            with opened_log(platform.settings, start=False) as log:
                backlog = read_backlog(log) if log else None
    except LogError as error:
        problem = str(error)
    is_behind = False
    if backlog:
        lag = backlog.lag(utc_now())
        metadata = {
            "waits_seconds": lag.total_seconds(),
            "requests_in_log": backlog.entries,
            "memory_share": backlog.memory_share,
            "is_normalised": backlog.is_normalised,
        }
        is_behind = lag > LAG_LIMIT or backlog.memory_share > MEMORY_LIMIT
    return dg.AssetCheckResult(
        passed=not problem and not is_behind,
        severity=dg.AssetCheckSeverity.ERROR if problem else dg.AssetCheckSeverity.WARN,
        description=problem,
        metadata=metadata,
    )


@dg.asset_check(asset=["raw", "log_positions"])
def the_log_is_read_from_where_it_was_left(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """In the last 7 days log and warehouse were of one time. If not, one of them was lost or restored from an older copy, or entries were
    taken out of the log: what was acknowledged may be missing (docs/operating-the-collector.md)."""
    with _reading(platform) as connection:
        since = utc_now() - ALARM_FOR
        restarts = connection.rows(
            f"select restart_reason, restarted_at from {LOG_POSITIONS.name} where restarted_at >= ?", [since]
        )
    found = {"reason": restarts[0][0], "restarted_at": restarts[0][1].isoformat()} if restarts else {}
    return dg.AssetCheckResult(passed=not restarts, severity=dg.AssetCheckSeverity.ERROR, metadata=found)


@dg.asset_check(asset=["raw", "rejected_events"])
def few_rows_are_rejected(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """Of no source more than 5 % of what came in 24 hours is refused and waits for `weft replay`."""
    return _share_of_refused(platform, REJECTED_SHARE, are_conflicts=False)


@dg.asset_check(asset=["raw", "rejected_events"])
def few_keys_have_two_bodies(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """Of no source more than 1 % of what came in 24 hours had a message id that stood there with another body."""
    return _share_of_refused(platform, CONFLICTING_SHARE, are_conflicts=True)


@dg.asset_check(asset=["raw", "privacy_requests"])
def no_privacy_request_waits(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """Every request to be erased, or told what is stored, was acted on; an error once the oldest has waited for 20 days."""
    with _reading(platform) as connection:
        waiting = connection.rows(
            f"select source, topic, count(*), min(received_at) from {PRIVACY_REQUESTS.name} where status = 'held' "
            "group by source, topic order by source, topic"
        )
    oldest = min((received_at for *_, received_at in waiting), default=None)
    is_late = oldest is not None and utc_now() - oldest > ANSWER_WITHIN
    metadata: dict[str, Any] = {f"{source}: {topic}": count for source, topic, count, _ in waiting}
    if oldest is not None:
        metadata["oldest"] = oldest.isoformat()
    return dg.AssetCheckResult(
        passed=not waiting,
        severity=dg.AssetCheckSeverity.ERROR if is_late else dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


@contextmanager
def _reading(platform: Platform) -> Iterator[Connection]:
    with platform.warehouse.writer() as connection:
        ensure_raw_tables(connection)
        yield connection


def _share_of_refused(platform: Platform, limit: float, *, are_conflicts: bool) -> dg.AssetCheckResult:
    since = utc_now() - LOOKED_AT
    sign = "=" if are_conflicts else "<>"
    with _reading(platform) as connection:
        came = dict(
            connection.rows(
                "select source, sum(rows_read) from raw.landings where landed_at >= ? group by source", [since]
            )
        )
        refused = connection.rows(
            "select source, reason, count(*) from raw.rejected_events where rejected_at >= ? and replayed_at is null "
            f"and reason {sign} '{RejectReason.CONFLICTING_BODY}' group by source, reason order by source, reason",
            [since],
        )
    by_source: dict[str, dict[str, int]] = defaultdict(dict)
    for source, reason, count in refused:
        by_source[source][reason] = count
    shares = {source: sum(counts.values()) / max(int(came.get(source, 0)), 1) for source, counts in by_source.items()}
    too_many = [source for source, share in shares.items() if share > limit]
    return dg.AssetCheckResult(
        passed=not too_many,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            source: {"share": round(min(shares[source], 1.0), 4), **counts} for source, counts in by_source.items()
        },
    )


LOG_CHECKS = [
    the_log_has_landed,
    the_log_is_read_from_where_it_was_left,
    few_rows_are_rejected,
    few_keys_have_two_bodies,
    no_privacy_request_waits,
]
