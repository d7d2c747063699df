"""What Splink compares of contacts: for each field the levels from equal over alike in one way or another to different, in SQL."""

from __future__ import annotations

from typing import Any, Final

NAMES: Final = ("given_name", "family_name")
EDITED: Final = ("phone", "national_id")
WORDED: Final = ("street", "district", "city")
JUST_EQUAL: Final = ("street_number", "region", "gender", "job_title")


def comparisons(fields: list[str]) -> list[dict[str, Any]]:
    """What Splink compares of these fields, and in which levels: equal, alike in one way or another, different."""
    given = set(fields)
    return [
        {"output_column_name": field, "comparison_levels": _levels(field, given)}
        for field in fields
        if field in {*NAMES, "birth_date", "postcode", "email", *EDITED, *WORDED, *JUST_EQUAL}
    ]


def _levels(field: str, given: set[str]) -> list[dict[str, Any]]:
    left, right = f"{field}_l", f"{field}_r"
    edits = f"damerau_levenshtein({left}, {right})"
    likeness = f"jaro_winkler_similarity({left}, {right})"
    alike: list[str] = []
    if field in NAMES:
        other = NAMES[1 - NAMES.index(field)]
        if other in given:
            alike.append(f"{left} = {other}_r or {other}_l = {right}")
        alike += [f"{likeness} >= 0.92", f"{likeness} >= 0.8"]
    elif field == "birth_date":
        days = f"abs(try_cast({left} as date) - try_cast({right} as date))"
        alike += [f"{edits} <= 1", f"{edits} <= 2", f"{days} <= 366", f"{days} <= 3660"]
    elif field == "postcode":
        alike += [f"{edits} <= 1", f"left({left}, 3) = left({right}, 3) or {edits} <= 2"]
    elif field == "email":
        # no looser level: addresses are made of names, so two of one name are alike without being one person's
        mailbox = "split_part({}, '@', 1)"
        alike += [f"{mailbox.format(left)} = {mailbox.format(right)}", f"{edits} <= 2"]
    elif field in EDITED:
        alike += [f"{edits} <= 1", f"{edits} <= 2"]
    elif field in WORDED:
        alike += [f"{likeness} >= 0.9", f"{likeness} >= 0.8"]
    return [
        {"sql_condition": f"{left} is null or {right} is null", "label_for_charts": "missing", "is_null_level": True},
        # a rare name that is equal says more than a frequent one
        {"sql_condition": f"{left} = {right}", "label_for_charts": "equal", "tf_adjustment_column": field},
        *({"sql_condition": condition, "label_for_charts": f"alike {place}"} for place, condition in enumerate(alike)),
        {"sql_condition": "ELSE", "label_for_charts": "different"},
    ]
