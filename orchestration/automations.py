"""Automations: from changes of membership to occurrences, and from those to what a destination is told, once.

`notice` reads the history of membership behind an automation's own cursor and writes what is to come of it; `tell` hands that to the sync
engine. A kill anywhere leaves both where the next run goes on: the cursor moves in the transaction that holds what was found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import pyarrow as pa

from activation.automations.coupons import made_code
from activation.automations.definitions import Automation, AutomationError, missing_columns
from activation.automations.telling import occurrence_key
from orchestration.automation_records import CANCELLED, OPEN, Occurrence
from orchestration.automation_source import Source
from orchestration.failpoints import OnStep, failpoints
from orchestration.memberships import changes_after
from orchestration.state import State

PAGE = 50_000
MEMBERS = pa.schema([("customer_id", pa.string()), ("entered_because", pa.string())])
WITHHELD, COOLING, NO_LONGER, EXPIRED = "withheld", "cool-down", "no longer so", "expired"
"""Why an occurrence is not told: by the gate; somebody was told not long ago; they left again, or came back; it is too old."""


class Judge(Protocol):
    """The gate, for some people of one audience."""

    def __call__(self, candidates: pa.Table) -> pa.Table:
        """Those of the candidates (as MEMBERS) who may be told now."""


@dataclass(frozen=True)
class Noticed:
    """What an automation made of the changes it read. `is_first`: its first activation. `problem`: why it could not read on."""

    changes: int = 0
    occurrences: list[Occurrence] = field(default_factory=list)
    is_first: bool = False
    problem: str | None = None

    def counts(self) -> dict[str, int]:
        """By status, or by the reason where it was cancelled."""
        said = [each.reason or each.status for each in self.occurrences]
        return {name: said.count(name) for name in sorted(set(said))}


def check_columns(automation: Automation, source: Source) -> None:
    """Raises AutomationError where the profiles lack a column."""
    known = source.profile_columns()
    if missing := missing_columns(automation, known):
        raise AutomationError(f"{automation.name}: the profiles have no column {missing[0]}.")


def notice(
    source: Source,
    state: State,
    automation: Automation,
    *,
    judge: Judge,
    salt: str,
    now: datetime,
    is_dry: bool = False,
    on_step: OnStep = failpoints("automations"),
) -> Noticed:
    """Read what changed since the cursor and write what is to come of it; `is_dry` writes nothing and reads one page.

    Raises GateError and AutomationError, and then nothing was written. Cost: the changes of all audiences since the last time.
    """
    check_columns(automation, source)
    records, name = state.automations, automation.name
    after = records.cursor(name)
    newest = source.newest_change()
    if after is None:
        found = _backfilled(source, automation) if automation.backfill else []
        made = _planned(source, state, automation, found, judge=judge, salt=salt, now=now)
        if not is_dry:
            made = records.write(
                name, after=None, to=newest, found=made, pool=_pool(automation), now=now, on_step=on_step
            )
        return Noticed(len(found), made, is_first=True)
    if newest < after:
        return Noticed(
            problem=f"{name} has read up to change {after:,}, but the served build's history ends at {newest:,}: an older build is "
            f"served, or the history was begun anew; if so, run `weft automation restart {name}`."
        )
    changes, occurrences = 0, list[Occurrence]()
    while True:
        page = changes_after(source.served, after, limit=PAGE)
        if not len(page):
            return Noticed(changes, occurrences)
        on_step("read")
        changes += len(page)
        to = int(page["change_seq"][-1].as_py())
        made = _planned(source, state, automation, _fitting(page, automation), judge=judge, salt=salt, now=now)
        if is_dry:
            return Noticed(changes, made)
        occurrences += records.write(
            name, after=after, to=to, found=made, pool=_pool(automation), now=now, on_step=on_step
        )
        after = to


@dataclass(frozen=True)
class _Candidate:
    occurrence: int
    customer_id: str
    changed_at: datetime


def _fitting(page: pa.Table, automation: Automation) -> list[_Candidate]:
    """Who came or went by the definition; ids that were merged or split, and audiences that were withdrawn, are nobody's coming."""
    wanted = (automation.audience, automation.when, "rule")
    rows = zip(*(page[name].to_pylist() for name in ("audience", "change", "change_kind")), strict=True)
    chosen = page.filter(pa.array([row == wanted for row in rows], pa.bool_()))
    columns = (chosen[name].to_pylist() for name in ("change_seq", "living_customer_id", "changed_at"))
    return [_Candidate(*row) for row in zip(*columns, strict=True)]


