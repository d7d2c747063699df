"""ACTIVATE: who entered and left each audience, and how audiences overlap."""

from typing import Any

import dagster as dg

from orchestration.assets.activate import AUDIENCE_NAMES
from orchestration.memberships import settle_audiences
from orchestration.resources import Platform
from orchestration.retrying import retried_when_transient
from orchestration.warehouse import row_count

SPECS = {
    "memberships": "One row per audience, customer and stretch of time in which the customer was in; history that is never deleted.",
    "sizes": "One row per audience and run that changed who is in.",
    "overlaps": "One row per pair of audiences with a customer who is in both now.",
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["audiences", table],
            group_name="activate",
            description=text,
            deps=[["audiences", name] for name in [*AUDIENCE_NAMES, "rule_members"]],
            kinds={"python"},
        )
        for table, text in SPECS.items()
    ],
)
@retried_when_transient
def memberships(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Settle who entered and left since the last run. Same build again, or a pass that was killed: nothing is told twice."""
    with platform.warehouse.writer() as connection:
        settled = settle_audiences(connection, platform.state)
        rows = {table: row_count(connection, f"audiences.{table}") for table in SPECS}
    counts: dict[str, Any] = {
        "entered": sum(settled.entered.values()),
        "left": sum(settled.left.values()),
        "in": sum(settled.members.values()),
    }
    if settled.postponed:
        context.log.warning(settled.postponed)
        counts["postponed"] = settled.postponed
    by_audience = {
        name: f"{members:,} in, {settled.entered.get(name, 0):,} entered, {settled.left.get(name, 0):,} left"
        for name, members in sorted(settled.members.items())
    }
    for table in SPECS:
        more = {**counts, **by_audience} if table == "memberships" else {}
        yield dg.MaterializeResult(asset_key=["audiences", table], metadata={"dagster/row_count": rows[table], **more})
