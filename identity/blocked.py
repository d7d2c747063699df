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
    reasons = np.full(len(identifiers), UNKNOWN_TYPE, dtype=object)
    for name in rules.identifier_types:
        rows = np.flatnonzero(pc.equal(types, name).to_numpy(zero_copy_only=False))
        found = np.full(len(rows), None, dtype=object)
        for listed in (ALL_TYPES, name):
            if listed in rules.blocked:
                _mark(found, values.take(pa.array(rows)), rules.blocked[listed])
        reasons[rows] = found
    return pa.array(reasons, pa.string())


def _mark(found: npt.NDArray[np.object_], values: pa.Array, blocked: BlockedValues) -> None:
    exact = pa.array([value.lower() for value in blocked.values], pa.string())
    hits = pc.is_in(values, value_set=exact).to_numpy(zero_copy_only=False)
    found[hits] = "value is on the list"
    if not blocked.regexes:
        return
    together = "|".join(f"(?:{regex})" for regex in blocked.regexes)
    rows = np.flatnonzero(pc.match_substring_regex(values, together, ignore_case=True).to_numpy(zero_copy_only=False))
    matched = values.take(pa.array(rows))
    for regex in reversed(blocked.regexes):
        hits = pc.match_substring_regex(matched, regex, ignore_case=True).to_numpy(zero_copy_only=False)
        found[rows[hits]] = f"matches {regex}"
