"""Mappings: YAML files that say how a file of one source becomes events, products or exchange rates.

The grammar is written in `docs` and in the files beside this module. Expressions are DuckDB SQL over the declared
columns; they are trusted configuration, like dbt models.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

MAPPINGS_FOLDER = Path(__file__).with_name("mappings")

ColumnType = Literal["text", "integer", "decimal", "timestamp", "date", "boolean", "json"]
FileFormat = Literal["csv", "ndjson", "json", "parquet"]
Target = Literal["events", "products", "exchange_rates"]


class MappingError(ValueError):
    """A mapping cannot be used; the text names the file and the field."""


def _literal_as_sql(value: object) -> object:
    """YAML numbers and booleans stand for themselves, everywhere an expression may stand."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _tree_of_expressions(value: object, place: str = "") -> object:
    """A JSON object is one expression, or a map of expressions, literals, maps and lists."""
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                raise ValueError(f"the key '{key}' must be text")
            _tree_of_expressions(child, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for child in value:
            _tree_of_expressions(child, place)
    elif (value is None and place) or not isinstance(value, str | bool | int | float | None) or value == "":
        raise ValueError(f"'{place}' has no expression")
    return value


Expression = Annotated[str, BeforeValidator(_literal_as_sql), Field(min_length=1)]
JsonExpression = Annotated[Any, BeforeValidator(_tree_of_expressions)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RejectRule(_Strict):
    """The mapping's own reason to refuse a row; the first rule that holds counts."""

    reason: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    when: Expression
    detail: str = "A rule of the mapping refuses this row."


class EventFields(_Strict):
    """Expressions for the scalar fields of the envelope."""

    type: Expression
    event: Expression | None = None
    source: Expression | None = None
    message_id: Expression | None = None
    user_id: Expression | None = None
    anonymous_id: Expression | None = None
    original_timestamp: Expression | None = None
    sent_at: Expression | None = None
    received_at: Expression | None = None
    occurred_at: Expression | None = None
    known_at: Expression | None = None


class ProductFields(_Strict):
    """Expressions for raw.products."""

    product_id: Expression
    name: Expression | None = None
    category_path: Expression | None = None
    price: Expression | None = None
    currency: Expression | None = None
    stock: Expression | None = None
    is_repeatable: Expression | None = None
    updated_at: Expression | None = None


class RateFields(_Strict):
    """Expressions for raw.exchange_rates."""

    rate_date: Expression
    currency: Expression
    rate: Expression


class Mapping(_Strict):
    """One validated mapping file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
    description: str = ""
    source: Annotated[str, Field(min_length=1)]
    target: Target = "events"
    format: FileFormat | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    columns: Annotated[dict[str, ColumnType], Field(min_length=1)]
    optional: list[str] = []
    rejects: list[RejectRule] = []
    event: EventFields | None = None
    identifiers: dict[str, Expression] = {}
    properties: JsonExpression = Field(default_factory=dict)
    traits: JsonExpression = Field(default_factory=dict)
    context: JsonExpression = Field(default_factory=dict)
    consent: JsonExpression = None
    keep_payload: bool = False
    product: ProductFields | None = None
    rate: RateFields | None = None

    @model_validator(mode="after")
    def _one_target(self) -> "Mapping":
        blocks = {"events": self.event, "products": self.product, "exchange_rates": self.rate}
        named = {"events": "event", "products": "product", "exchange_rates": "rate"}
        if blocks[self.target] is None:
            raise ValueError(f"target {self.target} needs the block '{named[self.target]}'")
        others = [named[target] for target, block in blocks.items() if block is not None and target != self.target]
        if others:
            raise ValueError(f"target {self.target} cannot have the block '{others[0]}' as well: one target per mapping")
        return self

    @model_validator(mode="after")
    def _columns_are_told_apart(self) -> "Mapping":
        unknown = [name for name in self.optional if name not in self.columns]
        if unknown:
            raise ValueError(f"optional names '{unknown[0]}', which is not among the columns")
        if len({name.casefold() for name in self.columns}) < len(self.columns):
            raise ValueError("columns has two names that differ only in upper and lower case")
        return self

    @cached_property
    def required_columns(self) -> tuple[str, ...]:
        """Columns that a file must have."""
        return tuple(name for name in self.columns if name not in self.optional)


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
        raise MappingError(f"There is no mapping '{name_or_path}'; name one of {known}, or give the path of a .yml file.")
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
            return f"{first['msg'].removeprefix('Value error, ')}."
        case _:
            return f"{field} is not valid: {first['msg'][0].lower()}{first['msg'][1:]}."

