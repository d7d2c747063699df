"""Definitions of rule audiences: from the JSON of a file or a request to what is kept, with every check before it is."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from activation.rules import Known, Problem, RuleError, parse_rule, read_json
from activation.rules.problems import Problems, allowed, kind_of, shown
from activation.rules.tree import Node, audiences_named
from orchestration.audience_catalogue import audiences
from orchestration.audience_rules import Definition, SavedRule
from orchestration.consent_purposes import NO_CONSENT_NEEDED, PURPOSES
from orchestration.errors import AudienceError
from orchestration.guards import GUARDS
from orchestration.rule_columns import AUDIENCE_NAME, known_names
from orchestration.sightings import life_time
from orchestration.state import State
from orchestration.transform import read_manifest
from orchestration.warehouse import Connection, tables_of

REQUIRED = ("name", "rule", "owner", "consent_purpose", "destinations")
MEMBERS = (*REQUIRED, "description", "guards", "legal_basis", "expires_after")
OWN_TABLES = {"profiles", "rule_members", "rule_builds", "memberships", "overlaps"}
MOST_DESTINATIONS = 20
LONGEST_DESCRIPTION = 500
_DESTINATION = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_JINJA = re.compile(r"\{[{%#]")


def read_definition(given: Any) -> Definition:
    """The definition in a JSON object that has all members of it. Raises RuleError with up to ten mistakes. The rule is not looked at."""
    problems = Problems()
    if not isinstance(given, Mapping):
        raise RuleError([Problem("$", f"takes an object with {', '.join(MEMBERS)}, not {kind_of(given)}.")])
    problems.only(given, "$", MEMBERS)
    for member in REQUIRED:
        if member not in given:
            problems.add(f"$.{member}", "is missing.")
    definition = Definition(
        name=_name(given.get("name", "x"), problems),
        rule=given.get("rule"),
        description=_words(given.get("description", "-"), "description", problems, longest=LONGEST_DESCRIPTION),
        owner=_words(given.get("owner", "-"), "owner", problems, longest=100),
        consent_purpose=_purpose(given.get("consent_purpose", PURPOSES[0]), problems),
        destinations=_destinations(given.get("destinations", ["redis"]), problems),
        guards=_guards(given.get("guards", {}), problems),
        legal_basis=_legal_basis(given, problems),
        expires_after=_life_time(given.get("expires_after"), problems),
    )
    problems.raise_if_any()
    return definition


def read_definition_file(content: bytes, name: str, said: Mapping[str, Any]) -> Definition:
    """The definition in a file: the whole of it, or only its rule; `said` (of the command line) wins. Raises RuleError."""
    given = read_json(content)
    whole = dict(given) if isinstance(given, dict) and "rule" in given else {"rule": given}
    if whole.get("name", name) != name:
        raise RuleError([Problem("$.name", f"is not {name}; leave it out or make both the same.")])
    return read_definition({**whole, **said, "name": name})


def check_definition(connection: Connection, state: State, definition: Definition) -> Node:
    """The tree of a definition that may be saved. Raises RuleError: a name that is taken, a rule that cannot be used, a circle."""
    problems = Problems()
    taken = _taken_names(connection, state)
    if definition.name in taken:
        problems.add("$.name", f"{definition.name} is {taken[definition.name]}; choose another name.")
    known = known_names(connection, audiences(state))
    try:
        tree = parse_rule(definition.rule, known)
    except RuleError as error:
        raise RuleError([*problems.found, *inside(error, "$.rule")]) from None
    _refuse_circles(definition.name, tree, known, state.rules.current(), problems)
    problems.raise_if_any()
    return tree


def inside(error: RuleError, place: str) -> list[Problem]:
    """The mistakes of a rule as those of the definition around it."""
    return [Problem(f"{place}{problem.path.removeprefix('$')}", problem.sentence) for problem in error.problems]


def in_order(rules: Iterable[SavedRule], trees: Mapping[str, Node]) -> list[SavedRule]:
    """Rules in an order in which each comes after those that it asks for; what stands in a circle comes last, as it is."""
    waiting = sorted(rules, key=lambda rule: rule.name)
    ordered: list[SavedRule] = []
    while waiting:
        names = {rule.name for rule in waiting}
        ready = [
            rule for rule in waiting if rule.name not in trees or not names & audiences_named(trees[rule.name]).keys()
        ]
        if not ready:
            return [*ordered, *waiting]
        ordered += ready
        waiting = [rule for rule in waiting if rule not in ready]
    return ordered


def _refuse_circles(name: str, tree: Node, known: Known, rules: list[SavedRule], problems: Problems) -> None:
    others = {rule.name: rule for rule in rules if rule.name != name}
    for first, path in audiences_named(tree).items():
        way = _way_to(name, first, others, known, set())
        if way:
            through = " -> ".join([name, *way])
            problems.add(f"$.rule{path[1:]}.audience", f"{name} would have to know its own members first: {through}.")


def _way_to(goal: str, start: str, rules: Mapping[str, SavedRule], known: Known, seen: set[str]) -> list[str]:
    """The audiences from `start` to `goal` where each asks for the next; empty where no way leads there."""
    if start == goal:
        return [goal]
    if start in seen or start not in rules:
        return []
    seen.add(start)
    try:
        asked_for = audiences_named(parse_rule(rules[start].rule, known))
    except RuleError:
        return []  # it cannot be built as it is, so it asks nobody
    ways = (_way_to(goal, each, rules, known, seen) for each in asked_for)
    return next(([start, *way] for way in ways if way), [])


def _taken_names(connection: Connection, state: State) -> dict[str, str]:
    """What a rule may not be called, and why. A table that an export of the rule left behind is not in its way."""
    manifest = read_manifest()
    models = [node for node in manifest["nodes"].values() if node["resource_type"] in ("model", "seed", "snapshot")]
    own = {rule.name for rule in state.rules.current()}
    tables = (tables_of(connection, "audiences") - own) | OWN_TABLES
    taken = dict.fromkeys(RESERVED_WORDS, "a word of SQL")
    taken |= dict.fromkeys(tables, "a table of the warehouse")
    return taken | {
        node["name"]: "an audience in SQL" if node.get("meta", {}).get("audience") else "a model of the warehouse"
        for node in models
    }


def _name(given: Any, problems: Problems) -> str:
    if isinstance(given, str) and AUDIENCE_NAME.fullmatch(given):
        return given
    problems.add("$.name", "takes 1 to 63 small letters, digits and _, beginning with a letter.")
    return ""


def _words(given: Any, member: str, problems: Problems, *, longest: int) -> str:
    if not isinstance(given, str) or not given.strip() or len(given) > longest:
        problems.add(f"$.{member}", f"takes a text of 1 to {longest} characters.")
    elif not given.isprintable() or _JINJA.search(given):
        problems.add(f"$.{member}", "takes one line of text without {{, {% or {#.")
    else:
        return given.strip()
    return ""


def _purpose(given: Any, problems: Problems) -> str:
    known = (*PURPOSES, NO_CONSENT_NEEDED)
    if isinstance(given, str) and given in known:
        return given
    problems.add("$.consent_purpose", f"there is no purpose {shown(given)}; {allowed(given, known)}.")
    return ""


def _legal_basis(given: Mapping[str, Any], problems: Problems) -> str | None:
    """Why nobody has to be asked, where nobody is."""
    if given.get("consent_purpose") == NO_CONSENT_NEEDED and given.get("legal_basis") is None:
        problems.add("$.legal_basis", "is missing: an audience that needs no consent says why, in a sentence.")
    elif given.get("legal_basis") is not None:
        return _words(given["legal_basis"], "legal_basis", problems, longest=LONGEST_DESCRIPTION)
    return None


def _life_time(given: Any, problems: Problems) -> str | None:
    if given is None:
        return None
    try:
        life_time("x", {"expires_after": given})
    except AudienceError:
        problems.add("$.expires_after", "takes a number and minutes, hours or days, such as 36 hours.")
    return str(given)


def _destinations(given: Any, problems: Problems) -> tuple[str, ...]:
    listed = given if isinstance(given, list) and len(given) <= MOST_DESTINATIONS else []
    if listed and all(isinstance(each, str) and _DESTINATION.fullmatch(each) for each in listed):
        return tuple(dict.fromkeys(listed))
    problems.add(
        "$.destinations", f'takes a list of 1 to {MOST_DESTINATIONS} names of destinations, such as ["redis"].'
    )
    return ()


def _guards(given: Any, problems: Problems) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        problems.add("$.guards", 'takes an object of limits, such as {"max_share": 0.5}.')
        return {}
    for name, limit in given.items():
        if name not in GUARDS:
            problems.add("$.guards", f"there is no guard {shown(name)}; {allowed(name, GUARDS)}.")
        elif not isinstance(limit, int | float | Decimal) or limit < 0:
            problems.add(f"$.guards.{name}", f"takes a number that is not below 0, not {kind_of(limit)}.")
    return {name: float(limit) if isinstance(limit, Decimal) else limit for name, limit in given.items()}
