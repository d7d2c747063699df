"""ACTIVATE: the members of audiences that are JSON rules, beside those of the audiences in SQL."""

import dagster as dg

from orchestration.assets.activate import AUDIENCE_NAMES
from orchestration.publishing import PROFILES
from orchestration.resources import Platform
from orchestration.retrying import retried_when_transient
from orchestration.rule_audiences import build_rule_members
from orchestration.warehouse import scalar

RULE_MEMBERS = dg.AssetKey(["audiences", "rule_members"])
EVERY_RULE_BUILT = "every_rule_could_be_built"


@dg.asset(
    key=RULE_MEMBERS,
    group_name="activate",
    deps=[["customer_360", "events"], *(["audiences", name] for name in [PROFILES, *AUDIENCE_NAMES])],
    description="One row per rule audience and member, with why it is in. Rules live in the operator state (`weft audience rules`).",
    check_specs=[
        dg.AssetCheckSpec(
            EVERY_RULE_BUILT,
            asset=RULE_MEMBERS,
            description="Every rule fits the columns there are; one that does not keeps the members it had.",
        )
    ],
    kinds={"python"},
)
@retried_when_transient
def rule_members(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Evaluate every rule as of the run's clock and write its members, all in one transaction."""
    with platform.warehouse.writer() as connection:
        built = build_rule_members(
            connection, platform.state, scalar(connection, "select as_of from control.current_run")
        )
    for name, problem in built.problems.items():
        context.log.warning(f"{name} could not be built and keeps the members it had: {problem}")
    return dg.MaterializeResult(
        metadata={"dagster/row_count": sum(built.counts.values()), **built.counts},
        check_results=[
            dg.AssetCheckResult(
                passed=not built.problems,
                check_name=EVERY_RULE_BUILT,
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"rules": len(built.counts), **built.problems},
            )
        ],
    )
