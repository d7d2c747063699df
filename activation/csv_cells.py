"""Cells of a CSV file (RFC 4180): text always in quotes, so that an empty text is no null; for people nothing that is computed."""

import json
import math
import re
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal

_TRIGGERS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_BEGINS = re.compile(rf'["\s]*[{_TRIGGERS}]|[\t\r\n]')
_AFTER_A_SEPARATOR = re.compile(rf'([;,|\t\r\n]["\s]*)(?=[{_TRIGGERS}])')
"""A spreadsheet that expects another separator than the comma sees a cell begin there, quotes or not."""
PHONE = re.compile(r"\+[1-9][0-9]{7,14}")


def neutralised(text: str) -> str:
    """The text with an apostrophe wherever a spreadsheet could take it for a formula (OWASP, CSV injection)."""
    safe = _AFTER_A_SEPARATOR.sub(r"\1'", text)
    return f"'{safe}" if _BEGINS.match(text) else safe


def cell(value: object, *, for_people: bool, is_phone: bool = False) -> str:
    """One cell. Numbers are numbers, instants are ISO 8601 in UTC; a phone number is text as it is, where its column is declared."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    text = _text(value)
    if for_people and not (is_phone and PHONE.fullmatch(text)):
        text = neutralised(text)
    return '"' + text.replace('"', '""') + '"'


def line(cells: Iterable[str]) -> bytes:
    """A line of cells; one that had nothing at all would be no line."""
    return ((",".join(cells) or '""') + "\r\n").encode("utf-8", "replace")


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, date) else json.dumps(value, default=str, ensure_ascii=False)
