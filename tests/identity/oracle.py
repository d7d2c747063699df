"""SPEC 3 written down directly: rules 1 to 5, whose event, and ids, with dictionaries, lists and loops; no arrays, no shortcuts.

Written from the text of the definition (docs/identity.md), not from the engine: it decides every component with the passes,
one set of evidence after the other, and joins groups by merging Python sets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import combinations

import networkx as nx

from identity.ledger import customer_id
from identity.rules import Rules
from tests.identity.histories import SALT, Decision, Identifier, Sighting

Group = set[Identifier]
Key = tuple[datetime, str, str]


@dataclass
class Anchor:
    """One ledger row."""

    customer: str
    identifier: Identifier
    is_strong: bool
    recorded_at: datetime


@dataclass
class Remainder:
    """What is left of equal sets of evidence, at its earliest key; what the strong pass made of it."""

    members: frozenset[Identifier]
    key: Key
    strong: list[Identifier] = field(default_factory=list)
    kept: list[Identifier] = field(default_factory=list)
    is_held: bool = False


@dataclass
class World:
    """Who is together at one date, and how that came."""

    home: dict[Identifier, Group]
    first: dict[Identifier, Key]
    remainders: list[Remainder]
    shared: set[Identifier]
    set_aside: set[tuple[frozenset[Identifier], Identifier]]
    hot: set[Identifier]

    def groups(self) -> set[frozenset[Identifier]]:
        """Groups of identifiers that evidence has; a shared one stands alone."""
        return {frozenset(group & self.first.keys()) for group in self.home.values()} - {frozenset()}


@dataclass
class Answer:
    """At one date: the world, the customer of each unshared identifier, and the customer of each event (None: nobody)."""

    world: World
    customers: dict[Identifier, str]
    owners: dict[Sighting, str | None]


@dataclass
class Oracle:
    """The direct implementation; `ledger` is its state between runs."""

    rules: Rules
    ledger: list[Anchor] = field(default_factory=list)

    def resolve(
        self, sightings: Sequence[Sighting], dates: Sequence[datetime], decisions: Sequence[Decision] = ()
    ) -> dict[datetime, Answer]:
        """The answer at each date; the ledger grows."""
        return {date: self._at([each for each in sightings if each.known < date], date, decisions) for date in dates}

    # ---- rules 1 and 2 ------------------------------------------------------------------------------------------

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

    def rank(self, identifier: Identifier) -> tuple[int, str]:
        return self.rules.identifier_types[identifier[0]].priority, identifier[1]

    def hot(self, known: Sequence[frozenset[Identifier]]) -> set[Identifier]:
        found = set()
        for x in {name for members in known for name in members}:
            beside = {y for members in known if x in members for y in members if y != x and self.is_strong(y)}
            for kind in self.rules.identifier_types:
                count = sum(1 for y in beside if y[0] == kind)
                if x[0] != "user_id" and count > self.rules.hot.allowed(x[0], kind):
                    found.add(x)
        return found

    # ---- rules 3 to 5 -------------------------------------------------------------------------------------------

    def world(self, events: Sequence[Sighting], decisions: Sequence[Decision]) -> World:
        clean = [frozenset(name for name in each.members if not self.is_blocked(name)) for each in events]
        hot = self.hot(clean)
        earliest: dict[frozenset[Identifier], Key] = {}
        for each, members in zip(events, clean, strict=True):
            if left := members - hot:
                earliest[left] = min(earliest.get(left, each.key), each.key)
        remainders = [Remainder(members, key) for members, key in earliest.items()]
        remainders.sort(key=lambda each: (each.key, sorted(map(self.rank, each.members))))
        first: dict[Identifier, Key] = {}
        for each in remainders:
            each.strong = sorted(filter(self.is_strong, each.members), key=self.rank)
            for name in each.members:
                first.setdefault(name, each.key)

        home: dict[Identifier, Group] = {name: {name} for name in first}
        walls = {
            frozenset((one, other))
            for each in decisions
            if each.action == "wall"
            for one in each.sides[0]
            for other in each.sides[1]
        }
        refused = {frozenset(each.sides[0]) for each in decisions if each.action == "refuse"}
        for each in decisions:
            if each.action == "link":
                usable = [name for name in each.sides[0] if not self.is_blocked(name) and name not in hot]
                for name in usable:
                    home.setdefault(name, {name})
                self._merge(home, [home[name] for name in usable])

        set_aside = self._strong_pass(home, remainders, walls, refused)
        shared = self._weak_pass(home, remainders, first, walls)
        return World(home, first, remainders, shared, set_aside, hot)

    def _merge(self, home: dict[Identifier, Group], groups: Sequence[Group]) -> None:
        together = set().union(*groups) if groups else set()
        for name in together:
            home[name] = together

    def _breaks(self, groups: Sequence[Group], walls: set[frozenset[Identifier]]) -> bool:
        """Whether a wall or a limit keeps these (different) groups from becoming one."""
        for one, other in combinations(groups, 2):
            if any(frozenset((a, b)) in walls for a in one for b in other):
                return True
        for kind, limit in self.rules.limits.items():
            held = [sum(1 for name in group if name[0] == kind) for group in groups]
            if sum(held) > max(limit, *held):
                return True
        return False

    def _different(self, groups: Sequence[Group]) -> list[Group]:
        return list({id(group): group for group in groups}.values())

    def _strong_pass(
        self,
        home: dict[Identifier, Group],
        remainders: Sequence[Remainder],
        walls: set[frozenset[Identifier]],
        refused: set[frozenset[Identifier]],
    ) -> set[tuple[frozenset[Identifier], Identifier]]:
        set_aside, earlier = set(), set()
        for each in remainders:
            groups = self._different([home[name] for name in each.strong])
            known = [group for group in groups if group & earlier]
            earlier |= each.members
            if frozenset(each.strong) in refused or len(known) > self.rules.review.groups:
                each.is_held = True
                continue
            each.kept = each.strong[:1]
            for name in each.strong[1:]:
                groups = self._different([home[each.kept[0]], home[name]])
                if len(groups) == 2 and self._breaks(groups, walls):
                    set_aside.add((each.members, name))
                    continue
                self._merge(home, groups)
                each.kept.append(name)
        return set_aside

    def _weak_pass(
        self,
        home: dict[Identifier, Group],
        remainders: Sequence[Remainder],
        first: dict[Identifier, Key],
        walls: set[frozenset[Identifier]],
    ) -> set[Identifier]:
        weak = [name for name in first if not self.is_strong(name)]
        weak.sort(key=lambda name: (self.rules.identifier_types[name[0]].priority, first[name], name[1]))
        shared: set[Identifier] = set()
        for step in ("strong", "weak"):
            for name in weak:
                if name in shared:
                    continue
                seen_in = [each for each in remainders if name in each.members and not each.is_held]
                beside = (
                    [other for each in seen_in for other in each.kept]
                    if step == "strong"
                    else [other for each in seen_in for other in each.members - shared if not self.is_strong(other)]
                )
                groups = self._different([home[name], *(home[other] for other in beside)])
                if len(groups) == 1:
                    continue
                kinds = [{kind for kind, _ in filter(self.is_strong, group)} for group in groups]
                several = any(one & other for one, other in combinations(kinds, 2))
                if not several and not self._breaks(groups, walls):
                    self._merge(home, groups)
                elif len(home[name]) == 1:
                    shared.add(name)
        return shared

    # ---- whose event --------------------------------------------------------------------------------------------

    def speaker(self, world: World, event: Sighting) -> tuple[Identifier | None, Identifier | None]:
        """The identifier whose group the event is, or the shared one whose visits say whose it is."""
        left = frozenset(name for name in event.members if not self.is_blocked(name)) - world.hot
        remainder = next((each for each in world.remainders if each.members == left), None)
        if remainder is None:
            return None, None
        if remainder.kept:
            return remainder.kept[0], None
        weak = sorted((name for name in left if not self.is_strong(name)), key=self.rank)
        unshared = [name for name in weak if name not in world.shared]
        if unshared:
            return unshared[0], None
        return None, weak[0] if weak else None

    def visit_owner(self, world: World, events: Sequence[Sighting], shared: Identifier, at: datetime) -> Group:
        """The group that an event of the shared identifier at an instant is."""
        gap = timedelta(minutes=self.rules.visits.gap_minutes)
        on_it = sorted((each for each in events if shared in each.members), key=lambda each: each.key)
        start, end = at, at
        for each in reversed([one for one in on_it if one.at <= at]):
            if start - each.at > gap:
                break
            start = each.at
        for each in [one for one in on_it if one.at >= at]:
            if each.at - end > gap:
                break
            end = each.at
        spoken = [(each, self.speaker(world, each)[0]) for each in on_it if start <= each.at <= end]
        earlier = [name for each, name in spoken if name is not None and each.at <= at]
        if earlier:
            return world.home[earlier[-1]]
        later = [(each.at, name) for each, name in spoken if name is not None and each.at > at]
        if later:
            return world.home[[name for instant, name in later if instant == later[0][0]][-1]]
        return world.home[shared]

    # ---- ids ----------------------------------------------------------------------------------------------------

    def _at(self, events: Sequence[Sighting], date: datetime, decisions: Sequence[Decision]) -> Answer:
        world = self.world(events, decisions)
        owners: dict[Sighting, Group | None] = {}
        for event in events:
            name, shared = self.speaker(world, event)
            if name is not None:
                owners[event] = world.home[name]
            else:
                owners[event] = None if shared is None else self.visit_owner(world, events, shared, event.at)
        # whose the shared ones are at the instants of their own events: also of those that somebody else's identifier gives away
        needed = {
            id(self.visit_owner(world, events, shared, event.at))
            for shared in world.shared
            for event in events
            if shared in event.members
        }
        together = self._different([group for group in world.home.values() if group & world.first.keys()])
        idle = [group for group in together if group & world.shared and id(group) not in needed]
        names = self._give_ids(world, together, idle, date)
        customers = {
            name: names[id(group)]
            for name, group in world.home.items()
            if name in world.first and name not in world.shared
        }
        return Answer(
            world, customers, {each: None if group is None else names[id(group)] for each, group in owners.items()}
        )

    def _order(self, identifier: Identifier, first: dict[Identifier, Key]) -> tuple[Key, int, str]:
        return first[identifier], *self.rank(identifier)

    def _anchor(self, group: Group, first: dict[Identifier, Key]) -> Identifier:
        there = [name for name in group if name in first]
        strong = [name for name in there if self.is_strong(name)]
        return min(strong or there, key=lambda name: self._order(name, first))

    def _give_ids(self, world: World, together: list[Group], idle: list[Group], date: datetime) -> dict[int, str]:
        first = world.first
        home = {name: group for group in together for name in group if name in first}
        anchors = {id(group): self._anchor(group, first) for group in together}
        belongs: dict[int, list[tuple[bool, int, str]]] = {}
        for age, customer in enumerate(dict.fromkeys(row.customer for row in self.ledger)):
            rows = [
                (row.recorded_at > date, row.recorded_at <= date and not row.is_strong, place, row)
                for place, row in enumerate(self.ledger)
                if row.customer == customer and row.identifier in home
            ]
            if rows:
                is_late, _, place, best = min(rows, key=lambda each: each[:3])
                belongs.setdefault(id(home[best.identifier]), []).append((is_late, place if is_late else age, customer))
        taken = {number: min(ids)[2] for number, ids in belongs.items()}
        by_order = sorted(together, key=lambda group: self._order(anchors[id(group)], first))
        gaining = [
            group
            for group in by_order
            if id(group) in taken
            and self.is_strong(anchors[id(group)])
            and not any(r.customer == taken[id(group)] and r.is_strong and r.identifier in group for r in self.ledger)
        ]
        for group in by_order:
            if id(group) not in taken and not any(group is each for each in idle):
                anchor = anchors[id(group)]
                taken[id(group)] = self._mint(anchor)
                self.ledger.append(Anchor(taken[id(group)], anchor, self.is_strong(anchor), date))
        for group in gaining:
            self.ledger.append(Anchor(taken[id(group)], anchors[id(group)], True, date))
        return taken

    def _mint(self, anchor: Identifier) -> str:
        given = {row.customer for row in self.ledger}
        generation = 0
        while (new := customer_id(SALT, *anchor, generation=generation)) in given:
            generation += 1
        return new

    # ---- components, by networkx --------------------------------------------------------------------------------

    def components(self, world: World, decisions: Sequence[Decision]) -> set[frozenset[Identifier]]:
        """What evidence and links connect, whatever rules keep apart."""
        graph: nx.Graph = nx.Graph()
        for each in world.remainders:
            nx.add_path(graph, list(each.members))
        for decision in decisions:
            if decision.action == "link":
                nx.add_path(graph, [n for n in decision.sides[0] if not self.is_blocked(n) and n not in world.hot])
        return {frozenset(names) & world.first.keys() for names in nx.connected_components(graph)} - {frozenset()}
