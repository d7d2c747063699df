"""JSON from people and clients, read strictly and with limits: hostile input is refused quickly, with one sentence."""

import json
import math
from decimal import Decimal
from typing import Any

from activation.rules.problems import Problem, RuleError

MOST_BYTES = 100_000
MOST_DEPTH = 24
"""Lists and objects within each other. A rule's own limit is lower; this one keeps reading itself cheap."""
MOST_VALUES = 10_000
MOST_CHARACTERS = 1_000
"""Of one text. Rules and names have lower limits of their own."""
MOST_DIGITS = 40


def read_json(content: str | bytes) -> Any:
    """The value of a JSON text: whole numbers as int, others as Decimal. Raises RuleError.

    Refused: too big or too deep, a key that comes twice, NaN and infinities, numbers beyond 40 digits, texts with a lone surrogate
    or a NUL, and bytes that are not UTF-8.
    """
    if len(content) > MOST_BYTES:
        raise _refused(f"a rule may have {MOST_BYTES:,} bytes, and this one has {len(content):,}.")
    if isinstance(content, bytes):
        try:
            content = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise _refused("a rule is JSON in UTF-8, and these bytes are not UTF-8.") from None
    _check_brackets(content)
    try:
        value = json.loads(
            content,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_int=_whole_number,
            parse_float=_number,
        )
    except json.JSONDecodeError as error:
        raise _refused(f"this is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    check_json(value)
    return value


def check_json(value: Any) -> None:
    """Hold a value that somebody else has read from JSON to the same limits. Raises RuleError."""
    waiting = [(value, "$", 1)]
    seen = 0
    while waiting:
        here, path, depth = waiting.pop()
        seen += 1
        if depth > MOST_DEPTH:
            raise _too_deep()
        if seen > MOST_VALUES:
            raise _refused(f"a rule may hold {MOST_VALUES:,} values, and this one holds more.")
        if isinstance(here, str):
            _check_text(here, path)
        elif isinstance(here, list):
            waiting += [(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(here)]
        elif isinstance(here, dict):
            for key, each in here.items():
                _check_text(key, path)
                waiting.append((each, f"{path}.{key[:40]}", depth + 1))
        elif isinstance(here, float):
            _check_float(here, path)
        elif isinstance(here, int):
            if abs(here) >= 10**MOST_DIGITS:
                raise _refused(f"a number may have {MOST_DIGITS} digits.", path)
        elif here is not None and not isinstance(here, Decimal):
            raise _refused("only JSON values can stand in a rule.", path)


def _check_float(number: float, path: str) -> None:
    if not math.isfinite(number):
        raise _refused("NaN and infinities are no numbers here.", path)


def _check_text(text: object, path: str) -> None:
    if not isinstance(text, str):
        raise _refused("the keys of an object are texts.", path)
    if len(text) > MOST_CHARACTERS:
        raise _refused(f"a text may have {MOST_CHARACTERS:,} characters, and this one has {len(text):,}.", path[:200])
    if "\x00" in text:
        raise _refused("a text may not hold the character NUL (\\u0000).", path[:200].replace("\x00", "?"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _refused(
            "a text may not hold half of a surrogate pair.", path[:200].encode(errors="replace").decode()
        ) from None


def _check_brackets(text: str) -> None:
    """Python's reader goes down once per bracket; what is too deep for it is refused before it starts."""
    depth, in_text, escaped = 0, False, False
    for letter in text:
        if in_text:
            if escaped:
                escaped = False
            elif letter == "\\":
                escaped = True
            elif letter == '"':
                in_text = False
        elif letter == '"':
            in_text = True
        elif letter in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise _too_deep()
        elif letter in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _refused(f"the key {json.dumps(key[:40])} comes twice in one object.")
        found[key] = value
    return found


def _no_constant(word: str) -> Any:
    raise _refused(f"{word} is no number of JSON.")


def _whole_number(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise _refused(f"a number may have {MOST_DIGITS} digits.")
    return int(digits)


def _number(digits: str) -> Decimal:
    if len(digits) > MOST_DIGITS:
        raise _refused(f"a number may have {MOST_DIGITS} digits.")
    number = Decimal(digits)
    if number and not -MOST_DIGITS < number.adjusted() < MOST_DIGITS:
        raise _refused("a number may not be larger than 1e40 or nearer to 0 than 1e-40.")
    return number


def _too_deep() -> RuleError:
    return _refused(f"lists and objects may stand {MOST_DEPTH} deep in each other, and these go deeper.")


def _refused(sentence: str, path: str = "$") -> RuleError:
    return RuleError([Problem(path, sentence)])


def write_json(value: Any) -> str:
    """The JSON text of a value that `read_json` gave, always the same for the same value: keys sorted, every digit kept."""
    if isinstance(value, dict):
        members = (f"{json.dumps(key, ensure_ascii=False)}: {write_json(value[key])}" for key in sorted(value))
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(write_json, value)) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}" if "." in f"{value:f}" else f"{value:f}.0"
    return json.dumps(value, ensure_ascii=False)
