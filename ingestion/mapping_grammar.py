"""The grammar of a mapping: pydantic models of the YAML that says how a file becomes rows of `raw`.

Expressions are DuckDB SQL over the declared columns; they are trusted configuration, like dbt models. A number or a
boolean in YAML stands for itself. `optional` names columns that a file may lack: they are null then. `delimiter` is
for CSV only, where it is otherwise found by the header. `identifiers` is a map of type to expression, or one expression that gives
the list of {"type", "value"} as JSON. `keep_payload` keeps the row as raw.events.payload, `payload` what an expression gives.
"""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

ColumnType = Literal["text", "integer", "decimal", "timestamp", "date", "boolean", "json"]
FileFormat = Literal["csv", "ndjson", "json", "parquet"]
Target = Literal["events", "products", "exchange_rates"]


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


def _json_document(value: object) -> object:
    if not isinstance(value, str | dict | None):
        raise ValueError("{field} must be a map or one expression")
    return _tree_of_expressions(value)


Expression = Annotated[str, BeforeValidator(_literal_as_sql), Field(min_length=1)]
JsonExpression = Annotated[Any, BeforeValidator(_json_document)]


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

    source: Expression | None = None
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


class Deliveries(_Strict):
    """Rows that are deliveries: the same event may come again, from a sender that had no answer.

    What differs from delivery to delivery is not what the event says: when it was sent and received, and the members of `context` and
    `payload` named here, which the collector or the sender's library writes anew each time.
    """

    context: list[str] = []
    payload: list[str] = []


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
    identifiers: dict[str, Expression] | Expression = {}
    properties: JsonExpression = Field(default_factory=dict)
    traits: JsonExpression = Field(default_factory=dict)
    context: JsonExpression = Field(default_factory=dict)
    consent: JsonExpression = None
    keep_payload: bool = False
    payload: Expression | None = None
    deliveries: Deliveries | None = None
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
            raise ValueError(f"target {self.target} cannot have the block '{others[0]}' as well: one target a mapping")
        return self

    @model_validator(mode="after")
    def _one_payload(self) -> "Mapping":
        if self.keep_payload and self.payload is not None:
            raise ValueError("keep_payload and payload cannot both be given: one of them says what the payload is")
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
