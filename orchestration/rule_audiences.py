"""Rule audiences on a warehouse: their members in a build, a preview before one is saved, and why somebody is in or not."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from activation.rules import Known, RuleError, Sql, compile_rule, parse_rule
from activation.rules.fragments import joined, sql, value
from activation.rules.tree import Node, audiences_named, event_matches
from orchestration.audience_catalogue import Audience, audiences
from orchestration.audience_rules import SavedRule
from orchestration.rule_columns import known_names
from orchestration.rule_definitions import in_order
from orchestration.rule_sources import as_built, inlined
from orchestration.state import State
from orchestration.warehouse import Connection, create_table, first_row, scalar

RULE_MEMBERS = {"audience": "varchar", "customer_id": "varchar", "entered_because": "varchar"}
RULE_BUILDS = {"audience": "varchar", "revision": "bigint", "member_count": "bigint", "problem": "varchar"}
SAMPLE = 10
SHARED_EVENTS = "rule_events"


@dataclass(frozen=True)
class RuleMembers:
    """What a build made of the rules: members by audience, and by audience why a rule could not be built."""

    counts: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Preview:
    """What a rule would give: members, their share of all customers, and the ids of some."""

    size: int
    share: float
    sample: tuple[str, ...]
    as_of: datetime


@dataclass(frozen=True)
class Clause:
    """One condition of a rule for one customer: its place in the JSON, what it asks for in words, whether that holds, and the
    customer's own value (None: there is none to show, or it is personal)."""

    path: str
    words: str
    holds: bool
    value: str | None


def build_rule_members(connection: Connection, state: State, as_of: datetime) -> RuleMembers:
    """Write the members of every rule into audiences.rule_members, in one transaction.

    A rule that the warehouse's columns no longer fit keeps the members it had, of those who are still customers; its problem stands in
    audiences.rule_builds. Cost: one scan of events for all rules, and what compile_rule says for each.
    """
    create_table(connection, "audiences.rule_members", RULE_MEMBERS)
    create_table(connection, "audiences.rule_builds", RULE_BUILDS)
    catalogue = audiences(state)
    in_force = {each.name for each in catalogue if each.kind == "rule"}
    rules = [rule for rule in state.rules.current() if rule.name in in_force]
    trees, problems = _read(connection, catalogue, rules)
    ordered = in_order(rules, trees)
    built: set[str] = set()
    with connection.transaction(), _shared_events(connection, trees.values(), as_of) as events:
        connection.execute("delete from audiences.rule_builds")
        sources = as_built(catalogue, events=events)
        for rule in ordered:
            if rule.name in trees and _stands(trees[rule.name], in_force, built):
                _write(connection, rule.name, compile_rule(trees[rule.name], sources).members_with_reasons(), as_of)
                built.add(rule.name)
            else:
                problems.setdefault(rule.name, "It asks for the members of a rule that could not be built.")
                connection.execute(
                    "delete from audiences.rule_members where audience = ? "
                    "and customer_id not in (select customer_id from audiences.profiles)",
                    [rule.name],
                )
        _forget_others(connection, [rule.name for rule in ordered])
        counts = dict(connection.rows("select audience, count(*) from audiences.rule_members group by audience"))
        for rule in ordered:
            counts.setdefault(rule.name, 0)
            connection.execute(
                "insert into audiences.rule_builds values (?, ?, ?, ?)",
                [rule.name, rule.revision, counts[rule.name], problems.get(rule.name)],
            )
    return RuleMembers(counts, problems)


def preview(served: Connection, rule: Any, as_of: datetime, *, state: State) -> Preview:
    """What a rule (JSON text, or an object of one) would give on a build. Rules that it asks for are evaluated as they are in force.

    Raises RuleError. `served` should be a connection with limits (limited_reading).
    """
    catalogue = audiences(state)
    known = known_names(served, catalogue)
    compiled = compile_rule(parse_rule(rule, known), inlined(known, state, catalogue))
    query = sql(
        f"select customer_id, count(*) over () as size from (\n{{}}\n) as members order by customer_id limit {SAMPLE}",
        compiled.members(),
    )
    rows = served.rows(query.text, query.bound(as_of))
    size = int(rows[0][1]) if rows else 0
    customers = int(scalar(served, "select count(*) from audiences.profiles"))
    return Preview(size, size / customers if customers else 0.0, tuple(row[0] for row in rows), as_of)


