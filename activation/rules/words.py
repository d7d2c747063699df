"""What a condition asks for, in words; and what of a customer is shown with it. Of a personal column nothing is shown."""

from typing import Any

from activation.rules.fragments import Sql, sql
from activation.rules.tree import Attribute, Condition, EventCount, EventMatch, InAudience, Leaf, Sequence

MOST_SHOWN = 5
_LONGEST = 80
_SAID = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "lt": "below",
    "lte": "at most",
    "gt": "above",
    "gte": "at least",
    "contains": "contains",
    "starts_with": "starts with",
    "has_any": "has one of",
    "is_null": "is missing",
    "is_not_null": "is there",
}
_INSTANTS = {"lt": "before", "lte": "not after", "gt": "after", "gte": "not before", "eq": "on", "ne": "not on"}


def asked(leaf: Leaf, *, holds: bool) -> str:
    """The condition in words, or its opposite: 'net revenue at least 100', 'not in high_value'."""
    if isinstance(leaf, Attribute):
        text = f"{_name(leaf.condition.column.name)} {said(leaf.condition)}"
        return text if holds else f"not: {text}"
    if isinstance(leaf, InAudience):
        return f"{'in' if holds else 'not in'} {leaf.name}"
    if isinstance(leaf, EventCount):
        what = f"{match_words(leaf.match)} {number_words(leaf)}{leaf.window.words}"
        return what if holds else f"not: {what}"
    return sequence_words(leaf) if holds else f"not: {sequence_words(leaf)}"


def around_value(leaf: Leaf, *, holds: bool) -> tuple[str, str]:
    """The words before and behind the customer's own value: 'net revenue ' … ' (at least 100)'; the value is left out where the
    second is empty and `value_sql` is none."""
    if isinstance(leaf, Attribute):
        negation = "" if holds else "not: "
        if leaf.condition.operator in ("is_null", "is_not_null"):
            return asked(leaf, holds=holds), ""
        return f"{_name(leaf.condition.column.name)} ", f" ({negation}{said(leaf.condition)})"
    if isinstance(leaf, EventCount):
        negation = "" if holds else "not "
        return f"{match_words(leaf.match)}: ", f"{_different(leaf)}{leaf.window.words} ({negation}{_compared(leaf)})"
    if isinstance(leaf, Sequence) and holds:
        return f"{sequence_words(leaf)}: ", ""
    return asked(leaf, holds=holds), ""


def value_sql(leaf: Leaf, index: int, *, holds: bool) -> Sql | None:
    """The customer's own value as text, where one is shown; `profiles`, `counted` and `went_<index>` are in scope."""
    if isinstance(leaf, Attribute):
        if leaf.condition.column.is_personal or leaf.condition.operator in ("is_null", "is_not_null"):
            return None
        return sql("coalesce({}, 'missing')", _as_text(leaf.condition))
    if isinstance(leaf, EventCount):
        return Sql(f"cast(coalesce(counted.n{index}, 0) as varchar)")
    if isinstance(leaf, Sequence) and holds:
        return Sql(f"cast(cast(went_{index}.ended_at as date) as varchar)")
    return None


def said(condition: Condition) -> str:
    """What is asked of the column, without its name. Of a personal column only that something is asked."""
    operator, column = condition.operator, condition.column
    if operator in ("is_null", "is_not_null"):
        return _SAID[operator]
    if column.is_personal:
        return "meets its condition"
    if operator == "within_last_days":
        return f"within the last {_days(condition.given[0])}"
    if operator == "at_least_days_ago":
        return f"at least {_days(condition.given[0])} ago"
    if operator == "between":
        return f"between {_plain(condition.given[0])} and {_plain(condition.given[1])}"
    words = _INSTANTS[operator] if column.kind == "instant" else _SAID[operator]
    more = len(condition.given) - MOST_SHOWN
    listed = ", ".join(map(_plain, condition.given[:MOST_SHOWN])) + (f" and {more:,} more" if more > 0 else "")
    return f"{words} {listed}"


def match_words(match: EventMatch) -> str:
    """'Product Viewed or Product Added (category is shoes)'."""
    more = len(match.names) - MOST_SHOWN
    names = " or ".join(map(_short, match.names[:MOST_SHOWN])) + (f" or {more} more" if more > 0 else "")
    filters = ", ".join(f"{_name(each.column.name)} {said(each)}" for each in match.where)
    return f"{names} ({filters})" if filters else names


def number_words(count: EventCount) -> str:
    """'at least 2', with what is counted where that is not the events themselves."""
    return f"{_compared(count)}{_different(count)}"


def sequence_words(sequence: Sequence) -> str:
    """'Product Viewed, then no Order Completed within 7 days'."""
    parts = []
    for index, step in enumerate(sequence.steps):
        then = "" if index == 0 else "then "
        minutes = step.within_minutes
        limit = ""
        if minutes is not None:
            limit = f" within {_days(minutes // 1440)}" if minutes % 1440 == 0 else f" within {minutes // 60} hours"
        parts.append(f"{then}{'no ' if step.is_negated else ''}{match_words(step.match)}{limit}")
    ended = f" (ended{sequence.window.words})" if sequence.window.words else ""
    return f"{', '.join(parts)}{ended}"


def _compared(count: EventCount) -> str:
    return f"{count.compare.replace('_', ' ')} {count.number:,}"


def _different(count: EventCount) -> str:
    return f" different {_name(count.distinct.name)}" if count.distinct else ""


def _as_text(condition: Condition) -> Sql:
    column = f"profiles.{condition.column.name}"
    texts = {
        "text": f"left({column}, {_LONGEST})",
        "decimal": f"cast(cast({column} as decimal(18, 2)) as varchar)",
        "float": f"cast(floor({column} * 10000 + 0.5) / 10000 as varchar)",
        "instant": f"cast(cast({column} as date) as varchar)",
    }
    return Sql(texts.get(condition.column.kind, f"cast({column} as varchar)"))


def _plain(given: Any) -> str:
    if isinstance(given, bool):
        return "true" if given else "false"
    return _short(given) if isinstance(given, str) else f"{given}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _name(column: str) -> str:
    return column.replace("_", " ")


def _days(number: int) -> str:
    return f"{number} day" if number == 1 else f"{number} days"
