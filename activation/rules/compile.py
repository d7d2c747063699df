"""A rule's tree as one query: who is a member, and because of what. The text of the query depends on the tree's shape alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from activation.rules.conditions import condition_sql
from activation.rules.event_sql import EVENTS, counts_sql, sequence_sql
from activation.rules.fragments import Sql, joined, sql, value
from activation.rules.tree import Attribute, EventCount, Group, InAudience, Leaf, Node, Sequence, leaves
from activation.rules.words import around_value, asked, value_sql

PROFILES = "audiences.profiles"
MOST_REASONS = 8
LONGEST_REASON = 500
_COMPARED = {"at_least": ">=", "at_most": "<=", "exactly": "="}


@dataclass(frozen=True)
class Sources:
    """Where a query reads: names of relations that the caller vouches for.

    `audience` gives the query (customer_id) of the members of an audience.
    """

    audience: Callable[[str], Sql]
    profiles: str = PROFILES
    events: str = EVENTS
    customers: tuple[str, ...] = ()
    """Where they are given, the query is about these customers alone."""


@dataclass(frozen=True)
class Literal:
    """A leaf as the tree needs it, after every `none` was carried down to the leaves."""

    index: int
    leaf: Leaf
    holds: bool

    @property
    def words(self) -> str:
        """What it asks for."""
        return asked(self.leaf, holds=self.holds)


@dataclass(frozen=True)
class Branch:
    """All or any of the children."""

    is_all: bool
    children: tuple["Branch | Literal", ...]


@dataclass(frozen=True)
class Compiled:
    """The clauses query of a rule: a row per customer with c<i> (does the i-th leaf hold) and v<i> (the value shown with it)."""

    clauses: Sql
    tree: Branch | Literal
    literals: tuple[Literal, ...]
    valued: frozenset[int] = field(default_factory=frozenset)

    @property
    def columns(self) -> list[str]:
        """The columns of `clauses`, in their order."""
        of_leaves = (
            [f"c{each.index}", f"v{each.index}"][: 2 if each.index in self.valued else 1] for each in self.literals
        )
        return ["customer_id", *(name for names in of_leaves for name in names)]

    def members(self) -> Sql:
        """One row per member: customer_id."""
        return sql("select customer_id\nfrom (\n{}\n) as clauses\nwhere {}", self.clauses, _truth(self.tree))

    def members_with_reasons(self) -> Sql:
        """One row per member: customer_id, and entered_because of the conditions that hold."""
        shown = self._reasons(self.tree, Sql("true"), is_root=True)[:MOST_REASONS]
        because = sql(f"left(concat_ws('; ', {{}}), {LONGEST_REASON})", joined(",\n", shown))
        return sql(
            "select customer_id, {} as entered_because\nfrom (\n{}\n) as clauses\nwhere {}",
            because,
            self.clauses,
            _truth(self.tree),
        )

    def what_is_missing(self) -> Sql:
        """One row per customer who is no member: customer_id, and missing: the conditions that do not hold."""
        missing = [
            sql("case when {} then {} end", Sql(f"{'not ' if each.holds else ''}c{each.index}"), self._words(each))
            for each in self.literals
        ]
        return sql(
            f"select customer_id, left(concat_ws('; ', {{}}), {LONGEST_REASON}) as missing\nfrom (\n{{}}\n) as clauses\nwhere not {{}}",
            joined(",\n", missing[:MOST_REASONS]),
            self.clauses,
            sql("({})", _truth(self.tree)),
        )

    def _reasons(self, node: "Branch | Literal", above: Sql, *, is_root: bool = False) -> list[Sql]:
        """Each literal with the words for it, where it holds and so does everything above it but the root, which does for members."""
        here = above if is_root else sql("{} and {}", above, _truth(node))
        if isinstance(node, Branch):
            return [reason for child in node.children for reason in self._reasons(child, here)]
        return [sql("case when {} then {} end", here, self._words(node))]

    def _words(self, literal: "Literal") -> Sql:
        """The words for one condition, with the customer's value in them."""
        if literal.index not in self.valued:
            return value(literal.words)
        before, behind = around_value(literal.leaf, holds=literal.holds)
        return sql("{} || {} || {}", value(before), Sql(f"v{literal.index}"), value(behind))


