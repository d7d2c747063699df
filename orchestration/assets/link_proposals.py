"""UNIFY, beside the pass: links between customers that are probably one person, for people to decide on."""

import dagster as dg

from identity.fuzzy import MissingSplinkError
from orchestration.proposals import propose
from orchestration.resources import Platform
from orchestration.retrying import retried_when_transient
from orchestration.state import utc_now

LINK_PROPOSALS = dg.AssetKey(["identity", "link_proposals"])


@dg.asset(
    key=LINK_PROPOSALS,
    group_name="unify",
    description="Pairs of customers that fuzzy matching takes for one person, in the operator state; `weft review list` shows them. "
    "Nothing is merged. Reads the served build; skipped where the extra (pip install 'weft[fuzzy]') is not installed.",
    deps=[["customer_360", "contacts"], ["customer_360", "traits"]],
    output_required=False,
    kinds={"python"},
)
@retried_when_transient
def link_proposals(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Match the customers of the served build; the proposals replace those of the last matching."""
    state = platform.state
    try:
        with platform.warehouse.open_served() as served:
            statistics = propose(served, decisions=state.decisions.table(), proposals=state.proposals, now=utc_now())
    except MissingSplinkError as error:
        context.log.warning(f"Skipped: {error}")
        return
    yield dg.Output(None, metadata=vars(statistics))
