"""The table of contents: collect -> unify -> predict -> activate."""

import dagster as dg
from dagster_dbt import DbtCliResource

from orchestration.resources import build_platform
from orchestration.settings import export_for_tools
from orchestration.transform import DBT, DBT_PROJECT, prepare_manifest

platform = build_platform()
export_for_tools(platform.settings)
prepare_manifest(platform.settings)

from orchestration.assets import activate, collect, predict, unify
from orchestration.checks import CHECKS
from orchestration.publishing import PROFILES
from orchestration.schedules import JOBS, SCHEDULES
from orchestration.sensors import SENSORS

defs = dg.Definitions(
    assets=[
        *dg.load_assets_from_modules([collect]),
        *dg.load_assets_from_modules([unify]),
        *dg.load_assets_from_modules([predict]),
        *dg.load_assets_from_modules([activate]),
        *activate.publication_assets([PROFILES, *activate.AUDIENCE_NAMES]),
    ],
    asset_checks=CHECKS,
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=SENSORS,
    resources={"platform": platform, "dbt": DbtCliResource(project_dir=str(DBT_PROJECT), dbt_executable=DBT)},
    executor=dg.in_process_executor,
)
