"""Conversations on WhatsApp: questions about orders, and the shop's answers."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from ingestion.simulator.arrays import Flags, Ints, chance, choose
from ingestion.simulator.arrow_text import hex_ids, joined, picked, second_text
from ingestion.simulator.contacts import FIRST_NAMES
from ingestion.simulator.places import COUNTRIES
from ingestion.simulator.world import Shop, World

_QUESTIONS = (
    ("order_status", "Hello, where is my order?"),
    ("order_status", "Has my parcel left yet?"),
    ("return", "How do I send something back?"),
    ("product", "Is this in stock again soon?"),
    ("thanks", "Thank you!"),
)
_ANSWERS = (
    "Your parcel is on its way.",
    "We will look into it and write back.",
    "Here is how: shop.example/help",
    "You are welcome!",
)
_TALKS_PER_ORDER = 0.7


@dataclass(frozen=True)
class Messages:
    """Parallel arrays over messages, numbers only; times in microseconds."""

    order: Ints  # into Purchases
    person: Ints
    owner: Ints
    is_inbound: Flags
    text: Ints
    at: Ints
    received_at: Ints

    def only(self, keep: Flags) -> Messages:
        """The rows to keep."""
        return Messages(*(getattr(self, item.name)[keep] for item in fields(self)))


def draw_messages(rng: np.random.Generator, shop: Shop, world: World) -> Messages:
    """A question after some orders of those who use WhatsApp, mostly with an answer; known by the window's end."""
    purchases, people = world.purchases, world.people
    asks = people.uses_whatsapp[purchases.person] & ~purchases.is_stranger
    order = np.flatnonzero(asks & chance(rng, purchases.count, _TALKS_PER_ORDER))
    asked = purchases.at[order] + 0.05 + rng.gamma(1.5, 0.8, order.size)
    answered = asked + 0.002 + rng.exponential(0.04, order.size)
    is_answered = chance(rng, order.size, 0.9)
    rows = np.r_[np.arange(order.size), np.flatnonzero(is_answered)]
    day = np.r_[asked, answered[is_answered]]
    is_inbound = np.arange(rows.size) < order.size
    question, answer = choose(rng, rows.size, [5, 3, 2, 2, 1]), choose(rng, rows.size, [4, 3, 2, 1])
    order = order[rows]
    at = shop.seasons.micros(day) // 1_000_000 * 1_000_000
    messages = Messages(
        order=order,
        person=purchases.person[order],
        owner=purchases.person[order],
        is_inbound=is_inbound,
        text=np.where(is_inbound, question, len(_QUESTIONS) + answer),
        at=at,
        received_at=at + 1_000_000 * rng.integers(0, 4, order.size),
    )
    fits = (day < purchases.active_until[messages.person] - 0.01) & (messages.received_at < shop.end)
    return messages.only(fits)


def whatsapp_table(rng: np.random.Generator, shop: Shop, world: World, rows: Messages) -> pa.Table:
    """One row per message, columns as the mapping simulator_whatsapp reads them."""
    topics = [topic for topic, _ in _QUESTIONS] + ["answer"] * len(_ANSWERS)
    texts = [text for _, text in _QUESTIONS] + list(_ANSWERS)
    about_order = rows.text < 3  # the questions that name an order
    return pa.table(
        {
            "message_id": joined("wamid.", hex_ids(rng, rows.order.size, 12)),
            "direction": picked(["outbound", "inbound"], rows.is_inbound.astype(np.int64)),
            "phone": picked(world.contacts.phones, rows.person),
            "profile_name": picked(list(FIRST_NAMES), world.contacts.first_name[rows.person], only=rows.is_inbound),
            "topic": picked(topics, rows.text),
            "text": picked(texts, rows.text),
            "order_id": picked(world.order_ids, rows.order, only=about_order),
            "country": picked([item.code for item in COUNTRIES], world.people.country[rows.person]),
            "sent_at": second_text(rows.at),
            "received_at": second_text(rows.received_at),
        }
    )
