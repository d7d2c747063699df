"""Identifiers that are nobody's (blocked or hot): why they are, and which of them lie between two components."""

from collections.abc import Mapping

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from identity.rules import Rules
from orchestration.decision_records import Identifier
from orchestration.typed_identifiers import Standing, blocked_by, shown
from orchestration.warehouse import Connection


def why_nobodys(served: Connection, rules: Rules, standing: Mapping[Identifier, Standing]) -> list[str]:
    """A sentence for each of the identifiers that is blocked or hot."""
    said = []
    for name, each in standing.items():
        if each.standing == "blocked":
            reason = blocked_by([name], rules).get(name, "the rules of that build blocked it")
            said.append(f"{shown(name)} is blocked: {reason}. It is nobody's and joins nothing.")
        elif each.standing == "hot":
            said.append(_hot(served, name, each.identifier_id))
    return said


def _hot(served: Connection, name: Identifier, identifier_id: str) -> str:
    rows = served.rows(
        "select other_type, distinct_values, allowed_values from identity.hot_identifiers where identifier_id = ? order by 1",
        [identifier_id],
    )
    counts = " and ".join(
        f"{values:,} different {kind} (over {allowed:,} is too many)" for kind, values, allowed in rows
    )
    return f"{shown(name)} is hot: it was seen with {counts}. It is nobody's and joins nothing."


def between_components(served: Connection, rules: Rules, one: int, other: int) -> list[str]:
    """Two components: what lies between them is hot or blocked, or nothing is."""
    rows = served.arrow(
        "with nobodys as (select identifier_id from identity.nodes where standing in ('hot', 'blocked')), "
        "sets as (select distinct members.evidence_id from identity.evidence_identifiers as members "
        "inner join nobodys on members.identifier_id = nobodys.identifier_id) "
        "select distinct members.evidence_id, members.identifier_id, coalesce(owners.component_id, -1) as component_id "
        "from identity.evidence_identifiers as members "
        "inner join sets on members.evidence_id = sets.evidence_id "
        "left join nobodys on members.identifier_id = nobodys.identifier_id "
        "left join identity.memberships as owners on members.identifier_id = owners.identifier_id and owners.known_to is null "
        "where nobodys.identifier_id is not null or owners.component_id is not null"
    )
    components = rows["component_id"].to_numpy()
    sets = rows["evidence_id"].combine_chunks().dictionary_encode()
    ids = rows["identifier_id"].combine_chunks().dictionary_encode()
    owned, place = np.unique(np.concatenate((components[components >= 0], [one, other])), return_inverse=True)
    node = ids.indices.to_numpy().astype(np.int64) + len(owned)
    node[components >= 0] = place[: len(place) - 2]
    hub = sets.indices.to_numpy().astype(np.int64) + len(owned) + len(ids.dictionary)
    size = len(owned) + len(ids.dictionary) + len(sets.dictionary)
    graph = coo_array((np.ones(len(node), np.int8), (node, hub)), shape=(size, size)).tocsr()
    start, at = int(place[-2]), int(place[-1])
    _, before = breadth_first_order(graph, start, directed=False)
    crossed = []
    while at != start:
        at = int(before[at])
        if at < 0:
            return ["No event connects them, not even through others."]
        if len(owned) <= at < len(owned) + len(ids.dictionary):
            crossed.append(ids.dictionary[at - len(owned)].as_py())
    said = ["Only identifiers that join nothing lie between them:"]
    for identifier_id in crossed[::-1]:
        kind, value, standing = served.rows(
            "select identifier_type, identifier_value, standing from identity.nodes where identifier_id = ?",
            [identifier_id],
        )[0]
        said += why_nobodys(served, rules, {(kind, value): Standing(identifier_id, standing, None)})
    return said
