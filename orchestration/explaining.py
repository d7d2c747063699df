"""`weft why`: the events or decisions that made two identifiers one customer, or the rule that keeps them apart, in the served build."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from identity.explain import Step, joining_path, shortest_path
from identity.rules import Rules
from orchestration.component_reading import Component, Refusal, read_component
from orchestration.decision_records import Identifier, Recorded
from orchestration.errors import NothingServedError, UnknownIdentifierError
from orchestration.nobodys import between_components, why_nobodys
from orchestration.typed_identifiers import Standing, find_standing, shown
from orchestration.warehouse import Connection, scalar, tables_of

NEEDS = {"review_queue", "set_aside", "refused_joins", "waiting_decisions"}
MOST_PERIODS = 10


@dataclass(frozen=True)
class Link:
    """One step of the way, as a person reads it: from an identifier to the next, by what, and why it does not join where it does not."""

    start: Identifier
    end: Identifier
    by: str
    kept_apart: list[str]


@dataclass(frozen=True)
class Explanation:
    """One customer or not, in sentences, and the way between the two."""

    is_one_customer: bool
    sentences: list[str]
    way: list[Link] = field(default_factory=list)


def explain_pair(
    served: Connection, decisions: Mapping[int, Recorded], rules: Rules, one: Identifier, other: Identifier
) -> Explanation:
    """Why two identifiers are one customer or not. Raises UnknownIdentifierError."""
    standing = _known(served, [one, other])
    if one == other:
        return Explanation(True, [f"{shown(one)} is one identifier."])
    first, second = standing[one], standing[other]
    found = why_nobodys(served, rules, {one: first, other: second})
    if found:
        return Explanation(False, found)
    joined = first.customer_id is not None and first.customer_id == second.customer_id
    components = [_component_of(served, each.identifier_id) for each in (first, second)]
    apart = [] if joined else _decided_apart(served, decisions, first, second)
    if components[0] != components[1]:
        return Explanation(False, apart + between_components(served, rules, components[0], components[1]))
    component = read_component(served, components[0])
    ends = component.place(one), component.place(other)
    if joined:
        steps = joining_path(component.sightings, *ends)
        way = _Teller(served, rules, decisions, component).way(steps or [])
        return Explanation(True, [f"Both are customer {first.customer_id}{_by_way(way)}"], way)
    steps = shortest_path(component.sightings, *ends)
    said = [f"They are not one customer: {_whose(shown(one), first)}, {_whose(shown(other), second)}.", *apart]
    if steps is None:
        return Explanation(
            False, [*said, "No event connects them; a customer id of the past does, under which both once were."]
        )
    way = _Teller(served, rules, decisions, component).way(steps)
    return Explanation(False, [*said, *dict.fromkeys(why for link in way for why in link.kept_apart)], way)


def explain_one(served: Connection, decisions: Mapping[int, Recorded], rules: Rules, name: Identifier) -> list[str]:
    """Whose an identifier is, from when to when, or why it is nobody's. Raises UnknownIdentifierError."""
    standing = _known(served, [name])[name]
    events, first, last = served.rows(
        "select event_count, first_seen_at, last_seen_at from identity.identifiers where identifier_id = ?",
        [standing.identifier_id],
    )[0]
    said = [f"{shown(name)}: {events:,} events, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}."]
    said += why_nobodys(served, rules, {name: standing})
    if standing.customer_id is not None:
        held = scalar(
            served,
            "select count(*) from identity.memberships where known_to is null and valid_from is null and customer_id = ?",
            [standing.customer_id],
        )
        said.append(f"It is customer {standing.customer_id}, which holds {held:,} identifier{'s' if held > 1 else ''}.")
    if standing.standing == "shared":
        refusals = served.rows(
            "select reason, limited_type, decision_seq from identity.refused_joins where identifier_id = ? and is_shared",
            [standing.identifier_id],
        )
        said += [f"It is shared: {_because(Refusal(*row), rules, decisions)}." for row in refusals[:1]]
        said += _periods(served, standing)
    return said


