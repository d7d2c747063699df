"""What people decided (rule 3), as codes: links that join, walls that keep apart, and sets that were refused in review."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from identity.evidence import Codes, Evidence
from identity.tables import IdentityError

LINK, WALL, REFUSE = "link", "wall", "refuse"


@dataclass(frozen=True)
class Decided:
    """Rows of decisions by kind, each sorted by decision (its place among those of the kind; `link_seq` and `wall_seq` give
    its number).

    Links: decision and identifier code. Walls: the same and the side, 0 or 1. `refused`: sets of codes.
    """

    link: Codes
    link_code: Codes
    link_seq: list[int]
    wall: Codes
    wall_side: Codes
    wall_code: Codes
    wall_seq: list[int]
    refused: frozenset[frozenset[int]]


def encode_decisions(table: pa.Table, evidence: Evidence) -> Decided:
    """Encode decisions (already conformed); evidence.encode has made room for identifiers that no event carries."""
    code = evidence.decided_codes
    actions = np.array(table["action"].to_pylist(), dtype=object)
    unknown = set(actions.tolist()) - {LINK, WALL, REFUSE}
    if unknown:
        raise IdentityError(f"decisions.action must be {LINK}, {WALL} or {REFUSE}, not {', '.join(sorted(unknown))}.")
    seq, side = table["decision_seq"].to_numpy(), table["side"].to_numpy().astype(np.int32)
    rows = {action: np.flatnonzero(actions == action) for action in (LINK, WALL, REFUSE)}
    order = {action: found[np.lexsort((code[found], side[found], seq[found]))] for action, found in rows.items()}
    link, wall, refuse = order[LINK], order[WALL], order[REFUSE]
    wall_seq, wall_number = np.unique(seq[wall], return_inverse=True)
    link_seq, link_number = np.unique(seq[link], return_inverse=True)
    refused: dict[int, set[int]] = {}
    for number, each in zip(seq[refuse].tolist(), code[refuse].tolist(), strict=True):
        refused.setdefault(number, set()).add(each)
    return Decided(
        link=link_number.astype(np.int32),
        link_code=code[link],
        link_seq=link_seq.tolist(),
        wall=wall_number.astype(np.int32),
        wall_side=side[wall],
        wall_code=code[wall],
        wall_seq=wall_seq.tolist(),
        refused=frozenset(map(frozenset, refused.values())),
    )


@dataclass(frozen=True)
class Links:
    """Pairs of identifier codes that links join, and the link of each (its place among the links)."""

    one: Codes
    other: Codes
    link: Codes

    @property
    def pairs(self) -> tuple[Codes, Codes]:
        """The codes alone."""
        return self.one, self.other


def links_at(decided: Decided, evidence: Evidence, hot_from: Codes, date: int) -> Links:
    """What links join at a date: a blocked or hot identifier waits, and the others of its link are joined."""
    usable = evidence.is_usable[decided.link_code] & (hot_from[decided.link_code] > date)
    decision, code = decided.link[usable], decided.link_code[usable]
    same = decision[1:] == decision[:-1]
    return Links(code[:-1][same], code[1:][same], decision[1:][same])
