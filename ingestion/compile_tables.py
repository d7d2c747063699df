"""Compile mappings whose target is a table with a key: raw.products and raw.exchange_rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingestion.compile import Compiled
from ingestion.envelope import EXCHANGE_RATES, PRODUCTS, RejectReason, Table
from ingestion.mapping_grammar import Mapping
from ingestion.readers import FileShape, reader_sql
from ingestion.settlement import timestamp
from ingestion.sql_text import quoted_text, text_list
from ingestion.typed_columns import RULE, Rules, typed_columns, utc_timestamp


@dataclass(frozen=True)
class KeyedTable:
    """How rows are merged: the table's key tells them apart, `body` is compared, the newest by `order` wins."""

    table: Table
    body: tuple[str, ...]
    order: str


KEYED_TABLES = {
    "products": KeyedTable(
        PRODUCTS,
        ("name", "category_path", "price", "currency", "stock", "is_repeatable"),
        "updated_at",
    ),
    "exchange_rates": KeyedTable(EXCHANGE_RATES, ("rate",), "rate_date"),
}


def compile_table(mapping: Mapping, shape: FileShape, *, currencies: Sequence[str], landed_at: datetime) -> Compiled:
    """The select of typed rows and weft__rule for products or exchange rates."""
    rules = Rules()
    typed = typed_columns(mapping, shape.format, reader_sql(mapping, shape), rules)
    for rule in mapping.rejects:
        rules.add(rule.reason, f"({rule.when})", rule.detail)
    below = f"select *, coalesce({RULE}, {rules.number()}) as weft__below from ({typed})"
    columns = _product(mapping, landed_at) if mapping.product else _rate(mapping)
    given = ", ".join(f"{expression} as {name}" for name, expression in columns.items())
    values = _values(mapping)
    bad = " or ".join(f"(({expression}) is not null and {typed_} is null)" for expression, typed_ in values) or "false"
    built = f"select {given}, {bad} as weft__is_bad, weft__below from ({below})"
    rules.add(RejectReason.BAD_VALUE, "weft__is_bad")
    _add_rules(mapping, currencies, rules)
    names = ", ".join(columns)
    select = f"select {names}, coalesce(weft__below, {rules.number()}) as {RULE} from ({built})"
    return Compiled(select, tuple(rules.listed))


def _product(mapping: Mapping, landed_at: datetime) -> dict[str, str]:
    assert mapping.product is not None
    product = mapping.product
    updated_at = utc_timestamp(f"({product.updated_at or 'null'})")
    return {
        **{name: _text(getattr(product, name)) for name in ("product_id", "name", "category_path")},
        "price": f"try_cast(({product.price or 'null'}) as decimal(18, 4))",
        "currency": f"upper({_text(product.currency)})",
        "stock": f"try_cast(({product.stock or 'null'}) as bigint)",
        "is_repeatable": f"try_cast(({product.is_repeatable or 'null'}) as boolean)",
        "source": f"coalesce({_text(product.source)}, {quoted_text(mapping.source)})",
        "updated_at": f"coalesce({updated_at}, {timestamp(landed_at)})",
        "landed_at": timestamp(landed_at),
    }


def _rate(mapping: Mapping) -> dict[str, str]:
    assert mapping.rate is not None
    return {
        "rate_date": f"try_cast(({mapping.rate.rate_date}) as date)",
        "currency": f"upper({_text(mapping.rate.currency)})",
        "rate": f"try_cast(({mapping.rate.rate}) as decimal(18, 8))",
    }


def _values(mapping: Mapping) -> list[tuple[str, str]]:
    """Expressions that must be of a type where they are given, with their cast."""
    types = {"price": "decimal(18, 4)", "stock": "bigint", "is_repeatable": "boolean", "updated_at": "timestamp"}
    block = mapping.product or mapping.rate
    return [
        (expression, f"try_cast(({expression}) as {type_})")
        for name, type_ in types.items()
        if (expression := getattr(block, name, None))
    ]


def _add_rules(mapping: Mapping, currencies: Sequence[str], rules: Rules) -> None:
    if mapping.product:
        rules.add(RejectReason.MISSING_KEY, "product_id is null", "The product has no id.")
        rules.add(RejectReason.NEGATIVE_PRICE, "price < 0")
        rules.add(RejectReason.UNKNOWN_CURRENCY, f"currency not in {text_list(currencies)}")
        far = "updated_at > landed_at + interval 24 hours"
        rules.add(RejectReason.KNOWN_TOO_FAR_AHEAD, far, "updated_at lies more than 24 hours after this landing.")
    else:
        keyless = "rate_date is null or currency is null"
        rules.add(RejectReason.MISSING_KEY, keyless, "A rate needs a date and a currency.")
        is_no_code = "not regexp_full_match(currency, '[A-Z]{3}')"
        rules.add(RejectReason.BAD_VALUE, is_no_code, "A currency is a code of three letters, as in ISO 4217.")
        rules.add(RejectReason.BAD_NUMBER, "rate is null or rate <= 0", "A rate must be a number above zero.")
        not_base = "currency = 'EUR' and rate <> 1"
        rules.add(RejectReason.BAD_VALUE, not_base, "Rates are units for 1 EUR, so that of EUR itself is 1.")


def _text(expression: str | None) -> str:
    return f"nullif(trim(replace(({expression})::varchar, chr(0), '')), '')" if expression else "null::varchar"


def decide_rows(keyed: KeyedTable) -> str:
    """weft_verdict for a keyed table: the newest row of a key is new unless the table already says so, or newer."""
    keys = ", ".join(keyed.table.key)
    same = " and ".join(f"arrived.{name} is not distinct from standing.{name}" for name in keyed.body)
    if keyed.order in keyed.table.key:
        is_known = f"standing.{keyed.table.key[0]} is not null and {same}"
    else:
        # a row without a date of its own is dated by its landing, and only a change of its body is news
        undated = f"arrived.{keyed.order} = arrived.landed_at"
        is_known = (
            f"standing.{keyed.order} > arrived.{keyed.order} "
            f"or ({same} and (standing.{keyed.order} = arrived.{keyed.order} or {undated}))"
        )
    return f"""
create or replace temp table weft_verdict as
with arrived as (
    select *, rowid as place, row_number() over (partition by {keys} order by {keyed.order} desc, rowid desc) as rank
    from weft_staged where {RULE} is null
)
select place, case when rank > 1 or coalesce({is_known}, false) then 'duplicate' else 'new' end as verdict
from arrived left join {keyed.table.name} as standing using ({keys})
"""


def new_rows(keyed: KeyedTable) -> str:
    """The staged rows to take the places of those with their keys, in the columns of the table."""
    return (
        f"select {', '.join(keyed.table.column_names)} from weft_staged where {RULE} is null "
        "and rowid in (select place from weft_verdict where verdict = 'new')"
    )