def made_since(served: Connection, decisions: Mapping[int, Recorded], names: Sequence[Identifier]) -> list[str]:
    """Decisions on the identifiers that the served build does not know yet: made, or withdrawn, since."""
    obeyed = {seq for (seq,) in served.rows("select distinct decision_seq from control.identity_decisions")}
    said = []
    for seq, record in decisions.items():
        if record.is_in_force != (seq in obeyed) and any(
            name in side for side in record.decision.sides for name in names
        ):
            done = "made" if record.is_in_force else "withdrawn"
            said.append(f"{record.sentence().capitalize()} was {done} since; the next run follows.")
    return said


def way_lines(way: Sequence[Link], *, most: int) -> Iterator[str]:
    """The way as lines; of a long one the beginning and the end."""
    if not way:
        return
    yield f"  {shown(way[0].start)}"
    left_out = range(most // 2, len(way) - (most - most // 2)) if len(way) > most else range(0)
    for number, link in enumerate(way):
        if number in left_out:
            if number == left_out.start:
                yield f"    … {len(left_out):,} more steps; --all shows them"
            continue
        yield f"    {'closed' if link.kept_apart else 'joined'} by {link.by}"
        yield f"  {shown(link.end)}"


def _known(served: Connection, names: Sequence[Identifier]) -> dict[Identifier, Standing]:
    if not tables_of(served, "identity") >= NEEDS:
        raise NothingServedError("The served build was made by an earlier version of Weft; `weft run` makes a new one.")
    standing = find_standing(served, names)
    for name in names:
        if name not in standing:
            as_of = scalar(served, "select as_of from control.current_run")
            raise UnknownIdentifierError(f"No event of the served build (as of {as_of}) carries {shown(name)}.")
    return standing


def _component_of(served: Connection, identifier_id: str) -> int:
    query = "select component_id from identity.memberships where known_to is null and identifier_id = ?"
    return int(scalar(served, query, [identifier_id]))


def _decided_apart(served: Connection, decisions: Mapping[int, Recorded], one: Standing, other: Standing) -> list[str]:
    """Walls with somebody of the one's customer on a side and somebody of the other's on the other side."""
    rows = served.rows(
        "select distinct walls.decision_seq, walls.side, nodes.identifier_id, nodes.customer_id "
        "from control.identity_decisions as walls "
        "inner join identity.nodes as nodes "
        "on walls.identifier_type = nodes.identifier_type and walls.identifier_value = nodes.identifier_value "
        "where walls.action = 'wall' and (nodes.identifier_id in (?, ?) or nodes.customer_id in (?, ?))",
        [one.identifier_id, other.identifier_id, one.customer_id, other.customer_id],
    )
    sides: dict[tuple[int, int], set[int]] = {}
    for seq, side, identifier_id, customer_id in rows:
        for number, each in enumerate((one, other)):
            if identifier_id == each.identifier_id or (customer_id is not None and customer_id == each.customer_id):
                sides.setdefault((seq, number), set()).add(side)
    found = sorted({seq for seq, _ in sides})
    walls = [seq for seq in found if {1 - side for side in sides.get((seq, 0), set())} & sides.get((seq, 1), set())]
    return [f"{_decision(decisions, seq).capitalize()} keeps them apart." for seq in walls]


@dataclass(frozen=True)
class _Teller:
    """Puts the steps through one component into words."""

    served: Connection
    rules: Rules
    decisions: Mapping[int, Recorded]
    component: Component

    def way(self, steps: Sequence[Step]) -> list[Link]:
        """Each step with its event or decision, and what closes it."""
        name = self.component.name
        ids = {step.row: self.component.evidence_ids[step.row].as_py() for step in steps if step.row is not None}
        events = _events(self.served, ids.values())
        way = []
        for step in steps:
            by = events[ids[step.row]] if step.row is not None else self.link(step)
            way.append(Link(name(step.start), name(step.end), by, self.what_closes(step)))
        return way

    def link(self, step: Step) -> str:
        """The decision that a step goes by."""
        return _decision(self.decisions, self.component.link_seqs[step.link or 0])

    def what_closes(self, step: Step) -> list[str]:
        """In review nothing joins; what is set aside or shared joins nothing here."""
        if step.is_open or step.row is None:
            return []
        component, said = self.component, []
        if component.sightings.in_review[step.row]:
            return [_in_review(self.served, component.evidence_ids[step.row].as_py())]
        for place in (step.start, step.end):
            name = shown(component.name(place))
            if (step.row, place) in component.aside:
                said.append(f"{name} was set aside in the event: {self.because(component.aside[step.row, place])}.")
            elif component.sightings.is_shared[place]:
                said.append(
                    f"{name} is shared, and nothing joins through it: {self.because(component.refused[place])}."
                )
            elif place in component.refused:
                said.append(f"{name} joined no others: {self.because(component.refused[place])}.")
        return said

    def because(self, why: Refusal) -> str:
        """The rule, as the end of a sentence."""
        return _because(why, self.rules, self.decisions)


def _in_review(served: Connection, evidence_id: str) -> str:
    review_id, status, groups = served.rows(
        "select review_id, status, group_count from identity.review_queue where known_to is null and evidence_id = ?",
        [evidence_id],
    )[0]
    if status == "refused":
        return f"The event joins nothing: its review {review_id[:12]} was refused."
    return f"The event joins nothing: it names {groups} customers at once and waits for `weft review show {review_id[:12]}`."


def _because(why: Refusal, rules: Rules, decisions: Mapping[int, Recorded]) -> str:
    if why.decision_seq is not None:
        return f"{_decision(decisions, why.decision_seq)} keeps apart whom it would join"
    if why.reason == "limit":
        limit = rules.limits.get(str(why.limited_type))
        allowed = f"the limit is {limit:,}" if limit is not None else "there is a limit"
        return f"one customer would hold too many {why.limited_type} ({allowed})"
    return f"people who hold different {why.limited_type} were seen with it"


def _events(served: Connection, evidence_ids: Iterable[str]) -> dict[str, str]:
    ids, said = list(dict.fromkeys(evidence_ids)), {}
    for first in range(0, len(ids), 500):
        some = ids[first : first + 500]
        for row in served.rows(
            "select evidence_id, first_at, first_source, first_message_id, event_count from identity.evidence "
            f"where evidence_id in ({', '.join('?' * len(some))})",
            some,
        ):
            said[row[0]] = _event(*row[1:])
    return said


def _event(at: datetime, source: str, message_id: str, count: int) -> str:
    more = f" and {count - 1:,} like it" if count > 1 else ""
    return f"event {message_id} of {source}, {at:%Y-%m-%d %H:%M:%S}{more}"


def _decision(decisions: Mapping[int, Recorded], seq: int) -> str:
    return decisions[seq].sentence() if seq in decisions else f"decision {seq}"


def _by_way(way: Sequence[Link]) -> str:
    return f", joined in {len(way):,} step{'s' if len(way) > 1 else ''}:" if way else "."


def _whose(name: str, standing: Standing) -> str:
    return f"{name} is {standing.customer_id}" if standing.customer_id else f"{name} is shared by several people"


def _periods(served: Connection, standing: Standing) -> list[str]:
    rows = served.rows(
        "select valid_from, valid_to, customer_id from identity.memberships "
        "where known_to is null and identifier_id = ? order by valid_from limit ?",
        [standing.identifier_id, MOST_PERIODS + 1],
    )
    said = [f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}: customer {customer}" for start, end, customer in rows]
    return said if len(rows) <= MOST_PERIODS else [*said[:MOST_PERIODS], "… and later periods."]
