"""From the JSON of a rule to its tree: every mistake gets a sentence that says what is allowed, at its place in the JSON."""

from collections.abc import Mapping
from typing import Any, cast

from activation.rules.columns import Column, Known
from activation.rules.event_parsing import EventParser
from activation.rules.problems import Problem, Problems, RuleError, allowed, kind_of, shown
from activation.rules.strict_json import check_json, read_json
from activation.rules.tree import Ago, Attribute, Condition, Group, InAudience, Leaf, Node
from activation.rules.values import MOST_DAYS, read_condition, whole_number

MOST_GROUPS_DEEP = 8
MOST_CHILDREN = 50
MOST_CONDITIONS = 100
TOO_DEEP = f"all, any and none may stand {MOST_GROUPS_DEEP} deep in each other, and these go deeper."
GROUPS = ("all", "any", "none")
LEAVES = ("attribute", "audience", "event", "sequence")
SHORT_FORM = {"min_total_spend": "net_revenue", "days_since_last_event": "last_seen_at"}
"""The short form, and the columns that it asks of: net_revenue >= n, and the last event at least n days before the as-of."""


def parse_rule(rule: str | bytes | Mapping[str, Any], known: Known) -> Node:
    """The tree of a rule (JSON text, or an object read from JSON). Raises RuleError with up to ten mistakes."""
    problems = Problems()
    if isinstance(rule, str | bytes):
        rule = read_json(rule)
    else:
        check_json(rule)
    tree = _Parser(known, problems).node(rule, "$", 1)
    problems.raise_if_any()
    assert tree is not None, "what could not be read has a problem"
    return tree


class _Parser:
    def __init__(self, known: Known, problems: Problems) -> None:
        self.known = known
        self.problems = problems
        self.events = EventParser(known, problems)
        self.conditions = 0

    def node(self, given: Any, path: str, depth: int) -> Node | None:
        if not isinstance(given, dict):
            self.problems.add(path, f"takes an object with one of {_list((*GROUPS, *LEAVES))}, not {kind_of(given)}.")
            return None
        if depth > MOST_GROUPS_DEEP:
            raise RuleError([*self.problems.found, Problem(path, TOO_DEEP)])
        if given.keys() & SHORT_FORM.keys():
            return self._short_form(given, path)
        kinds = [key for key in (*GROUPS, *LEAVES) if key in given]
        if len(kinds) != 1:
            unknown = next((key for key in given if key not in ("op", "value")), None)
            said = f"has {_list(kinds)} at once" if kinds else "has none of them"
            hint = (
                f"; {shown(unknown)}: {allowed(unknown, (*GROUPS, *LEAVES, *SHORT_FORM))}"
                if not kinds and unknown
                else ""
            )
            self.problems.add(path, f"takes exactly one of {_list((*GROUPS, *LEAVES))}, and this {said}{hint}.")
            return None
        [kind] = kinds
        if kind in GROUPS:
            return self._group(given, kind, path, depth)
        return self._leaf(given, kind, path)

    def _group(self, given: dict[str, Any], kind: str, path: str, depth: int) -> Node | None:
        self.problems.only(given, path, (kind,))
        children = given[kind]
        here = f"{path}.{kind}"
        if not isinstance(children, list) or not 1 <= len(children) <= MOST_CHILDREN:
            what = f"{len(children):,}" if isinstance(children, list) else kind_of(children)
            self.problems.add(here, f"takes a list of 1 to {MOST_CHILDREN} conditions, not {what}.")
            return None
        nodes = [self.node(child, f"{here}[{index}]", depth + 1) for index, child in enumerate(children)]
        return Group(cast(Any, kind), tuple(node for node in nodes if node is not None), here)

    def _leaf(self, given: dict[str, Any], kind: str, path: str) -> Leaf | None:
        self.conditions += 1
        if self.conditions == MOST_CONDITIONS + 1:
            self.problems.add(path, f"a rule may have {MOST_CONDITIONS} conditions, and this one has more.")
        if kind == "attribute":
            return self._attribute(given, path)
        if kind == "audience":
            return self._audience(given, path)
        return self.events.count(given, path) if kind == "event" else self.events.sequence(given, path)

    def _attribute(self, given: dict[str, Any], path: str) -> Leaf | None:
        self.problems.only(given, path, ("attribute", "op", "value"))
        name = given["attribute"]
        column = self.known.profiles.get(name) if isinstance(name, str) else None
        if column is None:
            hint = allowed(name, self.known.profiles)
            self.problems.add(f"{path}.attribute", f"there is no attribute {shown(name)}; {hint}.")
            return None
        condition = read_condition(given, path, column, self.problems)
        return Attribute(path, condition) if condition else None

    def _audience(self, given: dict[str, Any], path: str) -> Leaf | None:
        self.problems.only(given, path, ("audience",))
        name = given["audience"]
        if not isinstance(name, str) or name not in self.known.audiences:
            hint = allowed(name, self.known.audiences)
            self.problems.add(f"{path}.audience", f"there is no audience {shown(name)}; {hint}.")
            return None
        return InAudience(path, name)

    def _short_form(self, given: dict[str, Any], path: str) -> Node | None:
        self.problems.only(given, path, tuple(SHORT_FORM))
        found: list[Node] = []
        for key, column_name in SHORT_FORM.items():
            if key not in given:
                continue
            here = f"{path}.{key}"
            column = self.known.profiles.get(column_name)
            if column is None:
                self.problems.add(here, f"needs the attribute {column_name}, which the warehouse has not.")
                return None
            condition = self._short_condition(given, key, here, column)
            if condition:
                found.append(Attribute(here, condition))
        return Group("all", tuple(found), path)

    def _short_condition(self, given: dict[str, Any], key: str, path: str, column: Column) -> Condition | None:
        if key == "days_since_last_event":
            days = whole_number(given[key], path, self.problems, least=0, most=MOST_DAYS)
            return None if days is None else Condition(column, "at_least_days_ago", (Ago(days),), (days,))
        problems = Problems()
        condition = read_condition({"op": "gte", "value": given[key]}, path, column, problems)
        for problem in problems.found:
            self.problems.add(path, problem.sentence)
        return condition


def _list(names: Any) -> str:
    return ", ".join(names)
