"""Mappings: the YAML files beside this module, and a person's own, that say how a file of one source becomes events."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ingestion.mapping_grammar import Mapping

COLLECTED, COLLECTED_PRODUCTS = "collected", "collected_products"
"""Mappings of what comes over the event log."""
MAPPINGS_FOLDER = Path(__file__).with_name("mappings")


class MappingError(ValueError):
    """A mapping cannot be used; the text names the file and the field."""


class _StrictLoader(yaml.SafeLoader):
    """YAML without silent loss: a key that stands twice is an error."""


def _mapping_without_twins(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key_node) for key_node, _ in node.value]
    twins = [key for position, key in enumerate(keys) if key in keys[:position]]
    if twins:
        raise yaml.constructor.ConstructorError(None, None, f"the key '{twins[0]}' stands twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_twins)


def available_mappings() -> list[str]:
    """Names of the mappings that come with Weft, sorted."""
    return sorted(path.stem for path in MAPPINGS_FOLDER.glob("*.yml"))


def load_mapping(name_or_path: str | Path) -> Mapping:
    """Read a mapping by its name or from a .yml file.

    Raises MappingError with one sentence that names the file and the field.
    """
    path = _mapping_path(name_or_path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MappingError(f"{path.name} is not valid YAML: {_first_line(error)}.") from error
    except OSError as error:
        raise MappingError(f"{path.name} cannot be read: {error.strerror}.") from error
    if not isinstance(content, dict):
        raise MappingError(f"{path.name} must be a YAML object with name, source, columns and event.")
    try:
        return Mapping.model_validate(content)
    except ValidationError as error:
        raise MappingError(f"{path.name}: {_validation_sentence(error)}") from error


def _mapping_path(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in {".yml", ".yaml"}:
        if not path.is_file():
            raise MappingError(f"The mapping file {path} does not exist.")
        return path
    bundled = MAPPINGS_FOLDER / f"{path.name}.yml"
    if str(path) != path.name or not bundled.is_file():
        known = ", ".join(available_mappings())
        raise MappingError(f"There is no mapping '{name_or_path}'; name one of {known}, or the path of a .yml file.")
    return bundled


def _first_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} in line {error.problem_mark.line + 1}"
    return str(error).splitlines()[0].rstrip(".")


def _validation_sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    # pydantic names the member of a union that failed; a person wrote no such key
    field = ".".join(part for part in place if not part.startswith(("dict[", "str", "function-", "constrained-")))
    match first["type"]:
        case "missing":
            return f"{field} is missing."
        case "extra_forbidden":
            return f"{field} is not a key of the mapping grammar."
        case "value_error":
            return f"{first['msg'].removeprefix('Value error, ').replace('{field}', field)}."
        case _:
            return f"{field} is not valid: {first['msg'][0].lower()}{first['msg'][1:]}."


__all__ = ["Mapping", "MappingError", "available_mappings", "load_mapping"]