def _backfilled(source: Source, automation: Automation) -> list[_Candidate]:
    inside = source.inside(automation.audience)
    return sorted(
        (_Candidate(number, customer, at) for customer, (number, at) in inside.items()),
        key=lambda each: each.occurrence,
    )


def _planned(
    source: Source,
    state: State,
    automation: Automation,
    found: Sequence[_Candidate],
    *,
    judge: Judge,
    salt: str,
    now: datetime,
) -> list[Occurrence]:
    """What is to come of each: the gate, what holds still, and the cool-down, in this order; and its coupon."""
    if not found:
        return []
    customers = sorted({each.customer_id for each in found})
    withheld = withheld_among(customers, judge)
    gone = no_longer(source, automation, customers)
    last = _last_told(source, state, automation, found)
    wait = timedelta(days=automation.cool_down_days)
    planned = []
    for each in found:
        reason = WITHHELD if each.customer_id in withheld else NO_LONGER if each.customer_id in gone else None
        before = last.get(each.customer_id)
        if reason is None and before is not None and each.changed_at < before + wait:
            reason = COOLING
        if reason is None:
            last[each.customer_id] = each.changed_at
        status, ended_at = (CANCELLED, now) if reason else (OPEN, None)
        planned.append(
            Occurrence(
                automation.name, each.occurrence, each.customer_id, each.changed_at, status, reason, None, now, ended_at
            )
        )
    return _with_made_codes(state, automation, planned, salt) if automation.coupon else planned


def withheld_among(customers: Sequence[str], judge: Judge) -> set[str]:
    """Who of them may not be told now."""
    candidates = pa.table({"customer_id": customers, "entered_because": [None] * len(customers)}, schema=MEMBERS)
    return set(customers) - set(judge(candidates)["customer_id"].to_pylist()) if customers else set()


def no_longer(source: Source, automation: Automation, customers: Sequence[str]) -> set[str]:
    """Who has left again, or has come back, in the served build."""
    if not automation.while_it_holds:
        return set()
    inside = source.inside(automation.audience, customers).keys()
    return set(customers) - inside if automation.when == "entered" else set(customers) & inside


def _last_told(
    source: Source, state: State, automation: Automation, found: Sequence[_Candidate]
) -> dict[str, datetime]:
    """When each person's last occurrence was, of those that a cool-down can reach; of merged people all ids count."""
    earliest = min(each.changed_at for each in found) - timedelta(days=automation.cool_down_days)
    before = state.automations.since(automation.name, earliest)
    living = source.living(customer for customer, *_ in before)
    last: dict[str, datetime] = {}
    for customer, _, at in before:
        person = living.get(customer, customer)
        last[person] = max(at, last.get(person, at))
    return last


def _pool(automation: Automation) -> str | None:
    return automation.coupon.pool if automation.coupon else None


def _with_made_codes(
    state: State, automation: Automation, planned: Sequence[Occurrence], salt: str
) -> list[Occurrence]:
    """Codes made from the salt; of two occurrences that would get the same code the later one gets another."""
    rule = automation.coupon
    if rule is None or rule.pool:
        return list(planned)
    prefix, length = rule.prefix, rule.length

    def code(each: Occurrence, again: int) -> str:
        named = occurrence_key(each.customer_id, each.occurrence)
        return made_code(salt, automation.name, named, prefix=prefix, length=length, again=again)

    first = {each.occurrence: code(each, 0) for each in planned if each.status == OPEN}
    taken = state.automations.coupons_of(automation.name, list(first.values()))
    with_codes = []
    for each in planned:
        chosen: str | None = None
        if each.status == OPEN:
            chosen, again = code(each, 0), 0
            while chosen in taken or (again and state.automations.coupons_of(automation.name, [chosen])):
                again += 1
                chosen = code(each, again)
            taken.add(chosen)
        with_codes.append(replace(each, coupon=chosen))
    return with_codes
