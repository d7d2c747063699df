"""The rules that every event must pass, as SQL text over the built envelope (columns weft__*).

`\\u0000` is taken out of texts and JSON (PostgreSQL can store it in neither); NaN and Infinity, which are not JSON,
refuse the event.
"""

from collections.abc import Iterable, Sequence

from ingestion.envelope import EventType, RejectReason
from ingestion.sql_text import quoted_text
from ingestion.typed_columns import RULE, Rules

AMOUNTS = ("price", "revenue", "total", "tax", "shipping", "discount")
LINE_NUMBERS = ("price", "quantity", "discount")
# DECIMAL(18,4) holds 14 digits before the point; an amount of a trillion is an error in any currency
AMOUNT_LIMIT = "1e12"
DAY = "interval 24 hours"


def json_without_nul(expression: str) -> str:
    r"""JSON without \u0000; an escaped backslash before u0000 is left alone."""
    protected = f"replace({expression}::varchar, '\\\\', chr(1))"
    cleaned = f"replace(replace({protected}, '\\u0000', ''), chr(1), '\\\\')::json"
    return f"(case when contains({expression}, '\\u0000') then {cleaned} else {expression} end)"


def has_no_json_number(expression: str) -> str:
    """True where a JSON text holds NaN or Infinity outside of its strings; DuckDB's reader lets them pass."""
    # the spellings that serialisers and Python's str() write; a search costs a tenth of the regular expression
    likely = " or ".join(f"contains({expression}, '{word}')" for word in ("NaN", "Inf", "nan", "inf"))
    return f"(case when {likely} then regexp_matches({_without_strings(expression)}, '(?i)nan|inf') else false end)"


def is_one_of(expression: str, words: Iterable[str]) -> str:
    """True where a text is one of these words; one search, where `in` would compare with each (or be joined)."""
    return f"contains({quoted_text('|' + '|'.join(words) + '|')}, '|' || {expression} || '|')"


def is_nested_deeply(expression: str) -> str:
    """True where 64 brackets close at once, or thousands open and 64 times taking out the innermost leaves some.

    Readers that recurse fail on such a text: Python's, and at a depth of some 16,000 PostgreSQL's.
    """
    ends = ("repeat('}', 64)", "repeat(']', 64)", "repeat('}]', 32)")
    found = " or ".join(f"contains({expression}, {end})" for end in ends)
    brackets = f"regexp_replace({_without_strings(expression)}, '[^][{{}}]', '', 'g')"
    innermost_out = "replace(replace(left_over, '[]', ''), '{}', '')"
    left_over = f"list_reduce(range(64)::varchar[], lambda left_over, _: {innermost_out}, {brackets})"
    opened = (
        f"(2 * strlen({expression}) - strlen(replace({expression}, '[', '')) - strlen(replace({expression}, '{{', '')))"
    )
    deep = f"strlen({expression}) > 16384 and {opened} > 8192 and {left_over} <> ''"
    # what is nested so deep that it hurts is long, and the length is known without looking
    return f"(strlen({expression}) > 1024 and ({found} or ({deep})))"


def _without_strings(expression: str) -> str:
    return f"""regexp_replace({expression}, '"(?:[^"\\\\]|\\\\.)*"', '', 'g')"""


def amounts_of(properties: str) -> str:
    """SQL list of texts: currency first, then AMOUNTS in order, null where absent."""
    paths = ", ".join(f"'$.{name}'" for name in ("currency", *AMOUNTS))
    return f"json_extract_string({properties}, [{paths}])"


def amount_columns(properties: str) -> str:
    """Columns of the next layer: every amount's text and number, and a list of the numbers of the products."""
    numbers = [
        f"nullif(weft__amounts[{position}], '') as weft__{name}_text, "
        f"try_cast(weft__amounts[{position}] as double) as weft__{name}"
        for position, name in enumerate(AMOUNTS, start=2)
    ]
    numbers_of_lines = ", ".join(f"json_extract_string({properties}, '$.products[*].{name}')" for name in LINE_NUMBERS)
    lines = f"case when contains({properties}, 'products\"') then list_concat({numbers_of_lines}) end"
    return f"{', '.join(numbers)}, nullif(weft__amounts[1], '') as weft__currency, {lines} as weft__line_amounts"


