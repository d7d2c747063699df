"""The three channels of one chunk together, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.simulator.arrays import Flags, Ints
from ingestion.simulator.pos import PosLines, draw_pos_lines
from ingestion.simulator.web import WebEvents, draw_web_events
from ingestion.simulator.whatsapp import Messages, draw_messages
from ingestion.simulator.world import Shop, World


@dataclass(frozen=True)
class Channels:
    """Everything that reached the business by the window's end."""

    web: WebEvents
    pos: PosLines
    messages: Messages

    def rows_of_people(self, people: int) -> Ints:
        """Rows of each person, all channels together."""
        persons = np.concatenate([self.web.person, self.pos.person, self.messages.person])
        return np.bincount(persons, minlength=people).astype(np.int64)

    def only(self, kept: Flags) -> Channels:
        """The rows of the people who are kept."""
        return Channels(
            self.web.only(kept[self.web.person]),
            self.pos.only(kept[self.pos.person]),
            self.messages.only(kept[self.messages.person]),
        )


def draw_channels(rng: np.random.Generator, shop: Shop, world: World) -> Channels:
    """What a chunk's people did, with its times and identifiers, on the web, at the tills and on WhatsApp."""
    return Channels(
        draw_web_events(rng, shop, world), draw_pos_lines(rng, shop, world), draw_messages(rng, shop, world)
    )


def kept_people(rows: Ints, wanted: int) -> Flags:
    """People whose rows add up to at most `wanted`, nearly: the first ones, then those of the next that still fit."""
    total = np.cumsum(rows)
    kept = total <= wanted
    left = wanted - int(total[kept][-1]) if kept.any() else wanted
    rest = np.flatnonzero(~kept)[:400]
    for person, count in zip(rest.tolist(), rows[rest].tolist(), strict=True):
        if count <= left:
            kept[person] = True
            left -= count
    return kept & (rows > 0)
