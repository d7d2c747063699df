"""How old the tables that people rely on may get: as old as their schedule lets them, and a little more."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import dagster as dg

from ml import MODELS
from orchestration.settings import Settings

LATE, FAILED = 1.5, 3.0
"""Gaps between two ticks after which a table is late (a warning), and after which it has failed to come."""
LOOKED_AT = timedelta(days=70)


def freshness_policies(settings: Settings) -> dict[dg.AssetKey, dg.FreshnessPolicy]:
    """The policy of every asset that has one: events, customers and audiences each refresh, predictions each day."""
    refreshed = [
        ("raw", "events"),
        ("customer_360", "customers"),
        ("audiences", "profiles"),
        ("control", "audience_versions"),
    ]
    scored = [("predictions", module.TABLE) for module in MODELS]
    policies = {dg.AssetKey(key): _policy(settings.hourly_cron) for key in refreshed}
    return policies | {dg.AssetKey(key): _policy(settings.daily_cron) for key in scored}


def with_freshness(spec: dg.AssetSpec, policies: dict[dg.AssetKey, dg.FreshnessPolicy]) -> dg.AssetSpec:
    """The spec with its policy, where it has one."""
    policy = policies.get(spec.key)
    return spec.replace_attributes(freshness_policy=policy) if policy else spec


def longest_gap(cron: str) -> timedelta:
    """The longest time between two ticks of a cron, within ten weeks; ten weeks where it ticks once or never in them."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ticks = dg.TimeWindowPartitionsDefinition(
        cron_schedule=cron, start=start, end=start + LOOKED_AT, fmt="%Y-%m-%dT%H:%M"
    ).get_partition_keys()
    instants = [datetime.fromisoformat(tick) for tick in ticks]
    return max((after - before for before, after in pairwise(instants)), default=LOOKED_AT)


def _policy(cron: str) -> dg.FreshnessPolicy:
    gap = longest_gap(cron)
    return dg.FreshnessPolicy.time_window(warn_window=gap * LATE, fail_window=gap * FAILED)
