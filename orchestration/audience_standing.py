"""Where an audience stands on its way out: the version that is published, the newest one, what a guard or the gate holds back, and why."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from activation.rules import RuleError
from orchestration.audience_catalogue import Audience
from orchestration.errors import GateError
from orchestration.gate import REASONS, REDIS, withheld_reason
from orchestration.guards import held_version
from orchestration.rule_audiences import explain
from orchestration.state import State
from orchestration.warehouse import Connection

Withheld = Callable[[Audience, str], str | None]
"""What withholds a customer from the publication of an audience, in words; None where nothing does."""
Publication = Callable[[Audience], str]
"""Where the newest version of an audience stands, in words."""
Clauses = Callable[[Audience, str], list[str]]
"""Each clause of a rule audience with the customer's value and whether it holds, in words."""


@dataclass(frozen=True)
class Standing:
    """`published_…`: the newest version that readers were given (members after the gate, run clock of its build). `newest_version` is the
    newest that was registered, `status` where its publication stands, `held` why a guard holds it back; None where there is none."""

    published_version: int | None
    published_members: int | None
    published_as_of: datetime | None
    newest_version: int | None
    status: str | None
    held: str | None

    def sentence(self, now: datetime) -> str:
        """All of it in words."""
        if self.newest_version is None:
            return "no version yet"
        said = "nothing published yet"
        if self.published_version is not None and self.published_as_of is not None:
            age = _age(now - self.published_as_of)
            said = f"v{self.published_version} of {self.published_members:,} is published, {age} old"
        if self.held:
            return f"{said}; v{self.newest_version} is held: {self.held}"
        return (
            said
            if self.newest_version == self.published_version
            else f"{said}; v{self.newest_version} is {self.status}"
        )


def standing_of(state: State, name: str) -> Standing:
    """How the versions of an audience (or of the profiles) stand."""
    published, newest, held = state.published_version(name), state.newest_version(name), held_version(state, name)
    last = state.last_publication(name, newest.version) if newest else None
    return Standing(
        published.version if published else None,
        published.member_count if published else None,
        published.as_of if published else None,
        newest.version if newest else None,
        (last[1] if last else "registered") if newest else None,
        held.sentence if held else None,
    )


def gate_of(served: Connection, state: State) -> Withheld:
    """What the gate of the online store says of a customer, in words; also that it cannot tell."""

    def withheld(audience: Audience, customer_id: str) -> str | None:
        try:
            reason = withheld_reason(served, state, audience, customer_id, destination=REDIS)
        except GateError as error:
            return str(error)
        return REASONS[reason] if reason else None

    return withheld


def clauses_of(served: Connection, state: State) -> Clauses:
    """Each condition of a rule audience for a customer, in the order of its JSON, in words."""

    def clauses(audience: Audience, customer_id: str) -> list[str]:
        saved = state.rules.get(audience.name)
        try:
            found = explain(saved, served, customer_id, state=state) if saved else []
        except RuleError as error:
            return [f"the rule cannot be evaluated: {error.problems[0]}"]
        return [
            f"{'yes' if each.holds else 'no '} {each.words}{'' if each.value is None else f' (theirs: {each.value})'}"
            for each in found
        ]

    return clauses


def _age(age: timedelta) -> str:
    return f"{age.days:,} days" if age.days else f"{age.seconds // 3600} h {age.seconds // 60 % 60} min"
