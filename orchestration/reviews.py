"""Events whose strong identifiers lie in too many customers: what waits for a person, and what a person says of it."""

from dataclasses import dataclass
from datetime import datetime

from identity.decisions import LINK, REFUSE
from orchestration.decision_records import Decision, DecisionRecords, Identifier, Recorded
from orchestration.errors import DecisionError
from orchestration.proposals import Proposal, open_proposals
from orchestration.state import State
from orchestration.warehouse import Connection

# a strong identifier that is blocked or hot is none of the review's
STRONG = """
    select distinct queue.review_id, nodes.identifier_type, nodes.identifier_value, nodes.customer_id, types.priority
    from identity.review_queue as queue
    inner join identity.evidence_identifiers as members on queue.evidence_id = members.evidence_id
    inner join identity.nodes as nodes on members.identifier_id = nodes.identifier_id
    inner join control.identifier_types as types on nodes.identifier_type = types.identifier_type
    where queue.known_to is null and types.is_strong and nodes.standing not in ('hot', 'blocked')
"""


@dataclass(frozen=True)
class Review:
    """One set of strong identifiers that events carry, in the served build. `status`: open, refused or, decided since, approved."""

    review_id: str
    status: str
    customer_count: int
    event_count: int
    first_seen_at: datetime
    identifiers: dict[Identifier, str | None]
    decision: Recorded | None

    def kinds(self) -> str:
        """How many identifiers of which type, for a list that shows nobody's values."""
        counts: dict[str, int] = {}
        for kind, _ in self.identifiers:
            counts[kind] = counts.get(kind, 0) + 1
        return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def read_reviews(served: Connection, decisions: DecisionRecords, prefix: str = "") -> list[Review]:
    """Reviews of the served build whose id begins with `prefix`, oldest first, with what was decided on them since."""
    rows = served.rows(
        "select queue.review_id, min(queue.status), max(queue.group_count), sum(evidence.event_count), min(evidence.first_at) "
        "from identity.review_queue as queue "
        "inner join identity.evidence as evidence on queue.evidence_id = evidence.evidence_id "
        "where queue.known_to is null and substr(queue.review_id, 1, ?) = ? group by queue.review_id order by 5, 1",
        [len(prefix), prefix],
    )
    names: dict[str, dict[Identifier, str | None]] = {row[0]: {} for row in rows}
    strong = f"{STRONG} and substr(queue.review_id, 1, ?) = ? order by 1, types.priority, 2, 3"
    for review_id, kind, value, customer_id, _ in served.rows(strong, [len(prefix), prefix]):
        names[review_id][kind, value] = customer_id
    decided = {record.decision.review_id: record for record in decisions.list()}
    return [
        Review(
            review_id,
            _status(status, decided.get(review_id)),
            int(customers),
            int(events),
            first_at,
            names[review_id],
            decided.get(review_id),
        )
        for review_id, status, customers, events, first_at in rows
    ]


def find_review(served: Connection, state: State, review_id: str) -> Review | Proposal:
    """The review or proposed link with that id, or the one whose id begins so. Raises DecisionError."""
    prefix = review_id.strip().lower()
    found: list[Review | Proposal] = []
    if prefix:
        found += read_reviews(served, state.decisions, prefix)
        found += [each for each in read_proposals(served, state) if each.review_id.startswith(prefix)]
    if len(found) > 1:
        raise DecisionError(f"{len(found)} reviews begin with {prefix}; write more of the id.")
    if not found:
        raise DecisionError(
            f"No review {review_id[:64]!r} waits in the served build; `weft review list` shows those that do."
        )
    return found[0]


def read_proposals(served: Connection, state: State) -> list[Proposal]:
    """Links that `weft identity propose` proposed and nobody has decided on, the most probable first."""
    return open_proposals(served, decisions=state.decisions.table(), proposals=state.proposals)


def approval(review: Review | Proposal) -> Decision:
    """That all strong identifiers of a review are one person."""
    return Decision(LINK, "review approve", (tuple(review.identifiers),), review.review_id)


def refusal(review: Review | Proposal) -> Decision:
    """That events with these strong identifiers join nothing."""
    return Decision(REFUSE, "review refuse", (tuple(review.identifiers),), review.review_id)


def _status(status: str, decided: Recorded | None) -> str:
    if decided is None:
        return status if status != "refused" else "open"  # the refusal was withdrawn since
    return "refused" if decided.decision.action == REFUSE else "approved"
