"""What goes wrong on the way into a file: rows out of order, rows twice, rows that must be rejected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.simulator.arrays import MICROS_PER_DAY, Ints, chance
from ingestion.simulator.arrow_text import hex_ids, joined
from ingestion.simulator.config import Difficulty

DELIVERED = "delivered"  # hidden column: the order of rows in the files
_HOUR = MICROS_PER_DAY // 24
_DAMAGED_DATE = 253_402_214_400_000_000  # 9999-12-31

Damage = Callable[[pa.Table], pa.Table]


def delivered(rng: np.random.Generator, table: pa.Table, known_at: Ints, difficulty: Difficulty) -> pa.Table:
    """The table with the hidden column: rows are delivered when they are known, some minutes to a day later."""
    is_late = chance(rng, known_at.size, difficulty.out_of_order_share)
    delay = np.where(is_late, rng.exponential(4 * _HOUR, known_at.size), 0).astype(np.int64)
    return table.append_column(DELIVERED, pa.array(known_at + delay))


def with_duplicates(rng: np.random.Generator, table: pa.Table, difficulty: Difficulty) -> tuple[pa.Table, int]:
    """The table with rows delivered again, mostly within hours, one in four within four months; and how many."""
    rows = np.flatnonzero(chance(rng, table.num_rows, difficulty.duplicate_share))
    again = table.take(pa.array(rows))
    is_much_later = chance(rng, rows.size, 0.25)
    delay = np.where(is_much_later, 120 * MICROS_PER_DAY * rng.random(rows.size), rng.exponential(3 * _HOUR, rows.size))
    at = again[DELIVERED].to_numpy() + delay.astype(np.int64)
    again = again.set_column(again.schema.get_field_index(DELIVERED), DELIVERED, pa.array(at))
    return pa.concat_tables([table, again]), rows.size


def _replaced(table: pa.Table, name: str, value: pa.Array | pa.ChunkedArray | pa.Scalar) -> pa.Table:
    index = table.schema.get_field_index(name)
    if isinstance(value, pa.Scalar):
        value = pa.array([value.as_py()] * table.num_rows, table.schema.field(name).type)
    return table.set_column(index, table.schema.field(name), value)


def _set(name: str, value: object) -> Damage:
    return lambda table: _replaced(table, name, pa.scalar(value, table.schema.field(name).type))


def _in_properties(pattern: str, replacement: str) -> Damage:
    return lambda table: _replaced(
        table, "properties", pc.replace_substring_regex(table["properties"], pattern, replacement)
    )


def _far_date(name: str) -> Damage:
    return lambda table: _replaced(table, name, pa.array([_DAMAGED_DATE] * table.num_rows).view(pa.timestamp("us")))


@dataclass(frozen=True)
class Damages:
    """What can be wrong with a row of a source: ways to damage a copy, and the column that gives the copy an id."""

    by_reason: dict[str, Damage]
    id_column: str


WEB_DAMAGES = Damages(
    {
        "unknown_currency": _in_properties('"currency":"[A-Z]{3}"', '"currency":"XXX"'),
        "negative_price": _in_properties('"price":', '"price":-'),
        "unknown_type": _set("type", None),
        "occurred_too_far_ahead": _far_date("original_timestamp"),
    },
    "message_id",
)
POS_DAMAGES = Damages(
    {
        "unknown_currency": _set("currency", "XXX"),
        "negative_price": lambda table: _replaced(
            table, "unit_price", joined("-", table["unit_price"].combine_chunks())
        ),
        "occurred_too_far_ahead": _set("sold_at", "9999-12-31 00:00:00"),
    },
    "receipt_id",
)


def bad_rows(
    rng: np.random.Generator, candidates: pa.Table, damages: Damages, count: int
) -> tuple[pa.Table, list[str]]:
    """`count` copies of the candidates with ids of their own, each damaged in one way, and the reason for each."""
    parts, reasons = [candidates.slice(0, 0)], []
    for number, (reason, damage) in enumerate(damages.by_reason.items()):
        kinds = len(damages.by_reason)
        wanted = count // kinds + (number < count % kinds)
        if not wanted or not candidates.num_rows:
            continue
        copies = candidates.take(pa.array(rng.integers(0, candidates.num_rows, wanted)))
        parts.append(damage(_replaced(copies, damages.id_column, joined("x", hex_ids(rng, wanted, 15)))))
        reasons += [reason] * wanted
    return pa.concat_tables(parts), reasons
