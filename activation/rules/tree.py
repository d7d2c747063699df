"""A rule after reading: a tree whose leaves are conditions with typed values. Every node knows its place in the JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from activation.rules.columns import Column


@dataclass(frozen=True)
class Ago:
    """The instant so many days before the run's as-of."""

    days: int

    def before(self, as_of: datetime) -> datetime:
        """The instant itself."""
        return as_of - timedelta(days=self.days)


AS_OF = Ago(0)
Value = str | int | float | bool | Decimal | datetime | Ago


@dataclass(frozen=True)
class Condition:
    """One question about one column: `values` as the warehouse compares them, `given` as the rule has them (for words)."""

    column: Column
    operator: str
    values: tuple[Value, ...]
    given: tuple[Any, ...]


@dataclass(frozen=True)
class Attribute:
    """A condition on the profile. True or false, also where there is no value."""

    path: str
    condition: Condition


@dataclass(frozen=True)
class InAudience:
    """Whether the customer is in another audience, as its own definition says (before consent and exclusions)."""

    path: str
    name: str


@dataclass(frozen=True)
class EventMatch:
    """Which events are meant: one of the names, and every condition holds."""

    names: tuple[str, ...]
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Window:
    """When events count: from `since` (included) to `until` (not included); `words` say it. Never at or after the as-of."""

    since: datetime | Ago | None
    until: datetime | None
    words: str


ALWAYS = Window(None, None, "")


@dataclass(frozen=True)
class EventCount:
    """How many matching events (or different values of `distinct` in them) the customer has in the window. None is 0."""

    path: str
    match: EventMatch
    distinct: Column | None
    compare: Literal["at_least", "at_most", "exactly"]
    number: int
    window: Window


@dataclass(frozen=True)
class Step:
    """One step of a sequence: `within_minutes` after the step before it that is not negated."""

    match: EventMatch
    within_minutes: int | None
    is_negated: bool


@dataclass(frozen=True)
class Sequence:
    """Events in this order. The last step that is not negated happened in the window."""

    path: str
    steps: tuple[Step, ...]
    window: Window


Leaf = Attribute | InAudience | EventCount | Sequence


@dataclass(frozen=True)
class Group:
    """all: every child holds; any: one of them does; none: none of them does."""

    kind: Literal["all", "any", "none"]
    children: tuple["Node", ...]
    path: str


Node = Group | Leaf


def leaves(node: Node) -> Iterator[Leaf]:
    """The conditions of a rule, in the order of its JSON."""
    if isinstance(node, Group):
        for child in node.children:
            yield from leaves(child)
    else:
        yield node


def audiences_named(node: Node) -> dict[str, str]:
    """The audiences that a rule asks for, each with the first place where it does."""
    found: dict[str, str] = {}
    for leaf in leaves(node):
        if isinstance(leaf, InAudience):
            found.setdefault(leaf.name, leaf.path)
    return found


def event_matches(node: Node) -> Iterator[EventMatch]:
    """Everything that a rule asks of events."""
    for leaf in leaves(node):
        if isinstance(leaf, EventCount):
            yield leaf.match
        elif isinstance(leaf, Sequence):
            yield from (step.match for step in leaf.steps)
