"""Run the dbt project: the steps of a pass, in a process of their own so that no connection of ours is open meanwhile."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from orchestration.dbt_process import DBT_PROCESS
from orchestration.errors import BuildError
from orchestration.settings import PROJECT_ROOT, Settings

log = logging.getLogger(__name__)

DBT_PROJECT = PROJECT_ROOT / "dbt_project"
DBT = str(Path(sys.executable).with_name("dbt"))
"""The dbt of this environment, whatever PATH says."""
EVIDENCE, CUSTOMERS, AUDIENCES = "tag:evidence", "tag:customers", "tag:audiences"
STEPS = (EVIDENCE, CUSTOMERS, AUDIENCES)
"""The dbt steps of a pass: the identity engine runs after the first, the models' scores after the second."""

PASS_VARS = json.dumps({"weft_pass": True})
"""Tells dbt that it is one step of a pass: whether the build is whole is then not dbt's to say."""


EXPOSURES = "_exposures.yml"


@dataclass(frozen=True)
class AudienceDefinition:
    """One audience as the dbt project declares it."""

    name: str
    description: str
    definition_hash: str
    meta: dict[str, Any]
    columns: frozenset[str] = frozenset({"customer_id", "entered_because"})


def dbt_build(
    settings: Settings,
    *,
    select: Sequence[str],
    exclude: Sequence[str] = (),
    quiet: bool = False,
    from_nothing: bool = False,
) -> None:
    """`dbt build` of the selected models and their tests. Raises BuildError where a model or test fails."""
    arguments = ["build", "--select", *select, "--vars", PASS_VARS, "--exclude-resource-type", "unit_test"]
    if from_nothing:
        arguments.append("--full-refresh")
    if exclude:
        arguments += ["--exclude", *exclude]
    code = DBT_PROCESS.run(
        ["--quiet", *arguments] if quiet else arguments,
        project=DBT_PROJECT,
        environment=_environment(settings),
        parsed=(_last_edit(), settings.target),
    )
    if code != 0:
        raise BuildError("dbt build failed; the lines above say which model and why.")


def run_dbt(settings: Settings, arguments: Sequence[str], *, quiet: bool = False) -> None:
    """Any dbt command in the project, with Weft's settings in its environment."""
    command = [DBT, *(["--quiet"] if quiet else []), *arguments]
    result = subprocess.run(command, cwd=DBT_PROJECT, env=_environment(settings), check=False)
    if result.returncode != 0:
        raise BuildError(f"dbt {arguments[0]} failed; the lines above say which model and why.")


def _environment(settings: Settings) -> dict[str, str]:
    return dict(os.environ) | settings.dbt_environment()  # noqa: TID251  (dbt needs PATH, HOME and the like)


def manifest_path() -> Path:
    """Weft's own copy of dbt's description of the project: dbt's is half written while any dbt command runs, an analyst's too."""
    return DBT_PROJECT / "target" / "weft_manifest.json"


def audience_definitions(manifest: dict[str, Any]) -> list[AudienceDefinition]:
    """Every model with `meta.audience`, by name; the file and its YAML are all it takes to be one."""
    definitions = []
    for node in manifest["nodes"].values():
        audience = node.get("meta", {}).get("audience")
        if node["resource_type"] == "model" and audience is not None:
            definitions.append(
                AudienceDefinition(
                    node["name"],
                    node["description"],
                    node["checksum"]["checksum"],
                    dict(audience),
                    frozenset(node["columns"]),
                )
            )
    return sorted(definitions, key=lambda definition: definition.name)


def read_manifest() -> dict[str, Any]:
    """The manifest that was prepared last."""
    manifest: dict[str, Any] = json.loads(manifest_path().read_text(encoding="utf-8"))
    return manifest


def prepare_manifest(settings: Settings) -> Path:
    """The manifest of the project as its files stand now: parsed again only where one of them is newer."""
    DBT_PROJECT.joinpath("target").mkdir(exist_ok=True)
    with FileLock(DBT_PROJECT / "target" / ".parse.lock"):
        write_exposures()
        manifest = manifest_path()
        if not manifest.exists() or manifest.stat().st_mtime < _last_edit():
            parsed = DBT_PROJECT / "target" / "parsed"
            run_dbt(settings, ["parse", "--target-path", str(parsed)], quiet=True)
            (parsed / manifest.name).write_bytes((parsed / "manifest.json").read_bytes())
            (parsed / manifest.name).replace(manifest)
    return manifest


def last_good_manifest(settings: Settings) -> Path:
    """The same; where the files cannot be read at the moment, since somebody is editing them, the manifest of before.

    What is published, scheduled and landed goes on meanwhile; a build tells whoever edits what is wrong.
    """
    try:
        return prepare_manifest(settings)
    except (BuildError, yaml.YAMLError, LookupError, TypeError):
        if not manifest_path().exists():
            raise
        log.warning("The files of the dbt project cannot be read as they are; what they said before holds until then.")
        return manifest_path()


def _last_edit() -> float:
    files = [DBT_PROJECT / "dbt_project.yml", DBT_PROJECT / "profiles.yml"]
    for folder in ("models", "macros", "tests"):
        files += [path for path in (DBT_PROJECT / folder).rglob("*") if path.suffix in (".sql", ".yml")]
        files += [
            path for path in (DBT_PROJECT / folder).rglob("*") if path.is_dir()
        ]  # a deleted file changes its folder
    return max(path.stat().st_mtime for path in files)


def write_exposures() -> None:
    """Write the exposure of every audience from its YAML, so that dbt's docs and lineage show what leaves the warehouse."""
    folder = DBT_PROJECT / "models" / "audiences"
    exposures = []
    for path in sorted(folder.glob("*.yml")):
        if path == folder / EXPOSURES:
            continue
        for model in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models") or []:
            audience = (model.get("meta") or {}).get("audience")
            if audience:
                exposures.append(
                    {
                        "name": f"{model['name']}_published",
                        "label": model["name"].replace("_", " "),
                        "type": "application",
                        "owner": {"name": audience["owner"]},
                        "description": model["description"],
                        "depends_on": [f"ref('{model['name']}')"],
                        "config": {"meta": {"destinations": audience["destinations"]}},
                    }
                )
    text = "# Written from the audiences' own YAML; not edited and not committed.\n" + yaml.safe_dump(
        {"version": 2, "exposures": exposures}, sort_keys=False
    )
    target = folder / EXPOSURES
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")
