"""ACTIVATE: audiences in SQL, their versions, and their publication to Redis."""

from collections.abc import Sequence

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.assets.dbt_models import AddressTranslator, build_models
from orchestration.clock import mark_build_whole
from orchestration.confirming import confirm_unchanged
from orchestration.consent_sweep import sweep_before_whole
from orchestration.holdout_assignments import assign_holdouts
from orchestration.published_features import note_published_features
from orchestration.publishing import PROFILES, online_store, publish, register_changes
from orchestration.resources import Platform
from orchestration.retrying import retried_when_transient
from orchestration.sync_copies import copy_syncs
from orchestration.transform import AUDIENCES, audience_definitions, manifest_path, read_manifest
from orchestration.treatments import write_treatments
from orchestration.upstream_checks import FailedUpstreamChecks

OTHER_AUDIENCES = dg.AssetKey(["redis", "other_audiences"])
CONFIRMED = dg.AssetKey(["redis", "confirmations"])
other_names = dg.DynamicPartitionsDefinition(name="other_audiences")
AUDIENCE_NAMES = [definition.name for definition in audience_definitions(read_manifest())]


@dbt_assets(
    manifest=manifest_path(),
    select=AUDIENCES,
    dagster_dbt_translator=AddressTranslator(),
    name="audience_models",
)
@retried_when_transient
def audience_models(context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Build the profiles and every audience."""
    yield from build_models(context, dbt, platform)


@dg.asset(
    key=["control", "audience_versions"],
    group_name="activate",
    deps=[["audiences", name] for name in [PROFILES, *AUDIENCE_NAMES, "memberships"]],
    kinds={"sqlite"},
)
@retried_when_transient
def audience_versions(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """One row per changed audience. The build is whole: it is served to readers, and what changed gets a version for the sensor."""
    with platform.warehouse.writer() as connection:
        sweep_before_whole(platform, connection)
        assign_holdouts(connection, platform.state)
        treatments = write_treatments(connection, platform.state)
        note_published_features(connection, platform.settings, platform.state)
        copy_syncs(connection, platform)
        mark_build_whole(connection, context.run.run_id)
    registered = register_changes(platform.warehouse, platform.state)
    changed = {version.audience: f"v{version.version}: {version.member_count:,}" for version in registered}
    return dg.MaterializeResult(metadata={"changed": len(changed), "treatments": treatments, **changed})


class PublicationConfig(dg.Config):
    """Which version to publish."""

    version: int | None = None
    """Version to publish; empty: the newest."""
    attempt: int = 1
    """Counts the tries of this version."""


def publication_assets(names: Sequence[str]) -> list[dg.AssetsDefinition]:
    """One asset per audience: its copy in Redis. The sensor materialises it whenever a new version is registered."""
    return [_publication_asset(name) for name in names]


def _publication_asset(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        key=["redis", name],
        name=None,
        group_name="activate",
        deps=[["control", "audience_versions"], ["audiences", name]],
        description=f"The published copy of audiences.{name} in Redis: old or new, never a mixture.",
        kinds={"redis"},
    )
    def publication(
        context: dg.AssetExecutionContext, config: PublicationConfig, platform: dg.ResourceParam[Platform]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        return _published(context, name, config, platform)

    return publication


@dg.asset(
    key=OTHER_AUDIENCES,
    group_name="activate",
    partitions_def=other_names,
    deps=[["control", "audience_versions"]],
    kinds={"redis"},
)
def other_audiences(
    context: dg.AssetExecutionContext, config: PublicationConfig, platform: dg.ResourceParam[Platform]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The published copies in Redis of audiences that were defined after this code was loaded (rules, new files), one a partition."""
    return _published(context, context.partition_key, config, platform)


@dg.asset(key=CONFIRMED, group_name="activate", deps=[["control", "audience_versions"]], kinds={"redis"})
def confirmations(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What readers are told of audiences that the newest build left unchanged: that they are as of that build, and live on."""
    with online_store(platform.settings) as client:
        checks = FailedUpstreamChecks(context.instance)
        told = confirm_unchanged(client, platform.state, platform.warehouse, checks)
    if told.missing:
        context.log.warning(f"Redis no longer holds {', '.join(told.missing)}; it is published again.")
    for name, sentence in sorted(told.held.items()):
        context.log.warning(f"{name} is not confirmed: {sentence}")
    counts = {"confirmed": told.confirmed, "missing": told.missing, "overtaken": told.stale, "held": told.held}
    return dg.MaterializeResult(metadata={name: len(audiences) for name, audiences in counts.items()})


def _published(
    context: dg.AssetExecutionContext, name: str, config: PublicationConfig, platform: Platform
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    state = platform.state
    version = state.version(name, config.version) if config.version else state.newest_version(name)
    if version is None:
        raise dg.Failure(
            f"{name} has no registered version {config.version or ''}; materialise control/audience_versions first."
        )
    checks = FailedUpstreamChecks(context.instance)
    result = publish(
        platform.settings, platform.warehouse, state, version, attempt=config.attempt, failed_checks=checks
    )
    (context.log.warning if result.held else context.log.info)(result.sentence)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": result.count,
            "rows_touched": result.changed + result.removed,
            "version": result.version,
            "status": result.status,
            "mode": result.mode,
            "withheld": sum(result.withheld.values()),
            **{f"withheld_{reason}": count for reason, count in result.withheld.items()},
            **({"held": result.held} if result.held else {}),
        }
    )
