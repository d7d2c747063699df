"""A hub with a million neighbours: decided in memory that grows with the pairs and no faster, whatever a rule makes of it."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bench.contender import peak_mb
from identity.engine import Resolution, resolve
from identity.rules import load_rules
from identity.tables import DECISIONS, EVENTS, LEDGER, MEMBERSHIPS
from tests.identity.histories import free_rules

NEIGHBOURS = 1_000_000
AT = datetime(2026, 1, 1)


def decide_hub(neighbour: str, *, free: bool) -> Resolution:
    """One device in a set with each of a million others."""
    number = np.arange(NEIGHBOURS, dtype=np.int32)
    names = pc.binary_join_element_wise("n", pc.cast(pa.array(number), pa.string()), "-")
    at = pa.array(number.astype(np.int64), pa.timestamp("us"))
    same = pa.array(np.zeros(NEIGHBOURS, dtype=np.int32))
    evidence = pa.table(
        {"evidence_id": names, "first_at": at, "first_source": pc.cast(same, pa.string()), "first_message_id": names}
    ).append_column("first_known_at", at)
    kinds = pa.array([neighbour] * NEIGHBOURS + ["device_id"])
    hub = pa.array(["hub"])
    identifiers = pa.table(
        {
            "identifier_id": pa.concat_arrays([names, hub]),
            "identifier_type": kinds,
            "identifier_value": pa.concat_arrays([names, hub]),
        }
    )
    members = pa.table(
        {
            "evidence_row": np.concatenate((number, number)),
            "identifier_row": np.concatenate((number, np.full(NEIGHBOURS, NEIGHBOURS, dtype=np.int32))),
        }
    )

    def events_of(rows: pa.Array) -> pa.Table:
        return pa.Table.from_arrays(
            [rows, *(evidence[name].take(rows) for name in evidence.column_names[1:])], schema=EVENTS
        )

    return resolve(
        identifiers=identifiers,
        evidence=evidence,
        evidence_identifiers=members,
        decisions=DECISIONS.empty_table(),
        events_of=events_of,
        ledger=LEDGER.empty_table(),
        previous=MEMBERSHIPS.empty_table(),
        rules=free_rules() if free else load_rules(),
        dates=[AT],
        salt="hubs",
    )


def in_a_process_of_its_own(neighbour: str, free: bool) -> tuple[dict[str, Any], float]:
    done = decide_hub(neighbour, free=free)
    found = {
        "customers": len(done.memberships["customer_id"].unique()),
        "hot": done.hot.num_rows,
        "shared": len(done.memberships.filter(pc.is_valid(done.memberships["valid_from"]))["identifier_id"].unique()),
    }
    return found, peak_mb()


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("neighbour", "free", "expected"),
    [
        ("anonymous_id", True, {"customers": 1, "hot": 0, "shared": 0}),
        # each cookie's event is its own customer's, so nothing is left for one of the device
        ("anonymous_id", False, {"customers": NEIGHBOURS, "hot": 0, "shared": 1}),
        ("email", False, {"customers": NEIGHBOURS, "hot": 1, "shared": 0}),
    ],
)
def test_a_hub_with_a_million_neighbours_is_decided_in_bounded_memory(
    neighbour: str, free: bool, expected: dict[str, int]
) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        found, peak = executor.submit(in_a_process_of_its_own, neighbour, free).result()
    assert found == expected
    assert peak < 3_000
