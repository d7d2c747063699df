"""`weft audience why`: in which audiences somebody is or was, since when and why, and what keeps them out of a publication."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from identity.rules import Rules
from orchestration.audience_catalogue import Audience, members_query
from orchestration.audience_history import clock_of, has_history, ids_of, living_id
from orchestration.audience_standing import Clauses, Publication, Withheld
from orchestration.errors import UnknownIdentifierError
from orchestration.typed_identifiers import find_standing, parse, shown
from orchestration.warehouse import Connection, first_row, tables_of

CUSTOMER_ID = "customer_id"


@dataclass(frozen=True)
class Stretch:
    """One stretch of time in an audience, as the history has it; `left_at` is None where it goes on."""

    customer_id: str
    entered_at: datetime
    entered_kind: str
    entered_because: str | None
    left_at: datetime | None
    left_kind: str | None
    left_because: str | None


@dataclass(frozen=True)
class InAudience:
    """Somebody and one audience: whether they match its definition in the served build, and why, as that build says it.

    `withheld`: why they are not published all the same. `publication`: where the audience's newest version stands. `clauses`: each clause
    of a rule with their value. `stretches`: their history, the newest first.
    """

    audience: str
    kind: str
    is_in: bool
    because: str | None
    withheld: str | None
    publication: str | None
    clauses: list[str] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)


@dataclass(frozen=True)
class CustomerAudiences:
    """One customer in the served build: `merged_ids` are those that lead to them."""

    customer_id: str
    as_of: datetime
    merged_ids: list[str]
    audiences: list[InAudience]


def find_customer(served: Connection, rules: Rules, text: str) -> str:
    """The living customer that a customer id (merged ones are followed) or a type:value leads to. Raises a WeftError with one sentence."""
    kind, colon, value = text.strip().partition(":")
    as_of = f"the served build (as of {clock_of(served)})"
    if not colon or kind == CUSTOMER_ID:
        found = living_id(served, value if colon else kind)
        if found is None:
            raise UnknownIdentifierError(f"No customer of {as_of} has the id {(value if colon else kind)!r}.")
        return found
    name = parse(text, rules)
    standing = find_standing(served, [name]).get(name)
    if standing is None:
        raise UnknownIdentifierError(f"No event of {as_of} carries {shown(name)}.")
    if standing.customer_id is None:
        raise UnknownIdentifierError(
            f"{shown(name)} is no single customer's ({standing.standing}); `weft why {shown(name)}` says more."
        )
    return standing.customer_id


def explain_audiences(
    served: Connection,
    customer_id: str,
    wanted: Sequence[Audience],
    *,
    withheld: Withheld | None = None,
    publication: Publication | None = None,
    clauses: Clauses | None = None,
) -> CustomerAudiences:
    """How a living customer stands to each of the wanted audiences in the served build."""
    ids = ids_of(served, customer_id)
    tables = tables_of(served, "audiences")
    stretches = _stretches(served, ids) if has_history(served) else {}
    found = []
    for each in wanted:
        if (each.name if each.kind == "sql" else "rule_members") not in tables:
            continue
        query = f"select entered_because from ({members_query(each)}) as members where customer_id = ?"
        member = first_row(served, query, [customer_id])
        is_in = member is not None
        found.append(
            InAudience(
                each.name,
                each.kind,
                is_in,
                member[0] if member else None,
                withheld(each, customer_id) if withheld and is_in else None,
                publication(each) if publication else None,
                clauses(each, customer_id) if clauses and each.kind == "rule" else [],
                stretches.get(each.name, []),
            )
        )
    return CustomerAudiences(customer_id, clock_of(served), ids[1:], found)


def lines(found: CustomerAudiences, *, is_about_one: bool) -> Iterator[str]:
    """The answer as a person reads it. Audiences that somebody never was in are named only where they were asked for."""
    merged = f"; {len(found.merged_ids):,} merged ids lead to it" if found.merged_ids else ""
    yield f"Customer {found.customer_id}, as of {found.as_of:%Y-%m-%d %H:%M}{merged}."
    told = [each for each in found.audiences if each.is_in or each.stretches or is_about_one]
    for each in told:
        yield from _audience_lines(each, shows_all=is_about_one)
    never = [each.audience for each in found.audiences if each not in told]
    if never:
        yield f"Never in: {', '.join(never)}."


def _audience_lines(each: InAudience, *, shows_all: bool) -> Iterator[str]:
    newest = each.stretches[0] if each.stretches else None
    if each.is_in:
        since = f" since {newest.entered_at:%Y-%m-%d %H:%M}" if newest and newest.left_at is None else ""
        yield f"{each.audience}: in{since}{_because(each.because)}"
        if newest and newest.left_at is None and newest.entered_because not in (None, each.because):
            yield f"  when they came in: {newest.entered_because}"
        yield f"  not published: {each.withheld}" if each.withheld else "  nothing withholds them from publication"
        if each.publication:
            yield f"  {each.publication}"
    elif newest is None:
        yield f"{each.audience}: never in"
    elif newest.left_at is None:
        yield f"{each.audience}: not in by this build; the history has them in since {newest.entered_at:%Y-%m-%d %H:%M}"
    else:
        yield f"{each.audience}: not in, left {newest.left_at:%Y-%m-%d %H:%M}{_because(newest.left_because)}"
    for clause in each.clauses:
        yield f"  {clause}"
    for stretch in each.stretches if shows_all else ():
        left = f"{stretch.left_at:%Y-%m-%d %H:%M}, {stretch.left_because}" if stretch.left_at else "now"
        how = "" if stretch.entered_kind == "rule" else f" ({stretch.entered_kind})"
        yield f"  {stretch.entered_at:%Y-%m-%d %H:%M}{how} to {left}  as {stretch.customer_id}{_because(stretch.entered_because)}"


def _because(text: str | None) -> str:
    return f": {text}" if text else ""


def _stretches(served: Connection, ids: Sequence[str]) -> dict[str, list[Stretch]]:
    """The history of somebody by audience, the newest first."""
    rows = served.rows(
        "select audience, customer_id, entered_at, entered_kind, entered_because, left_at, left_kind, left_because "
        f"from audiences.memberships where customer_id in ({', '.join('?' * len(ids))}) "
        "order by case when left_seq is null then 0 else 1 end, left_seq desc, entered_seq desc",
        list(ids),
    )
    found: dict[str, list[Stretch]] = {}
    for audience, *rest in rows:
        found.setdefault(audience, []).append(Stretch(*rest))
    return found
