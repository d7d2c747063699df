"""How a dbt model becomes a Dagster asset: its key is its address, its group its stage, its metadata its row count."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject
from packaging.version import Version

from orchestration.resources import Platform
from orchestration.transform import DBT_PROJECT, PASS_VARS
from orchestration.turns import take_turn
from orchestration.warehouse import row_count

STAGE_OF_SCHEMA = {
    "raw": "collect",
    "control": "collect",
    "truth": "collect",
    "staging": "unify",
    "identity": "unify",
    "customer_360": "unify",
    "features": "predict",
    "predictions": "predict",
    "audiences": "activate",
}


PARSED = "partial_parse.msgpack"
"""dbt's own name for what it keeps of a project that it has read."""


class AddressTranslator(DagsterDbtTranslator):
    """Keys are [schema, table]; groups are the four stages."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The table's address."""
        table = dbt_resource_props.get("identifier") or dbt_resource_props["name"]
        return dg.AssetKey([dbt_resource_props["schema"], table])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The stage that the schema belongs to."""
        return STAGE_OF_SCHEMA[dbt_resource_props["schema"]]

    def get_asset_check_spec(
        self, asset_spec: dg.AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetCheckSpec | None:
        """The check of a dbt test, with words for those that have none of their own."""
        check = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        if check is None or check.description:
            return check
        return check._replace(description=_test_in_words(manifest["nodes"][unique_id]))

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """dbt's tags name the step of a pass; they say nothing to a person who looks at the graph."""
        return {}


class DbtOfPasses(DbtCliResource):
    """dbt for Dagster without what takes seconds of every pass and is not needed."""

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> None:  # type: ignore[override]
        """No adapter in Dagster's own process: it reads all of dbt's macros anew, and we count rows ourselves."""
        return None

    @cached_property
    def _cli_version(self) -> Version:
        """The dbt of this environment is the one that is run, there is no need to start it and ask."""
        return Version(version("dbt-core"))


def _test_in_words(test: Mapping[str, Any]) -> str:
    """A generic test is its name and arguments; a test of our own says in its first line what must hold."""
    if generic := test.get("test_metadata"):
        arguments = {name: value for name, value in generic["kwargs"].items() if name != "model"}
        return f"{generic['name']}: " + ", ".join(f"{name} {value}" for name, value in arguments.items())
    return str(test["raw_code"]).partition("\n")[0].removeprefix("--").strip()


def build_models(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: Platform, *, from_nothing: bool = False
) -> Iterator[Any]:
    """Run `dbt build` for the selected assets and tests, then add every table's row count to what Dagster shows."""
    take_turn(platform.settings)
    arguments = ["build", "--vars", PASS_VARS, "--exclude-resource-type", "unit_test"]
    if from_nothing:
        arguments.append("--full-refresh")
    events: list[Any] = []
    # every step gets a folder of some megabytes; that of a failed one stays for whoever looks for the cause
    step = context.op_execution_context.op.name
    folder = DBT_PROJECT / "target" / f"{step}-{context.run.run_id[:7]}-{uuid4().hex[:7]}"
    # what dbt read of the project holds for every step on this installation, and reading it takes longer than a small step
    parsed, known = folder / PARSED, platform.settings.home / PARSED
    try:
        folder.mkdir(parents=True)
        if known.exists():
            shutil.copyfile(known, parsed)
        with platform.warehouse.dbt_turn():
            invocation = dbt.cli(arguments, context=context, target_path=folder)
            events.extend(invocation.stream())
        shutil.move(parsed, known)
        shutil.rmtree(folder)
    finally:
        # also where a model failed: what was built before it counts
        yield from _with_row_counts(events, context, platform)


def _with_row_counts(events: Sequence[Any], context: dg.AssetExecutionContext, platform: Platform) -> Iterator[Any]:
    keys = {
        event.output_name: context.asset_key_for_output(event.output_name)
        for event in events
        if isinstance(event, dg.Output)
    }
    with platform.warehouse.writer() as connection:
        counts = {name: row_count(connection, ".".join(key.path)) for name, key in keys.items()}
    for event in events:
        if isinstance(event, dg.Output):
            metadata: dict[str, Any] = {**event.metadata, "dagster/row_count": counts[event.output_name]}
            yield dg.Output(event.value, output_name=event.output_name, metadata=metadata)
        else:
            yield event
