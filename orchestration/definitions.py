"""The table of contents: collect -> unify -> predict -> activate."""

from functools import partial
from typing import Any

import dagster as dg

from orchestration.resources import build_platform
from orchestration.settings import export_for_tools
from orchestration.transform import DBT, DBT_PROJECT, last_good_manifest

platform = build_platform()
export_for_tools(platform.settings)
last_good_manifest(platform.settings)

from orchestration.assets import activate, collect, crm, link_proposals, membership, predict, rule_members, sync, unify
from orchestration.assets.backfill import day_assets
from orchestration.assets.dbt_models import DbtOfPasses
from orchestration.checks import CHECKS
from orchestration.freshness import freshness_policies, with_freshness
from orchestration.publishing import PROFILES
from orchestration.rule_rebuilding import rebuild_rules_job, rules_asked_for
from orchestration.schedules import JOBS, schedules
from orchestration.sensors import SENSORS

assets: list[Any] = [
    *dg.load_assets_from_modules([collect, crm]),
    *dg.load_assets_from_modules([unify, link_proposals]),
    *dg.load_assets_from_modules([predict]),
    *dg.load_assets_from_modules([activate, rule_members, membership]),
    *dg.load_assets_from_modules([sync]),
    *activate.publication_assets([PROFILES, *activate.AUDIENCE_NAMES]),
    day_assets(platform.settings),
]

defs = dg.Definitions(
    assets=dg.map_asset_specs(partial(with_freshness, policies=freshness_policies(platform.settings)), assets),
    asset_checks=CHECKS,
    jobs=[*JOBS, crm.crm_pulls, sync.syncs, rebuild_rules_job],
    schedules=[*schedules(platform.settings), crm.crm_schedule(platform.settings)],
    sensors=[*SENSORS, rules_asked_for],
    resources={"platform": platform, "dbt": DbtOfPasses(project_dir=str(DBT_PROJECT), dbt_executable=DBT)},
    executor=dg.in_process_executor,
)
