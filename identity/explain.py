"""Why two identifiers are one customer or not: the shortest way of events between them, and which rule stands in it.

A way leads from identifier to identifier, each step through one set of evidence that holds both or through one link. A step is open where
the rules really joined the two by it, closed where a rule kept them apart. Two identifiers are one customer exactly where a way of open
steps leads from one to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, dijkstra

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_NOWHERE = -9999
_CLOSED = 1e-6
"""What a closed step costs above an open one: of the shortest ways the one with the fewest rules in it is told."""


@dataclass(frozen=True)
class Sightings:
    """A whole component as the engine left it at its last date. Identifiers and sets of evidence are numbers from 0.

    Pairs, one per set of evidence and identifier in it (blocked and hot ones left out): `pair_row`, `pair_identifier`, and
    `is_aside` (set aside in that set). By identifier: `is_strong`, `is_shared`, and whether it joined nothing in the first or the
    second step of rule 5. By set: `in_review`. Links in force: `link` (number of the decision) and `link_identifier`.
    """

    pair_row: Ints
    pair_identifier: Ints
    is_aside: Flags
    is_strong: Flags
    is_shared: Flags
    refused_beside_strong: Flags
    refused_beside_weak: Flags
    in_review: Flags
    link: Ints
    link_identifier: Ints


@dataclass(frozen=True)
class Step:
    """From one identifier to the next through the set of evidence `row`, or through the decision `link`."""

    start: int
    end: int
    row: int | None
    link: int | None
    is_open: bool


def joining_path(sightings: Sightings, one: int, other: int) -> list[Step] | None:
    """The way of fewest open steps that made them one customer; None where they are not. Linear in the pairs."""
    graph = _Graph.of_open_steps(sightings)
    _, before = breadth_first_order(graph.matrix(), one, directed=True)
    return graph.steps(before, one, other)


def shortest_path(sightings: Sightings, one: int, other: int) -> list[Step] | None:
    """The way of fewest steps, open or closed, and among those the one with the fewest closed ones; None where there is none."""
    graph = _Graph.of_open_steps(sightings).with_closed_steps(sightings)
    _, before = dijkstra(graph.matrix(), directed=True, indices=one, return_predecessors=True)
    return graph.steps(before, one, other)


@dataclass(frozen=True)
class _Graph:
    """Identifiers, and a node for every way in which a set of evidence or a link joins: `hub_row` and `hub_link` (below 0: none),
    `hub_is_open`. Edges `start`, `end` (hubs are numbered after the identifiers) and `cost`."""

    identifier_count: int
    hub_row: Ints
    hub_link: Ints
    hub_is_open: Flags
    start: Ints
    end: Ints
    cost: npt.NDArray[np.float64]

    @classmethod
    def of_open_steps(cls, given: Sightings) -> _Graph:
        """Rule 4: what a set keeps is one; rule 5: a weak identifier joins the strong ones kept beside it, then the weak ones.

        A weak identifier that joined nothing in the second step may still have been joined by another: its hub leads only to
        those that did, which is why edges have a direction.
        """
        strong = given.is_strong[given.pair_identifier]
        counts = ~given.in_review[given.pair_row] & ~given.is_aside & ~given.is_shared[given.pair_identifier]
        rows, links = len(given.in_review), int(given.link.max(initial=-1)) + 1
        has_strong = np.zeros(rows, dtype=bool)
        has_strong[given.pair_row[counts & strong]] = True
        beside_strong = strong | (~given.refused_beside_strong[given.pair_identifier] & has_strong[given.pair_row])
        joined = np.flatnonzero(counts & beside_strong)
        weak = counts & ~strong
        accepted = np.flatnonzero(weak & ~given.refused_beside_weak[given.pair_identifier])
        refused = np.flatnonzero(weak & given.refused_beside_weak[given.pair_identifier])

        count = len(given.is_strong)
        kept, to_all, to_accepted, linked = count, count + rows, count + 2 * rows, count + 3 * rows
        identifier, row = given.pair_identifier, given.pair_row
        edges = [
            (identifier[joined], kept + row[joined]),
            (kept + row[joined], identifier[joined]),
            (identifier[accepted], to_all + row[accepted]),
            (to_all + row[accepted], identifier[accepted]),
            (to_all + row[refused], identifier[refused]),
            (identifier[refused], to_accepted + row[refused]),
            (to_accepted + row[accepted], identifier[accepted]),
            (given.link_identifier, linked + given.link),
            (linked + given.link, given.link_identifier),
        ]
        start, end = (np.concatenate(side).astype(np.int64) for side in zip(*edges, strict=True))
        places = np.arange(rows, dtype=np.int64)
        return cls(
            identifier_count=count,
            hub_row=np.concatenate((places, places, places, np.full(links, -1, dtype=np.int64))),
            hub_link=np.concatenate((np.full(3 * rows, -1, dtype=np.int64), np.arange(links, dtype=np.int64))),
            hub_is_open=np.ones(3 * rows + links, dtype=bool),
            start=start,
            end=end,
            cost=np.ones(len(start)),
        )

    def with_closed_steps(self, given: Sightings) -> _Graph:
        """Beside the open ones, steps between any two identifiers of a set, which cost a little more."""
        rows = len(given.in_review)
        hub = self.identifier_count + len(self.hub_row) + given.pair_row
        cost = np.ones(len(hub))
        return _Graph(
            identifier_count=self.identifier_count,
            hub_row=np.concatenate((self.hub_row, np.arange(rows, dtype=np.int64))),
            hub_link=np.concatenate((self.hub_link, np.full(rows, -1, dtype=np.int64))),
            hub_is_open=np.concatenate((self.hub_is_open, np.zeros(rows, dtype=bool))),
            start=np.concatenate((self.start, given.pair_identifier, hub)),
            end=np.concatenate((self.end, hub, given.pair_identifier)),
            cost=np.concatenate((self.cost, cost, cost + _CLOSED)),
        )

    def matrix(self) -> csr_array:
        """The edges as SciPy takes them."""
        size = self.identifier_count + len(self.hub_row)
        return coo_array((self.cost, (self.start, self.end)), shape=(size, size)).tocsr()

    def steps(self, before: Sequence[int] | npt.NDArray[np.int32], one: int, other: int) -> list[Step] | None:
        """The way that the predecessors tell, from its start."""
        found, node = [], other
        while node != one:
            hub = int(before[node])
            if hub == _NOWHERE:
                return None
            found.append(self._step(int(before[hub]), node, hub - self.identifier_count))
            node = found[-1].start
        return found[::-1]

    def _step(self, start: int, end: int, hub: int) -> Step:
        row, link = int(self.hub_row[hub]), int(self.hub_link[hub])
        return Step(start, end, row if row >= 0 else None, link if link >= 0 else None, bool(self.hub_is_open[hub]))
