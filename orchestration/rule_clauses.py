"""The conditions of a rule for one customer, as `weft audience why` tells them."""

from collections.abc import Callable

from activation.rules import RuleError
from orchestration.audience_catalogue import Audience
from orchestration.rule_audiences import explain
from orchestration.state import State
from orchestration.warehouse import Connection


def clauses_of(state: State, served: Connection) -> Callable[[Audience, str], list[str]]:
    """For explain_audiences: each condition in words, whether it holds and the customer's own value where one may be shown.

    The rule is the one in force now, on the data of the served build.
    """

    def clauses(audience: Audience, customer_id: str) -> list[str]:
        saved = state.rules.get(audience.name)
        if saved is None:
            return []
        try:
            found = explain(saved, served, customer_id, state=state)
        except RuleError as error:
            return [f"The rule cannot be evaluated: {error.problems[0]}"]
        return [
            f"{'holds' if each.holds else 'fails'}: {each.words}" + (f" (it is {each.value})" if each.value else "")
            for each in found
        ]

    return clauses