def explain(
    rule: Any, served: Connection, customer_id: str, *, state: State, as_of: datetime | None = None
) -> list[Clause]:
    """Every condition of a rule (a saved one, JSON text, or an object) for one customer of a build, in the order of the rule's JSON.

    A condition under `none` is put the other way round, so that `holds` always speaks for the customer. Other rules count as that
    build has them. Empty where the build has no such customer. `as_of` is the build's own where it is not given. Raises RuleError.
    """
    catalogue = audiences(state)
    text = rule.rule if isinstance(rule, SavedRule) else rule
    sources = as_built(catalogue, customers=(customer_id,))
    compiled = compile_rule(parse_rule(text, known_names(served, catalogue)), sources)
    found = first_row(served, compiled.clauses.text, compiled.clauses.bound(as_of or _as_of(served)))
    if found is None:
        return []
    columns = dict(zip(compiled.columns, found, strict=True))
    return [
        Clause(each.leaf.path, each.words, columns[f"c{each.index}"] == each.holds, columns.get(f"v{each.index}"))
        for each in compiled.literals
    ]


def explain_leaving(state: State, as_of: datetime) -> Callable[[Connection, Audience, Sequence[str]], dict[str, str]]:
    """For settle_memberships: the conditions of a rule that do not hold (any more), by customer, of those who are still customers."""

    def explaining(connection: Connection, audience: Audience, customers: Sequence[str]) -> dict[str, str]:
        saved, catalogue = state.rules.get(audience.name), audiences(state)
        if saved is None:
            return {}
        try:
            tree = parse_rule(saved.rule, known_names(connection, catalogue))
        except RuleError:
            return {}
        found: dict[str, str] = {}
        for start in range(0, len(customers), 1_000):
            some = tuple(customers[start : start + 1_000])
            missing = compile_rule(tree, as_built(catalogue, customers=some)).what_is_missing()
            found |= dict(connection.rows(missing.text, missing.bound(as_of)))
        return {customer: because for customer, because in found.items() if because}

    return explaining


def _read(
    connection: Connection, catalogue: Sequence[Audience], rules: Sequence[SavedRule]
) -> tuple[dict[str, Node], dict[str, str]]:
    """The trees of the rules that fit the warehouse, and what is wrong with the others."""
    known = known_names(connection, catalogue) if rules else Known({}, {}, frozenset())
    trees: dict[str, Node] = {}
    problems: dict[str, str] = {}
    for rule in rules:
        try:
            trees[rule.name] = parse_rule(rule.rule, known)
        except RuleError as error:
            problems[rule.name] = str(error)
    return trees, problems


def readable_trees(connection: Connection, state: State) -> dict[str, Node]:
    """The trees of all rules that fit the warehouse, by name."""
    return _read(connection, audiences(state), state.rules.current())[0]


@contextmanager
def _shared_events(connection: Connection, trees: Any, as_of: datetime) -> Iterator[str]:
    """The events that any of the rules is about, read once from the view of all events: what it is called."""
    matches = [match for tree in trees for match in event_matches(tree)]
    if not matches:
        yield "customer_360.events"
        return
    rows = sql(
        "select events.* from customer_360.events as events\n"
        "where events.customer_id is not null and events.occurred_at < cast(? as timestamp) and events.event in ({})",
        joined(", ", [value(name) for name in sorted({name for match in matches for name in match.names})]),
    )
    connection.execute(f"drop table if exists {SHARED_EVENTS}")
    connection.execute(f"create temporary table {SHARED_EVENTS} as select * from customer_360.events limit 0")
    connection.execute(f"insert into {SHARED_EVENTS}\n{rows.text}", [as_of, *rows.bound(as_of)])
    yield SHARED_EVENTS
    connection.execute(f"drop table {SHARED_EVENTS}")


def _stands(tree: Node, rules: set[str], built: set[str]) -> bool:
    return all(name in built for name in audiences_named(tree) if name in rules)


def _write(connection: Connection, name: str, members: Sql, as_of: datetime) -> None:
    connection.execute("delete from audiences.rule_members where audience = ?", [name])
    connection.execute(
        "insert into audiences.rule_members (audience, customer_id, entered_because)\n"
        f"select cast(? as varchar), customer_id, entered_because from (\n{members.text}\n) as members",
        [name, *members.bound(as_of)],
    )


def _forget_others(connection: Connection, names: Sequence[str]) -> None:
    """Rules that are no more."""
    marks = ", ".join("?" * len(names))
    but = f" where audience not in ({marks})" if names else ""
    connection.execute(f"delete from audiences.rule_members{but}", list(names))


def _as_of(connection: Connection) -> datetime:
    as_of = scalar(connection, "select as_of from control.current_run")
    assert isinstance(as_of, datetime), "a build has its row in control.current_run"
    return as_of
