"""The values of conditions: from JSON to what the warehouse compares a column with, or a sentence that says what is allowed."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from activation.rules.columns import ACCEPTS, OPERATORS, Column
from activation.rules.problems import Problems, kind_of, shown
from activation.rules.tree import Ago, Condition, Value

LONGEST_TEXT = 200
LONGEST_LIST = 1_000
LONGEST_ANY = 50
MOST_DAYS = 3_650
YEARS = (1900, 2200)
LARGEST_WHOLE = 2**63 - 1
LARGEST_DECIMAL = Decimal(10) ** 18
DECIMAL_PLACES = 10
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?", re.ASCII)
_TICK = timedelta(microseconds=1)


class _WrongError(Exception):
    """A value that cannot stand where it stands; its text is the sentence."""


def read_condition(given: dict[str, Any], path: str, column: Column, problems: Problems) -> Condition | None:
    """The condition that `op` and `value` of an object make of a column; None (and a problem) where they make none."""
    operator = _operator(given, path, column, problems)
    if operator is None:
        return None
    if operator in ("is_null", "is_not_null"):
        if "value" in given:
            problems.add(f"{path}.value", f"{operator} takes no value; leave it out.")
            return None
        return Condition(column, operator, (), ())
    if "value" not in given:
        problems.add(path, f"says no value; {operator} needs {_wanted(column, operator)}.")
        return None
    before = len(problems.found)
    values = _values(given["value"], f"{path}.value", column, operator, problems)
    if len(problems.found) > before:
        return None
    said = given["value"] if isinstance(given["value"], list) else [given["value"]]
    return Condition(column, operator, tuple(values), tuple(said))


def _operator(given: dict[str, Any], path: str, column: Column, problems: Problems) -> str | None:
    operators, operator = OPERATORS[column.kind], given.get("op")
    hint = f"{column.name} holds {ACCEPTS[column.kind].partition(' (')[0]} and takes {', '.join(operators)}"
    if operator is None:
        problems.add(path, f"says no op; {hint}.")
    elif isinstance(operator, str) and operator in operators:
        return operator
    else:
        problems.add(f"{path}.op", f"{shown(operator)} cannot be asked of {column.name}; {hint}.")
    return None


def whole_number(value: Any, path: str, problems: Problems, *, least: int, most: int) -> int | None:
    """A number that counts something; None (and a problem) for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    problems.add(path, f"takes a whole number from {least:,} to {most:,}, not {_what(value)}.")
    return None


def day(value: Any) -> datetime | None:
    """The midnight (UTC) of a date such as "2026-01-31"; None for anything else."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError:
        return None
    return datetime(found.year, found.month, found.day) if YEARS[0] <= found.year < YEARS[1] else None


def _values(value: Any, path: str, column: Column, operator: str, problems: Problems) -> list[Value]:
    if operator in ("within_last_days", "at_least_days_ago"):
        days = whole_number(value, path, problems, least=0, most=MOST_DAYS)
        return [] if days is None else [Ago(days)]
    if operator in ("in", "not_in", "has_any", "between"):
        return _list(value, path, column, operator, problems)
    try:
        if column.kind == "instant":
            return [*_edges(operator, *_instant(value, column))]
        return [_single(value, column, operator)]
    except _WrongError as wrong:
        problems.add(path, str(wrong))
        return []


def _list(value: Any, path: str, column: Column, operator: str, problems: Problems) -> list[Value]:
    most = {"between": 2, "has_any": LONGEST_ANY}.get(operator, LONGEST_LIST)
    least = 2 if operator == "between" else 1
    if not isinstance(value, list) or not least <= len(value) <= most:
        size = "a list of two" if operator == "between" else f"a list of 1 to {most:,}"
        problems.add(path, f"{operator} takes {size}, each {ACCEPTS[column.kind]}, not {_what(value)}.")
        return []
    found: list[Any] = []
    days = []
    for index, each in enumerate(value):
        try:
            if column.kind == "instant":
                days.append(_instant(each, column))
            else:
                found.append(_single(each, column, operator))
        except _WrongError as wrong:
            problems.add(f"{path}[{index}]", str(wrong))
    if len(days) == 2:
        found = [days[0][0], days[1][1]]
    if operator == "between" and len(found) == 2 and found[0] > found[1]:
        problems.add(path, "between takes the smaller value first.")
    return found


def _single(value: Any, column: Column, operator: str) -> Value:
    """One value of a column that holds no dates."""
    if column.kind == "text" and isinstance(value, str):
        return _text(value, operator)
    if column.kind == "boolean" and isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if column.kind == "whole":
            return _whole(value, column)
        if column.kind in ("decimal", "float"):
            return _number(value, column)
    raise _WrongError(f"{column.name} takes {ACCEPTS[column.kind]}, not {_what(value)}.")


def _text(value: str, operator: str) -> str:
    if len(value) > LONGEST_TEXT:
        raise _WrongError(
            f"a text to compare with may have {LONGEST_TEXT} characters, and this one has {len(value):,}."
        )
    if operator in ("contains", "starts_with", "has_any") and not value:
        raise _WrongError(f"{operator} takes a text with at least one character.")
    if operator == "has_any" and "," in value:
        raise _WrongError("has_any looks for single entries of a list with commas: give each as a text of its own.")
    return value


def _whole(value: int | float | Decimal, column: Column) -> int:
    number = int(value)
    if value != number:
        raise _WrongError(f"{column.name} takes a whole number, and this one has decimals.")
    if abs(number) > LARGEST_WHOLE:
        raise _WrongError(f"{column.name} takes a whole number of up to 18 digits.")
    return number


def _number(value: int | float | Decimal, column: Column) -> Value:
    exact = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if abs(exact) >= LARGEST_DECIMAL:
        raise _WrongError(f"{column.name} takes a number smaller than 10 to the 18th.")
    if column.kind == "float":
        return float(exact)
    rounded = exact.quantize(Decimal(1).scaleb(-DECIMAL_PLACES))
    if rounded != exact:
        raise _WrongError(f"{column.name} takes a number with up to {DECIMAL_PLACES} decimals.")
    return rounded


def _instant(value: Any, column: Column) -> tuple[datetime, datetime]:
    """The first instant that is meant, and the first that is not any more: a date means its whole day."""
    midnight = day(value)
    if midnight is not None:
        return midnight, midnight + timedelta(days=1)
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            instant = datetime.fromisoformat(value)
            instant = instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
        except (ValueError, OverflowError):
            instant = datetime.min
        if YEARS[0] <= instant.year < YEARS[1]:
            return instant, instant + _TICK
    what = "no date that there is" if isinstance(value, str) else _what(value)
    raise _WrongError(
        f"{column.name} takes {ACCEPTS['instant']} of the years {YEARS[0]} to {YEARS[1] - 1}, not {what}."
    )


def _edges(operator: str, first: datetime, after: datetime) -> Sequence[datetime]:
    """What the column is compared with: always `>= first` or `< after`, so that dates and instants make the same SQL."""
    if operator in ("eq", "ne"):
        return (first, after)
    return (first,) if operator in ("lt", "gte") else (after,)


def _wanted(column: Column, operator: str) -> str:
    if operator in ("within_last_days", "at_least_days_ago"):
        return "a number of days"
    if operator in ("in", "not_in", "has_any", "between"):
        return f"a list, each {ACCEPTS[column.kind]}"
    return ACCEPTS[column.kind]


def _what(value: Any) -> str:
    return f"one with {len(value):,}" if isinstance(value, list) else kind_of(value)
