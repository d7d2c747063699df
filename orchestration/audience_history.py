"""What is known of the audiences of an installation, for people and machines: size, publication, history and overlaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestration.audience_catalogue import Audience, audiences, members_query
from orchestration.audience_standing import Standing, standing_of
from orchestration.errors import UnknownAudienceError
from orchestration.state import State
from orchestration.warehouse import Connection, first_row, scalar, tables_of


@dataclass(frozen=True)
class Summary:
    """One audience: who is in by its definition (None where it does not stand in the served build), and where its publication stands."""

    audience: str
    kind: str
    owner: str
    consent_purpose: str
    destinations: list[str]
    members: int | None
    standing: Standing


def summaries(served: Connection | None, state: State) -> list[Summary]:
    """Every audience of the catalogue, by name. `served` is None where no build is served yet."""
    wanted = audiences(state)
    sizes = defined_sizes(served, wanted) if served is not None else {}
    return [
        Summary(
            each.name,
            each.kind,
            str(each.meta.get("owner", "")),
            str(each.meta.get("consent_purpose", "")),
            [str(name) for name in each.meta.get("destinations", [])],
            sizes.get(each.name),
            standing_of(state, each.name),
        )
        for each in wanted
    ]


def find_audience(state: State, name: str) -> Audience:
    """The audience of that name. Raises UnknownAudienceError with those there are."""
    found = {each.name: each for each in audiences(state)}
    if name not in found:
        raise UnknownAudienceError(f"There is no audience {name!r}; there are: {', '.join(found) or 'none'}.")
    return found[name]


def has_history(served: Connection) -> bool:
    """Whether the served build was made by a version of Weft that keeps the history of membership."""
    return "memberships" in tables_of(served, "audiences")


def defined_sizes(served: Connection, wanted: Sequence[Audience]) -> dict[str, int]:
    """Customers whom the served build has in each of the wanted audiences that stand in it."""
    tables = tables_of(served, "audiences")
    counts = [
        f"select '{each.name}' as audience, count(*) as member_count from ({members_query(each)}) as members"
        for each in wanted
        if (each.name if each.kind == "sql" else "rule_members") in tables
    ]
    return {name: int(count) for name, count in served.rows(" union all ".join(counts))} if counts else {}


def newest_sizes(served: Connection, name: str, *, most: int) -> list[tuple[Any, ...]]:
    """The runs that changed who is in, the newest first: as_of, entered, left, members."""
    if not has_history(served):
        return []
    return served.rows(
        "select as_of, entered_count, left_count, member_count from audiences.sizes where audience = ? "
        "order by change_seq desc limit ?",
        [name, most],
    )


def changes_of(served: Connection, name: str, customer_id: str | None, *, most: int) -> list[tuple[Any, ...]]:
    """Enterings and leavings of an audience, the newest first: seq, instant, what, customer_id, kind, because.

    `customer_id`: only those of this living customer, under whatever id.
    """
    if not has_history(served):
        return []
    values: list[object] = [name]
    only = ""
    if customer_id is not None:
        only = f"and customer_id in ({', '.join('?' * len(ids_of(served, customer_id)))})"
        values += ids_of(served, customer_id)
    return served.rows(
        "select * from ("
        "select entered_seq as seq, entered_at as changed_at, 'entered' as what, customer_id, entered_kind, entered_because "
        f"from audiences.memberships where audience = ? {only} "
        "union all select left_seq, left_at, 'left', customer_id, left_kind, left_because "
        f"from audiences.memberships where left_seq is not null and audience = ? {only}"
        ") as changes order by seq desc limit ?",
        [*values, *values, most],
    )


def overlaps_of(served: Connection, name: str | None) -> list[tuple[Any, ...]]:
    """Pairs that overlap, the largest first: audience, other, customers in both, share of the one, share of the other.

    Where a name is given, it is always the one.
    """
    if not has_history(served):
        return []
    pairs = "select audience, other_audience, customer_count, share_of_audience, share_of_other from audiences.overlaps"
    if name is None:
        return served.rows(f"{pairs} order by customer_count desc, audience, other_audience")
    turned = (
        "select other_audience, audience, customer_count, share_of_other, share_of_audience from audiences.overlaps"
    )
    return served.rows(
        f"{pairs} where audience = ? union all {turned} where other_audience = ? order by 3 desc, 2", [name, name]
    )


def ids_of(served: Connection, customer_id: str) -> list[str]:
    """Every id that leads to a living customer, that one first."""
    rows = served.rows(
        "select customer_id from identity.customer_redirects where living_customer_id = ? order by customer_id",
        [customer_id],
    )
    return [customer_id, *(each for (each,) in rows if each != customer_id)]


def living_id(served: Connection, customer_id: str) -> str | None:
    """The living customer that an id leads to; None where it leads to nobody."""
    found = scalar(
        served, "select living_customer_id from identity.customer_redirects where customer_id = ?", [customer_id]
    )
    return None if found is None else str(found)


def clock_of(served: Connection) -> datetime:
    """The run clock of the served build."""
    row = first_row(served, "select as_of from control.current_run")
    assert row is not None, "a build has its row in control.current_run"
    as_of: datetime = row[0]
    return as_of


def stale_because(served: Connection) -> Sequence[str]:
    """Sentences on what the reader of the history must know of the served build."""
    if not has_history(served):
        return ["The served build keeps no history of membership yet; `weft run` makes a new one."]
    settled = scalar(served, "select as_of from control.settled_memberships")
    if settled is not None and settled > clock_of(served):
        return [
            f"The served build looks back from {clock_of(served)}; the history goes to {settled} and stands still until then."
        ]
    return []