def compile_rule(tree: Node, sources: Sources) -> Compiled:
    """The query of a rule whose names were checked (see parsing). Cost: a scan of profiles, one of events for all counts, and one
    of events for each sequence."""
    found = tuple(leaves(tree))
    places = {id(leaf): index for index, leaf in enumerate(found)}
    normal = _normal(tree, places, holds=True)
    literals = tuple(_literals(normal))
    counts = [leaf for leaf in found if isinstance(leaf, EventCount)]
    only = _only("events", sources.customers)
    columns, joins, valued = [Sql("profiles.customer_id")], [], set()
    if counts:
        joins.append(_left_join(counts_sql(counts, sources.events, only), "counted"))
    for literal in literals:
        index, leaf = literal.index, literal.leaf
        place = counts.index(leaf) if isinstance(leaf, EventCount) else index
        if isinstance(leaf, Sequence):
            joins.append(_left_join(sequence_sql(leaf, sources.events, only), f"went_{index}"))
        elif isinstance(leaf, InAudience):
            members = sql("select distinct customer_id from (\n{}\n) as members", sources.audience(leaf.name))
            joins.append(_left_join(members, f"inside_{index}"))
        columns.append(sql(f"{{}} as c{index}", _holds(leaf, place)))
        shown = value_sql(leaf, place, holds=literal.holds)
        if shown is not None:
            valued.add(index)
            columns.append(sql(f"{{}} as v{index}", shown))
    where = sql("\nwhere {}", _only("profiles", sources.customers)) if sources.customers else Sql("")
    clauses = sql(
        "select\n{}\nfrom {} as profiles{}{}", joined(",\n", columns), Sql(sources.profiles), joined("", joins), where
    )
    return Compiled(clauses, normal, literals, frozenset(valued))


def _only(alias: str, customers: tuple[str, ...]) -> Sql:
    return sql(f"{alias}.customer_id in ({{}})", joined(", ", map(value, customers))) if customers else Sql("")


def _holds(leaf: Leaf, place: int) -> Sql:
    if isinstance(leaf, Attribute):
        return condition_sql(leaf.condition, "profiles")
    if isinstance(leaf, InAudience):
        return Sql(f"(inside_{place}.customer_id is not null)")
    if isinstance(leaf, EventCount):
        return sql(f"(coalesce(counted.n{place}, 0) {_COMPARED[leaf.compare]} {{}})", value(leaf.number))
    return Sql(f"(went_{place}.customer_id is not null)")


def _left_join(query: Sql, alias: str) -> Sql:
    return sql(f"\nleft join (\n{{}}\n) as {alias} on profiles.customer_id = {alias}.customer_id", query)


def _normal(node: Node, places: Mapping[int, int], *, holds: bool) -> Branch | Literal:
    """The tree without `none`: its opposite is carried down to the leaves, which are the same questions asked the other way."""
    if not isinstance(node, Group):
        return Literal(places[id(node)], node, holds)
    is_all = (node.kind == "all") == holds if node.kind != "none" else holds
    inner = holds if node.kind != "none" else not holds
    return Branch(is_all, tuple(_normal(child, places, holds=inner) for child in node.children))


def _literals(node: Branch | Literal) -> list[Literal]:
    if isinstance(node, Literal):
        return [node]
    return [literal for child in node.children for literal in _literals(child)]


def _truth(node: Branch | Literal) -> Sql:
    if isinstance(node, Literal):
        return Sql(f"c{node.index}" if node.holds else f"not c{node.index}")
    word = " and " if node.is_all else " or "
    return sql("({})", joined(word, (_truth(child) for child in node.children)))
