"""UNIFY: evidence, the identity engine, and the Customer 360 (with the features that look back on it)."""

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.assets.dbt_models import AddressTranslator, build_models
from orchestration.clock import dates_in_use, rebuilds_events
from orchestration.quality import judge
from orchestration.resources import Platform
from orchestration.retrying import retried_when_transient
from orchestration.stitching import stitch
from orchestration.transform import CUSTOMERS, EVIDENCE, manifest_path

ENGINE = {
    "identity.memberships": "One row per identifier, customer, period (of a shared identifier) and interval in which this was known.",
    "identity.customer_ids": "One row per customer id and anchor: the append-only ledger.",
    "identity.merge_history": "One row per customer that became part of another, or that others left.",
    "identity.hot_identifiers": "One row per identifier that too many people share.",
    "identity.set_aside": "One row per evidence set and strong identifier in it that joined nothing, with the limit or the wall.",
    "identity.refused_joins": "One row per weak identifier that joined nothing, with the rule.",
    "identity.review_queue": "One row per evidence set that waits for a person, and interval in which this was known.",
    "identity.waiting_decisions": "One row per linked identifier that its link waits for.",
    "identity.membership_changes": "One row per run, identifier that changed hands in it, and customer before or after.",
    "identity.review_changes": "One row per run and evidence set that began or ceased to wait in it.",
    "control.identity_decisions": "One row per decision of a person in force, side and identifier.",
}


@dbt_assets(
    manifest=manifest_path(),
    select=EVIDENCE,
    dagster_dbt_translator=AddressTranslator(),
    name="evidence_models",
)
@retried_when_transient
def evidence_models(context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Type the landed events and collect which identifiers were seen together."""
    with platform.warehouse.writer() as connection:
        from_nothing = rebuilds_events(connection)
    yield from build_models(context, dbt, platform, from_nothing=from_nothing)


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table.split("."),
            group_name="unify",
            description=text,
            deps=[
                ["identity", "identifiers"],
                ["identity", "evidence"],
                ["identity", "superseded_keys"],
                ["identity", "evidence_identifiers"],
                ["identity", "event_evidence"],
                ["control", "feature_dates"],
            ],
            kinds={"python"},
        )
        for table, text in ENGINE.items()
    ],
)
@retried_when_transient
def identity_engine(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Decide which identifiers are the same customer, at every date in use, and write the answer in one transaction."""
    with platform.warehouse.writer() as connection:
        statistics = stitch(
            connection,
            rules=platform.rules,
            decisions=platform.state.decisions.table(),
            dates=dates_in_use(connection),
            salt=platform.salt,
        )
    for table in ENGINE:
        yield dg.MaterializeResult(asset_key=table.split("."), metadata=vars(statistics))


@dg.asset(
    key=["identity", "judged_identifiers"],
    group_name="unify",
    deps=[["identity", "memberships"], ["truth", "identifiers"]],
    kinds={"python"},
)
@retried_when_transient
def judged_identifiers(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Put the identifiers that have one true owner beside what Weft and three simple ways of stitching make of them; only with a truth."""
    with platform.warehouse.writer() as connection:
        judged = judge(connection, rules=platform.rules)
    return dg.MaterializeResult(metadata={"dagster/row_count": judged})


@dbt_assets(
    manifest=manifest_path(),
    select=CUSTOMERS,
    dagster_dbt_translator=AddressTranslator(),
    name="customer_models",
)
@retried_when_transient
def customer_models(context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Tie every event to its customer, build the 360, and the features of every date in use."""
    yield from build_models(context, dbt, platform)
