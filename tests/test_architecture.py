"""The shape of the project, as rules that fail the build."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ingestion", "identity", "ml", "activation", "orchestration")

MAY_READ = {
    "staging": {"raw"},
    "identity": {"staging", "identity", "control", "truth"},
    "customer_360": {"staging", "identity", "customer_360", "control"},
    "features": {"staging", "identity", "customer_360", "features", "control"},
    "audiences": {"customer_360", "audiences", "control"},
}
"""Which schemas the models of a schema may read; audiences.profiles alone also reads predictions."""


def models(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


def test_imports_follow_the_contracts() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_models_read_only_from_their_own_layer_or_an_earlier_one(manifest: dict[str, Any]) -> None:
    everything = manifest["nodes"] | manifest["sources"]
    wrong = []
    for model in models(manifest):
        allowed = MAY_READ[model["schema"]] | ({"predictions"} if model["name"] == "profiles" else set())
        wrong += [
            f"{model['schema']}.{model['name']} reads {parent}"
            for parent in model["depends_on"]["nodes"]
            if everything[parent]["schema"] not in allowed
        ]
    assert wrong == []


def test_every_model_says_its_grain_first_and_has_an_enforced_contract(manifest: dict[str, Any]) -> None:
    assert [m["name"] for m in models(manifest) if not m["description"].startswith("One row")] == []
    assert [m["name"] for m in models(manifest) if not m["contract"]["enforced"]] == []


def test_every_column_of_every_model_and_source_is_described(manifest: dict[str, Any]) -> None:
    nodes = models(manifest) + list(manifest["sources"].values())
    undescribed = [f"{n['name']}.{c['name']}" for n in nodes for c in n["columns"].values() if not c["description"]]
    assert undescribed == []


def test_folder_schema_and_first_part_of_the_name_are_one_word(manifest: dict[str, Any]) -> None:
    for model in models(manifest):
        folder = Path(model["original_file_path"]).parts[1]
        assert model["schema"] == folder
        assert model["name"].startswith("stg_") == (folder == "staging")


def test_no_model_asks_the_clock() -> None:
    forbidden = ("now()", "current_timestamp", "current_date", "getdate", "sysdate", "localtimestamp")
    found = [
        f"{path.name}: {word}"
        for path in (ROOT / "dbt_project" / "models").rglob("*.sql")
        for word in forbidden
        if word in path.read_text(encoding="utf-8").lower()
    ]
    assert found == []


def test_every_audience_is_a_file_and_its_yaml_and_is_listed_nowhere_else(manifest: dict[str, Any]) -> None:
    audiences = [model for model in models(manifest) if model["meta"].get("audience")]
    assert len(audiences) >= 5
    for audience in audiences:
        assert {"owner", "consent_purpose", "destinations", "guards"} <= set(audience["meta"]["audience"])
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    for audience in audiences:
        assert [path.name for path in sources if f'"{audience["name"]}"' in path.read_text(encoding="utf-8")] == []


def test_every_audience_has_a_unit_test_and_an_exposure(manifest: dict[str, Any]) -> None:
    tested = {test["model"] for test in manifest["unit_tests"].values()}
    exposed = {ref["name"] for exposure in manifest["exposures"].values() for ref in exposure["refs"]}
    names = {model["name"] for model in models(manifest) if model["meta"].get("audience")}
    assert names <= tested
    assert names == exposed


def test_modules_stay_small() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    assert {path: lines for path, lines in sizes.items() if lines > 300} == {}


@pytest.mark.parametrize("target", ["help", "install", "check", "test", "demo", "up", "bench"])
def test_the_makefile_offers(target: str) -> None:
    assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_workspace_names_the_definitions() -> None:
    [location] = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    assert location["python_module"]["module_name"] == "orchestration.definitions"
