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
SOLE_CUSTOMER = "only one customer"
_COMPARED = {"at_least": ">=", "at_most": "<=", "exactly": "="}


@dataclass(frozen=True)
class Sources:
    """Where a query reads: names of relations that the caller vouches for.

    `audience` gives the query (customer_id) of the members of an audience.
    """

    audience: Callable[[str], Sql]
    profiles: str = PROFILES
    events: str = EVENTS
    customer_id: str | None = None
    """Where it is given, the query is about this customer alone."""


@dataclass(frozen=True)
class Literal:
    """A leaf as the tree needs it, after every `none` was carried down to the leaves."""

    index: int
    leaf: Leaf
    holds: bool


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

    def members(self) -> Sql:
        """One row per member: customer_id."""
        return sql("select customer_id\nfrom (\n{}\n) as clauses\nwhere {}", self.clauses, _truth(self.tree))

    def members_with_reasons(self) -> Sql:
        """One row per member: customer_id, and entered_because of the conditions that hold."""
        shown = self._reasons(self.tree, Sql("true"), is_root=True)[:MOST_REASONS]
        # left() would count what concat_ws gives as null where nothing is shown: it gives an empty text
        because = sql(f"left(concat_ws('; ', {{}}), {LONGEST_REASON})", joined(",\n", shown))
        return sql(
            "select customer_id, {} as entered_because\nfrom (\n{}\n) as clauses\nwhere {}",
            because,
            self.clauses,
            _truth(self.tree),
        )

    def _reasons(self, node: "Branch | Literal", above: Sql, *, is_root: bool = False) -> list[Sql]:
        """Each literal with the words for it, where it holds and so does everything above it but the root, which does for members."""
        here = above if is_root else sql("{} and {}", above, _truth(node))
        if isinstance(node, Branch):
            return [reason for child in node.children for reason in self._reasons(child, here)]
        before, behind = around_value(node.leaf, holds=node.holds)
        words = value(before)
        if node.index in self.valued:
            words = sql("{} || {} || {}", words, Sql(f"v{node.index}"), value(behind))
        else:
            words = value(asked(node.leaf, holds=node.holds))
        return [sql("case when {} then {} end", here, words)]


def compile_rule(tree: Node, sources: Sources) -> Compiled:
    """The query of a rule whose names were checked (see parsing). Cost: a scan of profiles, one of events for all counts, and one
    of events for each sequence."""
    found = tuple(leaves(tree))
    places = {id(leaf): index for index, leaf in enumerate(found)}
    normal = _normal(tree, places, holds=True)
    literals = tuple(_literals(normal))
    counts = [leaf for leaf in found if isinstance(leaf, EventCount)]
    only = Sql("") if sources.customer_id is None else sql("events.customer_id = {}", value(sources.customer_id))
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
    where = (
        Sql("") if sources.customer_id is None else sql("\nwhere profiles.customer_id = {}", value(sources.customer_id))
    )
    clauses = sql(
        "select\n{}\nfrom {} as profiles{}{}", joined(",\n", columns), Sql(sources.profiles), joined("", joins), where
    )
    return Compiled(clauses, normal, literals, frozenset(valued))


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
