"""`weft link`, `weft forbid`, `weft split` and `weft review …`: what people know better than the rules, from the next run on."""

from collections.abc import Sequence
from getpass import getuser
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from identity.decisions import LINK, WALL
from orchestration.decision_records import Decision, Identifier, Recorded
from orchestration.errors import DecisionError, NothingServedError
from orchestration.proposals import Proposal
from orchestration.resources import Platform, build_platform
from orchestration.reviews import Review, approval, find_review, read_proposals, read_reviews, refusal
from orchestration.state import utc_now
from orchestration.typed_identifiers import blocked_by, find_standing, parse_all, shown
from orchestration.warehouse import Connection

reviews = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)

MOST_OF_A_CUSTOMER = 10_000
TAKES_EFFECT = "It takes effect in the next run (`weft run`)."
MOST_SHOWN = 20

Names = Annotated[
    list[str],
    typer.Argument(metavar="IDENTIFIER...", help="type:value, such as email:anna@example.com; @file: one a line."),
]
Note = Annotated[str, typer.Option(help="Why; kept with the decision.")]
By = Annotated[str | None, typer.Option(help="Who decides; default: the user of this computer.")]
ReviewId = Annotated[str, typer.Argument(help="An id that `weft review list` shows, or its beginning.")]


def link(names: Names, note: Note = "", by: By = None) -> None:
    """Say that identifiers are one person, whatever the rules say."""
    platform = build_platform()
    linked = parse_all(names, platform.rules)
    if len(linked) < 2:
        raise DecisionError("A link needs two different identifiers or more.")
    _decide(platform, Decision(LINK, "link", (linked,)), note, by)


def forbid(
    one: Annotated[str, typer.Argument(metavar="IDENTIFIER", help="type:value.")],
    other: Annotated[str, typer.Argument(metavar="IDENTIFIER", help="type:value.")],
    note: Note = "",
    by: By = None,
) -> None:
    """Say that two identifiers are two people, whatever the events say."""
    platform = build_platform()
    sides = parse_all([one], platform.rules), parse_all([other], platform.rules)
    _decide(platform, Decision(WALL, "forbid", sides), note, by)


def split(
    names: Names,
    from_: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="IDENTIFIER",
            help="Whom to keep them apart from; may be repeated; default: all else that their customer holds.",
        ),
    ] = None,
    note: Note = "",
    by: By = None,
) -> None:
    """Take identifiers out of a customer: they are one or more other people than those --from names."""
    platform = build_platform()
    taken = parse_all(names, platform.rules)
    if from_:
        rest = parse_all(from_, platform.rules)
    else:
        with platform.warehouse.open_served() as served:
            rest = _rest_of_their_customers(served, taken)
        console.print(f"They are kept apart from the {len(rest):,} other identifiers of their customer.")
    _decide(platform, Decision(WALL, "split", (taken, rest)), note, by)


@reviews.command("list")
def list_(
    with_decided: Annotated[bool, typer.Option("--all", help="Those too that were decided.")] = False,
) -> None:
    """Events that name too many customers at once and so join nothing until a person has looked; links that matching proposes."""
    platform = build_platform()
    with platform.warehouse.open_served() as served:
        found = read_reviews(served, platform.state.decisions)
        proposed = read_proposals(served, platform.state)
    waiting = [review for review in found if with_decided or review.status == "open"]
    if waiting:
        table = Table("review", "since", "customers", "events", "identifiers", "status", box=None)
        for review in waiting:
            since, events = f"{review.first_seen_at:%Y-%m-%d}", f"{review.event_count:,}"
            table.add_row(
                review.review_id[:12], since, str(review.customer_count), events, review.kinds(), review.status
            )
        console.print(table)
    if proposed:
        table = Table("proposed link", "since", "probability", "equal", "alike", "identifiers", box=None)
        for proposal in proposed[:MOST_SHOWN]:
            fields = proposal.equal_fields, proposal.alike_fields, proposal.kinds()
            table.add_row(
                proposal.review_id[:12], f"{proposal.proposed_at:%Y-%m-%d}", f"{proposal.probability:.3f}", *fields
            )
        console.print(table)
        if len(proposed) > MOST_SHOWN:
            console.print(f"… and {len(proposed) - MOST_SHOWN:,} less probable ones.")
    if not waiting and not proposed:
        console.print("No review is open." if found else "No event waits for a review.")


