"""Rule 1: values that are not identifiers (`null`, `0000`, `test@...`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from identity.rules import ALL_TYPES, BlockedValues, Rules

UNKNOWN_TYPE = "type is not configured"


def block_reasons(identifiers: pa.Table, rules: Rules) -> pa.Array:
    """Give for each row of `identifiers` the rule that blocks it, or null. Linear in the rows; RE2 cannot run away.

    The reason names the rule, never the value. A type that the rules do not list is blocked as a whole.
    """
    types = identifiers["identifier_type"].combine_chunks()
    values = pc.utf8_lower(identifiers["identifier_value"].combine_chunks())
    blocked_rows, reasons = [np.flatnonzero(~_is_in(types, list(rules.identifier_types)))], []
    reasons += [UNKNOWN_TYPE] * len(blocked_rows[0])
    for name in rules.identifier_types:
        listed = [rules.blocked[each] for each in (ALL_TYPES, name) if each in rules.blocked]
        rows = np.flatnonzero(pc.equal(types, name).to_numpy(zero_copy_only=False))
        hits, why = _blocked_among(values.take(pa.array(rows)), listed)
        blocked_rows.append(rows[hits])
        reasons += why
    place = np.full(len(identifiers), -1, dtype=np.int32)
    place[np.concatenate(blocked_rows)] = np.arange(len(reasons))
    return pa.array(reasons, pa.string()).take(pa.array(place, mask=place < 0))


def _blocked_among(values: pa.Array, listed: list[BlockedValues]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Places of the values that a list blocks, and why. One pass looks for all lists at once: hits are few."""
    exact = [value.lower() for blocked in listed for value in blocked.values]
    regexes = [regex for blocked in listed for regex in blocked.regexes]
    hit = _is_in(values, exact)
    if regexes:
        hit |= _matches(values, "|".join(f"(?:{regex})" for regex in regexes))
    hits = np.flatnonzero(hit)
    found = values.take(pa.array(hits))
    why = np.full(len(hits), "value is on the list", dtype=object)
    for regex in reversed(regexes):
        why[_matches(found, regex)] = f"matches {regex}"
    return hits, why.tolist()


def _is_in(values: pa.Array, listed: list[str]) -> npt.NDArray[np.bool_]:
    return np.array(
        pc.is_in(values, value_set=pa.array(listed, pa.string())).to_numpy(zero_copy_only=False), dtype=bool
    )


def _matches(values: pa.Array, regex: str) -> npt.NDArray[np.bool_]:
    found = pc.match_substring_regex(values, regex, ignore_case=True)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)
