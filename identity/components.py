"""What evidence and links connect, directly or through others, and so has to be decided together.

Rules that keep apart what is connected leave components as they are: a run that is handed part of the evidence is handed
whole components.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from identity.evidence import Codes, Evidence

ABSENT = -1


def connect(left: Codes, right: Codes, count: int) -> tuple[int, Codes]:
    """Connected components of `count` nodes along edges: their number, and by node its own (SciPy; linear in edges)."""
    if not count:
        return 0, np.empty(0, np.int32)
    edges = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count)).tocsr()
    found, label = connected_components(edges, directed=False)
    return int(found), label


def find_components(
    evidence: Evidence,
    hot_from: Codes,
    last: tuple[Codes, int],
    *,
    links: tuple[Codes, Codes],
    ledger: tuple[Codes, Codes],
) -> Codes:
    """Give by identifier code what it must be decided together with: a number, ABSENT where it is in no group at any date.

    Evidence connects as it does at each date, taken together, and so do links and the anchors of one customer id
    (`ledger`: id and identifier by row): where one dies, the id is another's. `last` are the components at the last date
    and their number: they need only what was connected before it through identifiers that are hot by then. Cost: linear in pairs.
    """
    (component, count), (row_id, row_identifier) = last, ledger
    alive = evidence.pair_date < hot_from[evidence.pair_identifier]
    node, identifier, row = component.copy(), evidence.pair_identifier, evidence.pair_row
    once = np.unique(identifier[alive & (component[identifier] == ABSENT)])
    linked = np.unique(np.concatenate(links))
    once = np.union1d(once, linked[component[linked] == ABSENT])
    node[once] = count + np.arange(len(once), dtype=np.int32)
    through = np.zeros(len(evidence.table), dtype=bool)
    through[row[alive & (node[identifier] >= count)]] = True
    pairs = np.flatnonzero(alive & through[row])
    row, at = row[pairs], node[identifier[pairs]]
    beside = row[1:] == row[:-1]

    anchors = np.flatnonzero(row_identifier != ABSENT)
    anchors = anchors[node[row_identifier[anchors]] != ABSENT]
    anchors = anchors[np.argsort(row_id[anchors], kind="stable")]
    held, holder = row_id[anchors], node[row_identifier[anchors]]
    same = held[1:] == held[:-1]
    left = np.concatenate((at[:-1][beside], holder[:-1][same], node[links[0]]))
    right = np.concatenate((at[1:][beside], holder[1:][same], node[links[1]]))
    _, together = connect(left, right, count + len(once))
    return _numbered_in_order(np.where(node != ABSENT, together[node], ABSENT))


def _numbered_in_order(component: Codes) -> Codes:
    """Components by their first identifier: the same numbers whatever order the warehouse gives its rows in."""
    held = np.flatnonzero(component != ABSENT)
    numbers, place = component[held], np.arange(len(held))
    first = np.zeros(int(numbers.max(initial=ABSENT)) + 1, dtype=np.int64)
    first[numbers[::-1]] = place[::-1]
    opens = first[numbers] == place
    number = np.zeros(len(first), dtype=np.int32)
    number[numbers[opens]] = np.arange(np.count_nonzero(opens), dtype=np.int32)
    ordered = np.full(len(component), ABSENT, dtype=np.int32)
    ordered[held] = number[numbers]
    return ordered
