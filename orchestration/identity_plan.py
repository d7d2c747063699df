"""`weft identity plan`: what other rules, and the decisions made since, would change of the served build. Writes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from identity.rules import Rules
from orchestration.identity_differences import Differences, Example, compare, largest
from orchestration.stitching import decide_anew
from orchestration.warehouse import Connection, first_row, row_count, scalar

EXAMPLES = 5
CENSUS = {
    "customers": "customers",
    "of_one": "identifiers of one customer",
    "shared": "identifiers that several people share",
    "nobodys": "identifiers of nobody (blocked or hot)",
    "in_review": "reviews open",
}
NOT_COPIES_OF_MEMBERS = {"profiles"}
"""Tables of audiences that hold every customer."""


@dataclass(frozen=True)
class Census:
    """Who is who, counted: customers, and identifiers by how they stand."""

    customers: int
    of_one: int
    shared: int
    nobodys: int
    in_review: int
    largest: list[tuple[str, int]]


@dataclass(frozen=True)
class Plan:
    """What would be otherwise. `audiences` and `predictions`: rows by table, and how many of them are about customers that move."""

    build_as_of: datetime
    before: Census
    after: Census
    differences: Differences
    new_customers: int
    audiences: dict[str, dict[str, int]]
    predictions: dict[str, dict[str, int]]


def make_plan(served: Connection, *, rules: Rules, decisions: pa.Table, salt: str) -> Plan:
    """Decide the evidence of the served build anew, at that build's own instant, and compare. Cost: that of deciding everything once."""
    (as_of,) = first_row(served, "select as_of from control.current_run") or (None,)
    assert as_of is not None, "a whole build has a run"
    now = served.arrow(
        "select identifier_id, customer_id, valid_from, valid_to from identity.memberships where known_to is null"
    )
    if served.dialect == "postgres":  # temporary tables count as writing there
        served.execute("set default_transaction_read_only = off")
    resolution = decide_anew(served, rules=rules, decisions=decisions, as_of=as_of, salt=salt)
    then = resolution.memberships.filter(pc.is_null(resolution.memberships["known_to"]))
    then = then.select(now.column_names)
    waiting = resolution.review_queue.filter(pc.is_null(resolution.review_queue["known_to"]))
    waiting = waiting.filter(pc.equal(waiting["status"], "open"))
    seen = row_count(served, "identity.identifiers")
    open_now = scalar(
        served, "select count(distinct review_id) from identity.review_queue where known_to is null and status = 'open'"
    )
    differences = compare(now, then, examples=EXAMPLES)
    return Plan(
        build_as_of=as_of,
        before=_census(now, seen, int(open_now)),
        after=_census(then, seen, len(pc.unique(waiting["review_id"]))),
        differences=differences,
        new_customers=resolution.new_customers,
        audiences=_moved(served, "audiences", differences),
        predictions=_moved(served, "predictions", differences),
    )


def report_plan(found: Plan) -> Iterator[str | Table]:
    """A plan as lines and tables: ids and counts, nobody's values."""
    before, after, differences = found.before, found.after, found.differences
    yield (
        f"On the evidence of the served build, as of {found.build_as_of:%Y-%m-%d %H:%M}, with the decisions in force; nothing is written."
    )
    table = Table("", "now", "then", box=None)
    for name in ("customers", "of_one", "shared", "nobodys", "in_review"):
        table.add_row(CENSUS[name], f"{getattr(before, name):,}", f"{getattr(after, name):,}")
    for place in range(max(len(before.largest), len(after.largest))):
        sizes = [f"{each.largest[place][1]:,}" if place < len(each.largest) else "" for each in (before, after)]
        table.add_row(f"identifiers of the largest customer, number {place + 1}", *sizes)
    yield table
    if not differences.moves.any() and not found.new_customers:
        yield "Nothing would change."
        return
    merges, splits = int(differences.merges.sum()), int(differences.splits.sum())
    yield f"{merges:,} of today's customers would merge into {differences.merged_count:,}."
    for example in differences.merged:
        yield f"  {_sentence(example, is_merge=True)}"
    yield f"{splits:,} of today's customers would split; their identifiers would be of {differences.split_into:,}."
    for example in differences.split:
        yield f"  {_sentence(example, is_merge=False)}"
    others = int(differences.only_otherwise.sum())
    yield f"{others:,} would only gain or lose identifiers that are nobody's or several people's."
    for title, counts in (("audience", found.audiences), ("prediction", found.predictions)):
        table = Table(title, "customers", "would merge", "would split", "change otherwise", box=None)
        for name, row in counts.items():
            table.add_row(name, *(f"{count:,}" for count in row.values()))
        yield table
    yield "Who is in an audience then, and with which prediction, the next run decides."


def _census(memberships: pa.Table, seen: int, in_review: int) -> Census:
    is_own = pc.is_null(memberships["valid_from"])
    own, shared = (len(pc.unique(memberships.filter(each)["identifier_id"])) for each in (is_own, pc.invert(is_own)))
    return Census(
        customers=len(pc.unique(memberships["customer_id"])),
        of_one=own,
        shared=shared,
        nobodys=seen - own - shared,
        in_review=in_review,
        largest=largest(memberships, EXAMPLES),
    )


def _moved(served: Connection, schema: str, differences: Differences) -> dict[str, dict[str, int]]:
    """Each table of a schema that is about customers: its rows, and those of customers that move."""
    tables = served.rows(
        "select table_name from information_schema.columns where table_schema = ? and column_name = 'customer_id' order by 1",
        [served.schema(schema)],
    )
    return {
        table: differences.among(served.arrow(f"select customer_id from {schema}.{table}")["customer_id"])
        for (table,) in tables
        if table not in NOT_COPIES_OF_MEMBERS
    }


def _sentence(example: Example, *, is_merge: bool) -> str:
    """One customer of a plan in words: ids and counts, nobody's values."""
    parts = ", ".join(f"{customer_id} ({count:,})" for customer_id, count in example.parts[:EXAMPLES])
    more = f" and {len(example.parts) - EXAMPLES:,} more" if len(example.parts) > EXAMPLES else ""
    verb = "would be made of" if is_merge else "would become"
    return f"{example.customer_id} ({example.size:,} identifiers) {verb} {parts}{more}"
