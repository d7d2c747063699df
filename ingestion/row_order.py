"""The order of the rows is the order of the file, or a refused row would be shown with another row's bytes.

DuckDB keeps it while a plan only scans and projects, and may give it up for a join, into which it also turns a long
`in` list. So that rewriting is switched off while a file is staged, and a plan that does more is refused.
"""

import json
from typing import Any

# Settings of the session while a file is staged. Statistics are off because DuckDB 2.0 takes the bounds of a Parquet
# column, which leave NaN out, as proof that isnan() is false. Texts are in UTC where they name no zone.
STAGING_SETTINGS = {
    "preserve_insertion_order": "true",
    "disabled_optimizers": "in_clause,statistics_propagation",
    "timezone": "UTC",
}

_ORDERED = ("PROJECTION", "FILTER", "BATCH_CREATE_TABLE_AS", "READ_", "PARQUET_SCAN")
# what a plan without batches is called: fine where one thread does all the work, or nothing is read
_SINGLE_THREADED = ("CREATE_TABLE_AS", "EMPTY_RESULT")


def unordered_operators(plan: str, *, threads: int) -> list[str]:
    """Operators of `explain (format json)` after which the rows may come in any order."""
    allowed = (*_ORDERED, *_SINGLE_THREADED) if threads == 1 else (*_ORDERED, "EMPTY_RESULT")
    return [name for root in json.loads(plan) for name in _operators(root) if not name.startswith(allowed)]


def _operators(node: dict[str, Any]) -> list[str]:
    return [node["name"].strip(), *(name for child in node["children"] for name in _operators(child))]
