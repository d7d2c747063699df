"""Customers that are probably one person, for people to decide on. Proposes links, merges nobody.

Splink reads a served build and the proposals go to the operator state, so neither waits for the warehouse nor holds it up.
A proposal reads like a review (`review_id`, `identifiers`): what `weft review approve` makes of it is a link of its two strong
identifiers, what `weft review refuse` makes of it is a refusal of the two; either decision keeps it away for ever.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import numpy as np
import pyarrow as pa

from identity.contacts import FIELDS
from identity.fuzzy import Matches, links_to_propose, match_contacts
from orchestration.customer_contacts import read_contacts
from orchestration.link_proposals import LinkProposals, ProposedLink
from orchestration.warehouse import Connection

LEAST_PROBABILITY = 0.5
MOST_PROPOSED = 10_000
"""The most probable ones; more than this nobody looks at."""

AT_ONCE = 500
"""Values in one list of a query."""

Standings = dict[str, set[tuple[int, int]]]
"""For each customer that decisions name: their numbers, and the side (WHOLE for a link or a refusal)."""
WHOLE = -1


@dataclass(frozen=True)
class Proposal:
    """Two customers that may be one person, by a strong identifier of each (type, value) and the customer that has it now."""

    review_id: str
    probability: float
    equal_fields: str
    alike_fields: str
    proposed_at: datetime
    identifiers: dict[tuple[str, str], str | None]

    def kinds(self) -> str:
        """The types of the two identifiers, for a list that shows nobody's values."""
        return ", ".join(kind for kind, _ in self.identifiers)


@dataclass(frozen=True)
class Statistics:
    """What one matching did: customers with a strong identifier, pairs compared, links proposed, joins refused for their size."""

    customers: int
    compared_pairs: int
    proposed: int
    refused_joins: int

    def sentence(self) -> str:
        """The counts as a person reads them."""
        return f"{self.proposed:,} links proposed between {self.customers:,} customers ({self.compared_pairs:,} pairs compared)."


def propose(served: Connection, *, decisions: pa.Table, proposals: LinkProposals, now: datetime) -> Statistics:
    """Match the customers of a served build and keep the links worth a look in place of the ones before.

    decisions: those in force, as identity.tables.DECISIONS. Raises MissingSplinkError where the extra is not installed.
    """
    contacts = read_contacts(served)
    matches = match_contacts(
        contacts.select([name for name in contacts.column_names if name in {*FIELDS, "full_name"}])
    )
    undecided = _undecided(matches, contacts["customer_id"].to_pylist(), _standings(served, decisions))
    chosen = links_to_propose(matches, least=LEAST_PROBABILITY, allowed=undecided).slice(0, MOST_PROPOSED)
    anchors = contacts["identifier_id"].to_pylist()
    links = [_proposed(anchors[row["left"]], anchors[row["right"]], row, now) for row in chosen.to_pylist()]
    proposals.replace(links)
    return Statistics(contacts.num_rows, matches.compared_pairs, len(links), matches.refused_joins)


def open_proposals(served: Connection, *, decisions: pa.Table, proposals: LinkProposals) -> list[Proposal]:
    """Proposals that wait for a person, the most probable first: both identifiers are still of two customers, and nobody has
    decided about these yet. decisions: those in force, as identity.tables.DECISIONS.
    """
    links = proposals.list()
    owners = _owners(served, [name for link in links for name in link.identifier_ids])
    standings = _standings(served, decisions)
    found = []
    for link in links:
        if not all(name in owners for name in link.identifier_ids):
            continue
        (one_name, one), (other_name, other) = (owners[name] for name in link.identifier_ids)
        if one != other and not _is_decided(standings, one, other):
            found.append(
                Proposal(
                    link.proposal_id,
                    link.probability,
                    link.equal_fields,
                    link.alike_fields,
                    link.proposed_at,
                    {one_name: one, other_name: other},
                )
            )
    return found


def proposal_id(identifier_ids: Sequence[str]) -> str:
    """The same for the same two identifiers, whichever comes first."""
    return sha256("\n".join(sorted(identifier_ids)).encode()).hexdigest()[:32]


def _proposed(one: str, other: str, row: dict[str, object], now: datetime) -> ProposedLink:
    names = (min(one, other), max(one, other))
    return ProposedLink(
        proposal_id(names), names, float(str(row["probability"])), str(row["equal"]), str(row["alike"]), now
    )


def _undecided(matches: Matches, customers: Sequence[str], standings: Standings) -> np.ndarray:
    """A flag per scored pair: nobody has decided about these two customers."""
    pairs = zip(matches.pairs["left"].to_pylist(), matches.pairs["right"].to_pylist(), strict=True)
    return np.array([not _is_decided(standings, customers[one], customers[other]) for one, other in pairs], dtype=bool)


def _is_decided(standings: Standings, one: str, other: str) -> bool:
    """Whether a link or a refusal names both customers, or a wall has them on its two sides."""
    sides = standings.get(other, set())
    return any(
        (seq, WHOLE) in sides if side == WHOLE else (seq, 1 - side) in sides for seq, side in standings.get(one, set())
    )


def _standings(served: Connection, decisions: pa.Table) -> Standings:
    standings: Standings = {}
    rows = decisions.to_pylist()
    customers = _customers(served, {(row["identifier_type"], row["identifier_value"]) for row in rows})
    for row in rows:
        customer = customers.get((row["identifier_type"], row["identifier_value"]))
        if customer is not None:
            side = row["side"] if row["action"] == "wall" else WHOLE
            standings.setdefault(customer, set()).add((row["decision_seq"], side))
    return standings


CURRENT = """
    select identifier_id, identifier_type, identifier_value, customer_id from identity.memberships
    where known_to is null and valid_from is null
"""


def _customers(served: Connection, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The customers that the named identifiers are of."""
    ordered, found = sorted(names), {}
    for some in (ordered[first : first + AT_ONCE] for first in range(0, len(ordered), AT_ONCE)):
        marks = ", ".join(["(?, ?)"] * len(some))
        query = f"{CURRENT} and (identifier_type, identifier_value) in ({marks})"
        for _, kind, value, customer in served.rows(query, [part for name in some for part in name]):
            found[kind, value] = customer
    return found


def _owners(served: Connection, identifier_ids: Iterable[str]) -> dict[str, tuple[tuple[str, str], str]]:
    """Type and value of identifiers, and the customers that they are of."""
    ordered, found = sorted(set(identifier_ids)), {}
    for some in (ordered[first : first + AT_ONCE] for first in range(0, len(ordered), AT_ONCE)):
        query = f"{CURRENT} and identifier_id in ({', '.join(['?'] * len(some))})"
        for name, kind, value, customer in served.rows(query, some):
            found[name] = (kind, value), customer
    return found