def add_event_rules(rules: Rules, *, objects: Sequence[str], documents: Sequence[str], landed_at: str) -> None:
    """Rules over weft__* columns; `objects` must be JSON objects where present, `documents` are searched for NaN."""
    # most events are tracks, and most money is one of three: the search is for the others
    unknown_type = f"weft__type is null or (weft__type <> 'track' and not {is_one_of('weft__type', EventType)})"
    rules.add(RejectReason.UNKNOWN_TYPE, unknown_type)
    rules.add(RejectReason.MISSING_EVENT_NAME, "weft__type = 'track' and weft__event is null")
    for name in objects:
        rules.add(
            RejectReason.NOT_AN_OBJECT,
            f"weft__{name} is not null and not starts_with(weft__{name}, '{{') "
            f"and not starts_with(ltrim(weft__{name}), '{{')",
            f"{name} is not a JSON object.",
        )
    rules.add(RejectReason.BAD_TIMESTAMP, "weft__has_bad_time or weft__occurred is null")
    rules.add(RejectReason.OCCURRED_BEFORE_1990, "weft__occurred < timestamp '1990-01-01'")
    ahead = f"weft__known > {landed_at} + {DAY}"
    rules.add(
        RejectReason.OCCURRED_TOO_FAR_AHEAD,
        f"weft__occurred > weft__known + {DAY} or (weft__is_known_at_assumed and {ahead})",
    )
    rules.add(RejectReason.KNOWN_TOO_FAR_AHEAD, ahead)
    for name in documents:
        rules.add(RejectReason.TOO_DEEP, is_nested_deeply(f"weft__{name}"))
        rules.add(RejectReason.BAD_NUMBER, has_no_json_number(f"weft__{name}"), f"{name} holds NaN or Infinity.")


def add_money_rules(rules: Rules, currencies: Sequence[str]) -> None:
    """Rules over the columns of `amount_columns`; `currencies` are those of raw.exchange_rates."""
    for name in AMOUNTS:
        unusable = f"weft__{name}_text is not null and not coalesce(abs(weft__{name}) < {AMOUNT_LIMIT}, false)"
        rules.add(RejectReason.BAD_NUMBER, unusable, f"{name} is not a finite number of a usable size.")
    unusable_lines = (
        "weft__line_amounts is not null and len(list_filter(weft__line_amounts, lambda amount: amount <> '' "
        f"and not coalesce(abs(try_cast(amount as double)) < {AMOUNT_LIMIT}, false))) > 0"
    )
    rules.add(
        RejectReason.BAD_NUMBER, unusable_lines, "A price, quantity or discount in products is not a usable number."
    )
    negative = " or ".join(f"weft__{name} < 0" for name in AMOUNTS)
    rules.add(RejectReason.NEGATIVE_PRICE, negative)
    negative_lines = "len(list_filter(weft__line_amounts, lambda amount: try_cast(amount as double) < 0)) > 0"
    rules.add(RejectReason.NEGATIVE_PRICE, f"weft__line_amounts is not null and {negative_lines}")
    texts = ", ".join(f"weft__{name}_text" for name in AMOUNTS)
    carries_money = f"(coalesce({texts}) is not null or weft__line_amounts is not null)"
    as_given, as_iso = (is_one_of(text, currencies) for text in ("weft__currency", "upper(weft__currency)"))
    rare = " and ".join(f"weft__currency <> '{common}'" for common in ("EUR", "USD", "GBP") if common in currencies)
    unknown = " and ".join(
        ["weft__currency is not null", *([rare] if rare else []), f"not {as_given}", f"not {as_iso}"]
    )
    rules.add(RejectReason.UNKNOWN_CURRENCY, f"{unknown} and {carries_money}")


def combined_rule(rules: Rules) -> str:
    """The number of the first broken rule, those of the layers below first."""
    return f"coalesce({RULE}, {rules.number()})"
