"""Which living customer every id that was ever given stands for. Derived, never stored by the engine.

In SQL: join identity.customer_ids to the memberships with known_to is null on identifier_id; per ledger customer_id the
first row by (is_strong desc, ledger_seq) names the living customer.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.tables import LEDGER, MEMBERSHIPS, REDIRECTS, conform, positions


def living_customers(*, ledger: pa.Table, memberships: pa.Table) -> pa.Table:
    """Give one row (REDIRECTS) per customer id of the ledger, oldest first: itself, another customer's id, or null.

    `ledger`: all rows, the last run's new ones included; `memberships`: of the last run. Null: no anchor of the id is
    held by anyone now (it is blocked or hot). Raises IdentityError for tables that do not fit.
    """
    rows = conform(ledger, LEDGER, "ledger")
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("is_strong", "descending"), ("ledger_seq", "ascending")]))
    current = conform(memberships, MEMBERSHIPS, "memberships")
    current = current.filter(pc.is_null(current["known_to"]))
    held_by = current["customer_id"].combine_chunks().take(positions(rows["identifier_id"], current["identifier_id"]))

    ids = _by_age(rows)
    number = positions(rows["customer_id"], ids).to_numpy()
    alive = np.flatnonzero(pc.is_valid(held_by).to_numpy(zero_copy_only=False))[::-1]
    best = np.full(len(ids), -1, dtype=np.int64)
    best[number[alive]] = alive  # the last write is the best row
    return pa.Table.from_arrays([ids, held_by.take(pa.array(best, mask=best < 0))], schema=REDIRECTS)


def _by_age(rows: pa.Table) -> pa.Array:
    ordered = rows["customer_id"].take(pc.sort_indices(rows["ledger_seq"]))
    return pc.unique(ordered)
