"""Rules 1 and 2, components and ids of SPEC 3 written down directly: dictionaries and loops, no arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import networkx as nx

from identity.ledger import customer_id
from identity.rules import Rules
from tests.identity.histories import SALT, Identifier, Sighting, as_evidence


@dataclass
class Anchor:
    """One ledger row."""

    customer: str
    identifier: Identifier
    is_strong: bool
    recorded_at: datetime


@dataclass
class Oracle:
    """The direct implementation; `ledger` is its state between runs."""

    rules: Rules
    ledger: list[Anchor] = field(default_factory=list)

    def resolve(
        self, sightings: Sequence[Sighting], dates: Sequence[datetime]
    ) -> dict[datetime, dict[Identifier, str]]:
        """identifier -> customer at each date; the ledger grows."""
        return {date: self._at(as_evidence(sightings), date) for date in dates}

    def is_blocked(self, identifier: Identifier) -> bool:
        kind, value = identifier
        if kind not in self.rules.identifier_types:
            return True
        lists = [self.rules.blocked[name] for name in ("all_types", kind) if name in self.rules.blocked]
        return any(
            value.lower() in (listed.lower() for listed in each.values)
            or any(re.search(regex, value, re.IGNORECASE) for regex in each.regexes)
            for each in lists
        )

    def is_strong(self, identifier: Identifier) -> bool:
        return self.rules.identifier_types[identifier[0]].is_strong

    def hot(self, known: Sequence[frozenset[Identifier]]) -> set[Identifier]:
        found = set()
        for x in {name for members in known for name in members}:
            beside = {y for members in known if x in members for y in members if y != x and self.is_strong(y)}
            for kind in self.rules.identifier_types:
                count = sum(1 for y in beside if y[0] == kind)
                if x[0] != "user_id" and count > self.rules.hot.allowed(x[0], kind):
                    found.add(x)
        return found

    def remaining(self, evidence: Sequence[Sighting], date: datetime) -> list[Sighting]:
        """Evidence known at the date, without blocked and hot identifiers."""
        known = [each for each in evidence if each.known < date]
        clean = [frozenset(name for name in each.members if not self.is_blocked(name)) for each in known]
        hot = self.hot(clean)
        left = [Sighting(e.at, members - hot, e.known, e.source, e.message_id)
                for e, members in zip(known, clean, strict=True)]  # fmt: skip
        return sorted((each for each in left if each.members), key=lambda each: (each.at, each.source, each.message_id))

    def _at(self, evidence: Sequence[Sighting], date: datetime) -> dict[Identifier, str]:
        remaining = self.remaining(evidence, date)
        graph: nx.Graph = nx.Graph()
        first: dict[Identifier, int] = {}
        for place, each in enumerate(remaining):
            nx.add_path(graph, list(each.members))
            for name in each.members:
                first.setdefault(name, place)
        together = [frozenset(names) for names in nx.connected_components(graph)]
        return self._give_ids(together, {group: self._anchor(group, first) for group in together}, first, date)

    def _order(self, identifier: Identifier, first: dict[Identifier, int]) -> tuple[int, int, str]:
        return first[identifier], self.rules.identifier_types[identifier[0]].priority, identifier[1]

    def _anchor(self, group: frozenset[Identifier], first: dict[Identifier, int]) -> Identifier:
        strong = [name for name in group if self.is_strong(name)]
        return min(strong or group, key=lambda name: self._order(name, first))

    def _give_ids(
        self,
        together: list[frozenset[Identifier]],
        anchors: dict[frozenset[Identifier], Identifier],
        first: dict[Identifier, int],
        date: datetime,
    ) -> dict[Identifier, str]:
        home = {name: group for group in together for name in group}
        belongs: dict[frozenset[Identifier], list[tuple[bool, int, str]]] = {}
        for age, customer in enumerate(dict.fromkeys(row.customer for row in self.ledger)):
            rows = [
                (row.recorded_at > date, row.recorded_at <= date and not row.is_strong, place, row)
                for place, row in enumerate(self.ledger)
                if row.customer == customer and row.identifier in home
            ]
            if rows:
                is_late, _, place, best = min(rows, key=lambda each: each[:3])
                belongs.setdefault(home[best.identifier], []).append((is_late, place if is_late else age, customer))
        taken = {group: min(ids)[2] for group, ids in belongs.items()}
        gaining = [
            group
            for group, customer in taken.items()
            if self.is_strong(anchors[group])
            and not any(r.customer == customer and r.is_strong and r.identifier in group for r in self.ledger)
        ]
        for group in sorted(set(together) - set(taken), key=lambda each: self._order(anchors[each], first)):
            taken[group] = self._mint(anchors[group])
            self.ledger.append(Anchor(taken[group], anchors[group], self.is_strong(anchors[group]), date))
        for group in sorted(gaining, key=lambda each: self._order(anchors[each], first)):
            self.ledger.append(Anchor(taken[group], anchors[group], True, date))
        return {name: taken[group] for name, group in home.items()}

    def _mint(self, anchor: Identifier) -> str:
        given = {row.customer for row in self.ledger}
        generation = 0
        while (new := customer_id(SALT, *anchor, generation=generation)) in given:
            generation += 1
        return new
