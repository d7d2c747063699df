"""What Google's APIs say went wrong: a google.rpc.Status, with details of which some name fields of the request by their path."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_ROW = re.compile(r"audience_?[mM]embers\[(\d{1,6})\]")

_ROW_REASONS = frozenset(
    {
        "INVALID_ARGUMENT",
        "INVALID_AUDIENCE_MEMBER",
        "INVALID_BASE64_ENCODING",
        "INVALID_COUNTRY_CODE",
        "INVALID_FORMAT",
        "INVALID_HEX_ENCODING",
        "INVALID_POSTAL_CODE",
        "INVALID_SHA256_FORMAT",
        "REQUIRED_FIELD_MISSING",
        "TOO_MANY_USER_IDENTIFIERS",
    }
)
"""What can be wrong with one member; the other reasons are told of a row as well, and mean the list or the account."""


def error_of(content: Any) -> Mapping[str, Any]:
    """The status in an answer; empty where it is none."""
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, dict) else {}


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    details = error.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def refused_rows(error: Mapping[str, Any], rows: Sequence[int]) -> dict[int, str]:
    """Why each row that the status names is refused; empty where it is not, or not only, about single rows."""
    violations = _violations(error)
    named = by_row(violations, rows)
    is_about_rows = all(_ROW.search(str(violation)) for violation in violations)
    if not is_about_rows or not {reason for reason, _ in named.values()} <= _ROW_REASONS:
        return {}
    return {row: ": ".join(filter(None, (_in_words(reason), words))) for row, (reason, words) in named.items()}


def _violations(error: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for detail in _details(error):
        listed = detail.get("fieldViolations")
        found += listed if isinstance(listed, list) else []
    return found


def reasons_of(error: Mapping[str, Any]) -> set[str]:
    """Every reason that it gives."""
    told = [*_details(error), *(violation for violation in _violations(error) if isinstance(violation, dict))]
    reasons = {str(entry["reason"]) for entry in told if "reason" in entry}
    return {reason for reason in reasons if re.fullmatch("[A-Z0-9_]{3,80}", reason)}


def _in_words(reason: str) -> str:
    """`INVALID_SHA256_FORMAT` looks like a token, and would be hidden as one."""
    return reason.replace("_", " ").lower()


def by_row(violations: Any, rows: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Reason and words by row, of what names one by its index in the request."""
    found: dict[int, tuple[str, str]] = {}
    for violation in violations if isinstance(violations, list) else []:
        place = _ROW.search(str(violation.get("field", ""))) if isinstance(violation, dict) else None
        if place and int(place[1]) < len(rows):
            words = violation.get("description")
            found[rows[int(place[1])]] = (
                str(violation.get("reason", "INVALID_ARGUMENT")),
                words if isinstance(words, str) else "",
            )
    return found


def retry_delay(error: Mapping[str, Any]) -> float | None:
    """Seconds after which it may be tried again, where it says so."""
    delays = [str(detail["retryDelay"]) for detail in _details(error) if "retryDelay" in detail]
    return float(delays[0][:-1]) if delays and re.fullmatch(r"\d{1,6}(\.\d{1,9})?s", delays[0]) else None
