"""The seams between packages: each table's columns stand once on each side, and both sides agree."""

from typing import Any

import pyarrow as pa
import pytest

from identity import tables as engine
from identity.quality import JUDGED_IDENTIFIERS
from ingestion import envelope
from ml import schema as ml_schema
from ml.registry import MODULES
from orchestration.clock import FEATURE_DATES, LABEL_HORIZONS
from orchestration.membership_tables import TABLES as MEMBERSHIP_TABLES
from orchestration.stitching import MEMBERSHIP_CHANGES, REVIEW_CHANGES
from orchestration.treatments import COLUMNS as TREATMENT_OUTCOMES
from orchestration.warehouse import SQL_TYPES


def source_columns(manifest: dict[str, Any], schema: str, table: str) -> dict[str, str]:
    [node] = [n for n in manifest["sources"].values() if (n["schema"], n["identifier"]) == (schema, table)]
    return {column["name"]: column["data_type"].lower().replace(" ", "") for column in node["columns"].values()}


def model_columns(manifest: dict[str, Any], schema: str, table: str) -> dict[str, str]:
    [node] = [
        n
        for n in manifest["nodes"].values()
        if (n["schema"], n["name"]) == (schema, table) and n["resource_type"] == "model"
    ]
    return {column["name"]: column["data_type"].lower() for column in node["columns"].values()}


@pytest.mark.parametrize("table", [table.name.removeprefix("raw.") for table in envelope.RAW_TABLES])
def test_staging_reads_the_columns_that_landing_writes(manifest: dict[str, Any], table: str) -> None:
    [raw] = [each for each in envelope.RAW_TABLES if each.name == f"raw.{table}"]
    written = {column.name: column.type.lower().replace(" ", "") for column in raw.columns}
    assert source_columns(manifest, "raw", table) == written


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        ("memberships", engine.MEMBERSHIPS),
        ("customer_ids", engine.LEDGER),
        ("merge_history", engine.MERGE_HISTORY),
        ("hot_identifiers", engine.HOT_IDENTIFIERS),
        ("membership_changes", MEMBERSHIP_CHANGES),
        ("review_changes", REVIEW_CHANGES),
        ("set_aside", engine.SET_ASIDE),
        ("refused_joins", engine.REFUSED_JOINS),
        ("review_queue", engine.REVIEW_QUEUE),
        ("waiting_decisions", engine.WAITING_DECISIONS),
        ("judged_identifiers", JUDGED_IDENTIFIERS),
    ],
)
def test_dbt_reads_the_columns_that_the_engine_writes(manifest: dict[str, Any], table: str, schema: pa.Schema) -> None:
    assert source_columns(manifest, "identity", table) == {field.name: SQL_TYPES[field.type] for field in schema}


def test_dbt_reads_the_decisions_that_the_engine_obeyed(manifest: dict[str, Any]) -> None:
    written = {field.name: SQL_TYPES[field.type] for field in engine.DECISIONS}
    assert source_columns(manifest, "control", "identity_decisions") == written


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        ("identifiers", engine.IDENTIFIERS),
        ("superseded_keys", engine.EVIDENCE),
        ("evidence", engine.EVIDENCE),
    ],
)
def test_the_engine_reads_columns_that_dbt_builds(manifest: dict[str, Any], table: str, schema: pa.Schema) -> None:
    built = model_columns(manifest, "identity", table)
    assert {field.name: SQL_TYPES[field.type] for field in schema}.items() <= built.items()


def test_ml_reads_the_features_and_labels_that_dbt_builds(manifest: dict[str, Any]) -> None:
    built = model_columns(manifest, "features", "customer_features")
    assert list(built) == [*ml_schema.KEYS, *(feature.name for feature in ml_schema.FEATURES)]
    assert list(model_columns(manifest, "features", "customer_labels")) == list(ml_schema.LABELS)
    [model] = [node for node in manifest["nodes"].values() if node["name"] == "customer_features"]
    described = {name: column["description"] for name, column in model["columns"].items() if name not in ml_schema.KEYS}
    assert described == {feature.name: feature.how for feature in ml_schema.FEATURES}


TABLES_OF_OTHERS = {module.TABLE for module in MODULES.values() if not module.__name__.startswith("ml.")}  # type: ignore[attr-defined]
"""Of packages that stand in this environment."""


@pytest.mark.parametrize("table", sorted({*ml_schema.PREDICTIONS} - TABLES_OF_OTHERS))
def test_profiles_read_the_columns_that_scoring_writes(manifest: dict[str, Any], table: str) -> None:
    written = {name: type_.lower() for name, type_ in ml_schema.PREDICTIONS[table].items()}
    assert source_columns(manifest, "predictions", table) == written


def test_dbt_describes_the_columns_of_treatment_outcomes(manifest: dict[str, Any]) -> None:
    assert source_columns(manifest, "predictions", "treatment_outcomes") == TREATMENT_OUTCOMES


@pytest.mark.parametrize("table", MEMBERSHIP_TABLES)
def test_dbt_describes_the_columns_that_settling_of_membership_writes(manifest: dict[str, Any], table: str) -> None:
    assert source_columns(manifest, *table.split(".")) == MEMBERSHIP_TABLES[table]


@pytest.mark.parametrize(("table", "columns"), [("feature_dates", FEATURE_DATES), ("label_horizons", LABEL_HORIZONS)])
def test_features_and_labels_read_the_columns_that_the_clock_writes(
    manifest: dict[str, Any], table: str, columns: dict[str, str]
) -> None:
    assert source_columns(manifest, "control", table) == columns
