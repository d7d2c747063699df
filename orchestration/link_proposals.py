"""Proposed links in the operator state: pairs of identifiers by their ids. Whom they name is asked of the served build."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orchestration.state_tables import metadata

# One row per pair of customers, by the anchor of each, that may be one person. No values: ids, a number, names of fields.
link_proposals = sa.Table(
    "link_proposals",
    metadata,
    sa.Column("proposal_id", sa.Text, primary_key=True),
    sa.Column("identifier_id_a", sa.Text, nullable=False),
    sa.Column("identifier_id_b", sa.Text, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    sa.Column("equal_fields", sa.Text, nullable=False),
    sa.Column("alike_fields", sa.Text, nullable=False),
    sa.Column("proposed_at", sa.DateTime, nullable=False),
)


@dataclass(frozen=True)
class ProposedLink:
    """Two identifiers whose customers may be one person. proposal_id is a function of the two, so it stays the same."""

    proposal_id: str
    identifier_ids: tuple[str, str]
    probability: float
    equal_fields: str
    alike_fields: str
    proposed_at: datetime


class LinkProposals:
    """The links that the last matching proposed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def replace(self, links: Sequence[ProposedLink]) -> None:
        """Let these be the proposals; one that was there before keeps the time at which it was first proposed."""
        with self._engine.begin() as connection:
            query = sa.select(link_proposals.c.proposal_id, link_proposals.c.proposed_at)
            first_at = {row.proposal_id: row.proposed_at for row in connection.execute(query)}
            connection.execute(link_proposals.delete())
            rows = [_row(link, first_at.get(link.proposal_id, link.proposed_at)) for link in links]
            if rows:
                connection.execute(link_proposals.insert(), rows)

    def list(self) -> list[ProposedLink]:
        """All proposals, the most probable first."""
        query = sa.select(link_proposals).order_by(link_proposals.c.probability.desc(), link_proposals.c.proposal_id)
        with self._engine.begin() as connection:
            rows = connection.execute(query).all()
        return [
            ProposedLink(
                row.proposal_id,
                (row.identifier_id_a, row.identifier_id_b),
                row.probability,
                row.equal_fields,
                row.alike_fields,
                row.proposed_at,
            )
            for row in rows
        ]


def _row(link: ProposedLink, proposed_at: datetime) -> dict[str, object]:
    one, other = link.identifier_ids
    return {
        "proposal_id": link.proposal_id,
        "identifier_id_a": one,
        "identifier_id_b": other,
        "probability": link.probability,
        "equal_fields": link.equal_fields,
        "alike_fields": link.alike_fields,
        "proposed_at": proposed_at,
    }
