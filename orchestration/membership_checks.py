"""Asset checks of the history of membership."""

import dagster as dg

from orchestration.membership_tables import ensure_tables
from orchestration.resources import Platform
from orchestration.warehouse import Connection, scalar

UNBALANCED = """
    select count(*) from (
        select sizes.*, lag(member_count, 1, cast(0 as bigint)) over (partition by audience order by change_seq) as member_count_before
        from audiences.sizes as sizes
    ) as sizes
    where before_count <> member_count_before or member_count <> before_count + entered_count - left_count
"""
"""Rows in which members(n) is not members(n-1) + entered - left."""

MISCOUNTED = """
    select count(*)
    from (
        select audience, count(*) as member_count from audiences.memberships where left_seq is null group by audience
    ) as standing
    full outer join (
        select audience, member_count, row_number() over (partition by audience order by change_seq desc) as place from audiences.sizes
    ) as newest
        on standing.audience = newest.audience
    where newest.place = 1 and coalesce(standing.member_count, 0) <> newest.member_count
        or newest.audience is null
"""
"""Audiences whose current rows are not as many as the last row of their sizes says."""

TWICE = """
    select count(*) from (
        select audience, customer_id from audiences.memberships where left_seq is null group by audience, customer_id having count(*) > 1
    ) as twice
"""


def membership_faults(connection: Connection) -> dict[str, int]:
    """How many rows break each promise of the history; all zero where it is right."""
    ensure_tables(connection)
    queries = {"unbalanced_runs": UNBALANCED, "miscounted_audiences": MISCOUNTED, "customers_in_twice": TWICE}
    return {name: int(scalar(connection, query)) for name, query in queries.items()}


@dg.asset_check(asset=["audiences", "memberships"])
def memberships_add_up(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """Members are those of the run before, plus who entered, minus who left, for each audience; and nobody is in one twice."""
    with platform.warehouse.writer() as connection:
        faults = membership_faults(connection)
    return dg.AssetCheckResult(passed=not any(faults.values()), metadata=faults)


MEMBERSHIP_CHECKS = [memberships_add_up]
