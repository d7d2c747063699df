"""Where a rule may keep something apart: the components that need the passes, found from counts, a superset of them."""

from __future__ import annotations

import numpy as np

from identity.components import ABSENT, connect
from identity.decision_codes import Decided
from identity.evidence import Codes, Evidence, Flags, Ints
from identity.passes import UNLIMITED
from identity.rules import Rules


def edges(row: Codes, identifier: Codes, links: tuple[Codes, Codes]) -> tuple[Codes, Codes]:
    """Evidence (pairs of a set side by side) and links as edges."""
    together = row[1:] == row[:-1]
    left, right = identifier[:-1][together], identifier[1:][together]
    return np.concatenate((left, links[0])), np.concatenate((right, links[1]))


def find_bitten(
    evidence: Evidence,
    decided: Decided,
    rules: Rules,
    *,
    pairs: tuple[Codes, Codes],
    links: tuple[Codes, Codes],
    components: tuple[Codes, int],
    there: Flags,
) -> Flags:
    """By component, whether a rule may keep something apart in it. `there`: what is seen or linked to what is."""
    row, identifier = pairs
    component, component_count = components
    kinds = len(evidence.types)
    bitten = np.zeros(component_count, dtype=bool)

    codes = np.flatnonzero(there & (evidence.type_code < kinds))
    held = np.bincount(
        component[codes].astype(np.int64) * kinds + evidence.type_code[codes], minlength=component_count * kinds
    ).reshape(component_count, kinds)
    bitten |= (held > limits(evidence, rules)).any(axis=1)

    strong = evidence.is_strong[identifier]
    strong_row, strong_identifier = row[strong], identifier[strong]
    in_row = np.bincount(strong_row, minlength=len(evidence.table))
    bitten[component[strong_identifier[in_row[strong_row] > rules.review.groups]]] = True
    for codes_refused in decided.refused:
        bitten[component[np.fromiter(codes_refused, dtype=np.int64)]] = True
    bitten |= _walled(decided, component, component_count)

    twice = (held[:, evidence.strong_types] > 1).any(axis=1) & ~bitten
    if twice.any():
        bitten[
            _in_several_cores(evidence, (strong_row, strong_identifier), links, component, there & twice[component])
        ] = True
    return bitten


def _in_several_cores(
    evidence: Evidence, strong_pairs: tuple[Codes, Codes], links: tuple[Codes, Codes], component: Codes, inside: Flags
) -> Ints:
    """Components among the identifiers `inside` in which two groups of strong identifiers hold the same strong type."""
    nodes = np.flatnonzero(inside)
    local = np.full(evidence.identifier_count, ABSENT, dtype=np.int32)
    local[nodes] = np.arange(len(nodes), dtype=np.int32)
    row, identifier = strong_pairs
    here, linked = inside[identifier], inside[links[0]]
    strong_edges = edges(row[here], local[identifier[here]], (local[links[0][linked]], local[links[1][linked]]))
    _, core = connect(*strong_edges, len(nodes))
    strong, kinds = np.flatnonzero(evidence.is_strong[nodes]), len(evidence.types)
    kind = evidence.type_code[nodes[strong]]
    _, one_each = np.unique(core[strong].astype(np.int64) * kinds + kind, return_index=True)
    held_in = component[nodes[strong[one_each]]].astype(np.int64) * kinds + kind[one_each]
    several, cores = np.unique(held_in, return_counts=True)
    found: Ints = several[cores > 1] // kinds
    return found


def limits(evidence: Evidence, rules: Rules) -> Codes:
    """By type how many identifiers one customer may hold."""
    return np.array([rules.limits.get(name, UNLIMITED) for name in evidence.types], dtype=np.int32)


def _walled(decided: Decided, component: Codes, component_count: int) -> Flags:
    """By component, whether both sides of a wall are in it."""
    place = decided.wall.astype(np.int64) * component_count + component[decided.wall_code]
    both = np.intersect1d(place[decided.wall_side == 0], place[decided.wall_side == 1])
    walled = np.zeros(component_count, dtype=bool)
    walled[both % max(component_count, 1)] = True
    return walled