@reviews.command()
def show(review_id: ReviewId) -> None:
    """The identifiers of one review and whose they are now."""
    platform = build_platform()
    with platform.warehouse.open_served() as served:
        review = find_review(served, platform.state, review_id)
    if isinstance(review, Review):
        since = f"{review.first_seen_at:%Y-%m-%d %H:%M}"
        _say(f"review {review.review_id}, {review.status}: {review.event_count:,} events since {since}")
    else:
        _say(f"proposed link {review.review_id}, probability {review.probability:.3f}")
        _say(f"equal: {review.equal_fields or 'nothing'}; alike: {review.alike_fields or 'nothing'}")
    for name, customer_id in review.identifiers.items():
        _say(f"  {shown(name):<48} {'customer ' + customer_id if customer_id else 'nobody'}")
    if isinstance(review, Review) and review.decision:
        _say(f"{review.status} by {review.decision.sentence()}, {review.decision.made_by}")


@reviews.command()
def approve(review_id: ReviewId, note: Note = "", by: By = None) -> None:
    """Say that all strong identifiers of a review, or of a proposed link, are one person."""
    platform, review = _review(review_id)
    if isinstance(review, Review) and review.decision and review.status == "refused":
        raise DecisionError(f"The review was refused by {review.decision.sentence()}; withdraw that first.")
    _decide(platform, approval(review), note, by)


@reviews.command()
def refuse(review_id: ReviewId, note: Note = "", by: By = None) -> None:
    """Say that events with these strong identifiers never join anything."""
    platform, review = _review(review_id)
    _decide(platform, refusal(review), note, by)


def deciding_user(by: str | None) -> str:
    """Who decides: as given, else the user of this computer."""
    if by and by.strip():
        return printable(by)[:200]
    try:
        return getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def printable(text: str) -> str:
    """Text without what would steer a terminal, or what a database cannot keep."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _review(review_id: str) -> tuple[Platform, Review | Proposal]:
    platform = build_platform()
    with platform.warehouse.open_served() as served:
        return platform, find_review(served, platform.state, review_id)


def _decide(platform: Platform, decision: Decision, note: str, by: str | None) -> None:
    recorded, is_new = platform.state.decisions.add(
        decision, note=printable(note), made_by=deciding_user(by), now=utc_now()
    )
    if not is_new:
        _say(f"That is so already, by {recorded.sentence()}.")
        return
    for line in _waiting(platform, recorded):
        _say(line)
    _say(f"Decision {recorded.seq} is made. {TAKES_EFFECT}")


def _waiting(platform: Platform, recorded: Recorded) -> list[str]:
    """What the decision waits for, in lines: identifiers that are blocked, hot or not seen yet."""
    names = [name for side in recorded.decision.sides for name in side]
    blocked = blocked_by(names, platform.rules)
    reasons = {name: f"is blocked ({reason}): for it, the decision waits." for name, reason in blocked.items()}
    try:
        with platform.warehouse.open_served() as served:
            standings = find_standing(served, names)
        for name in names:
            if name not in standings:
                reasons.setdefault(name, "was not seen yet: the decision counts for it once it is.")
            elif standings[name].standing == "hot":
                reasons.setdefault(name, "is hot (too many people share it): for it, the decision waits.")
    except NothingServedError:
        pass  # nothing was seen yet, by anybody
    lines = [f"{shown(name)} {why}" for name, why in reasons.items()]
    if len(lines) > MOST_SHOWN:
        return [*lines[:MOST_SHOWN], f"… and {len(lines) - MOST_SHOWN:,} more wait or were not seen yet."]
    return lines


def _rest_of_their_customers(served: Connection, names: Sequence[Identifier]) -> tuple[Identifier, ...]:
    standings = find_standing(served, names)
    unseen = [name for name in names if name not in standings or standings[name].customer_id is None]
    if unseen:
        raise DecisionError(
            f"{shown(unseen[0])} is no one customer's in the served build; say --from whom it shall be kept apart."
        )
    customers = sorted({str(standing.customer_id) for standing in standings.values()})
    if len(customers) > 1:
        raise DecisionError(
            f"They belong to {len(customers)} customers, not one; say --from whom they shall be kept apart."
        )
    rows = served.rows(
        "select identifier_type, identifier_value from identity.nodes where customer_id = ? order by 1, 2 limit ?",
        [customers[0], MOST_OF_A_CUSTOMER + len(names) + 1],
    )
    rest = tuple((kind, value) for kind, value in rows if (kind, value) not in set(names))
    if not rest:
        raise DecisionError("Their customer holds no other identifier; there is nothing to keep them apart from.")
    if len(rest) > MOST_OF_A_CUSTOMER:
        raise DecisionError(
            f"Their customer holds over {MOST_OF_A_CUSTOMER:,} others; say --from whom they shall be kept apart."
        )
    return rest


def _say(text: str) -> None:
    console.print(text, markup=False)
