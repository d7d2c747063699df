"""Where the query of a rule finds the members of the audiences that the rule asks for."""

from collections.abc import Callable, Sequence

from activation.rules import Known, Problem, RuleError, Sources, Sql, compile_rule, parse_rule
from activation.rules.event_sql import EVENTS
from activation.rules.fragments import sql, value
from orchestration.audience_catalogue import Audience
from orchestration.state import State

MOST_INLINED = 50


def as_built(catalogue: Sequence[Audience], *, events: str = EVENTS, customers: tuple[str, ...] = ()) -> Sources:
    """Members as they stand in the warehouse, of SQL audiences and of rules."""
    kinds = {each.name: each.kind for each in catalogue}

    def members(name: str) -> Sql:
        if kinds[name] == "sql":
            return in_table(name)
        return sql("select customer_id from audiences.rule_members where audience = {}", value(name))

    return Sources(members, events=events, customers=customers)


def in_table(name: str) -> Sql:
    """The members of an audience in SQL, whose name was checked against those there are."""
    return Sql(f"select customer_id from audiences.{name}")


def inlined(
    known: Known,
    state: State,
    catalogue: Sequence[Audience],
    *,
    in_sql: Callable[[str], Sql] = in_table,
    profiles: str = "audiences.profiles",
    events: str = EVENTS,
) -> Sources:
    """Members of SQL audiences as they stand; those of a rule by its own query, as it is in force now.

    Asking for them raises RuleError where a rule cannot be used, asks for itself, or too many are asked for.
    """
    rules = {rule.name: rule for rule in state.rules.current()}
    tables = {each.name for each in catalogue if each.kind == "sql"}
    being_read: list[str] = []
    count = 0

    def members(name: str) -> Sql:
        nonlocal count
        if name in tables:
            return in_sql(name)
        count += 1
        if name in being_read or count > MOST_INLINED:
            raise RuleError(
                [Problem("$", f"{name} asks for more than {MOST_INLINED} rules, or for itself through one.")]
            )
        being_read.append(name)
        try:
            return compile_rule(parse_rule(rules[name].rule, known), sources).members()
        except RuleError as error:
            raise RuleError([Problem("$", f"the rule {name} cannot be used itself: {error.problems[0]}")]) from None
        finally:
            being_read.pop()

    sources = Sources(members, profiles=profiles, events=events)
    return sources
