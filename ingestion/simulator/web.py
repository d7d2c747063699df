"""Web events: when each click and refund reaches the server, and which identifiers it carries."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ingestion.simulator.arrays import Flags, Floats, Ints, chance
from ingestion.simulator.clicks import IDENTIFY, ORDER, SIGNED_IN
from ingestion.simulator.contacts import typed_variants
from ingestion.simulator.people import BOT
from ingestion.simulator.visits import late_visits
from ingestion.simulator.world import Shop, World

REFUND = 13  # a kind beside those of clicks: sent by the shop's server, in no visit
_LATENCY = 180_000  # microseconds from sending to the server


@dataclass(frozen=True)
class WebEvents:
    """Parallel arrays over web events, numbers only; -1 where an identifier is not carried; times in microseconds."""

    click: Ints  # into Clicks; -1 for a refund
    refund: Ints  # into Refunds; -1 for a click
    kind: Ints
    person: Ints
    owner: Ints  # the person in the books of truth; -1 nobody
    original_at: Ints
    sent_at: Ints
    received_at: Ints
    user: Ints
    cookie: Ints
    device: Ints
    kiosk: Ints
    email: Ints  # into Contacts.emails
    phone: Ints
    loyalty: Ints

    def only(self, keep: Flags | Ints) -> WebEvents:
        """The rows to keep, by flags or numbers."""
        return WebEvents(*(getattr(self, item.name)[keep] for item in fields(self)))


def _times(rng: np.random.Generator, shop: Shop, world: World, day: Floats) -> tuple[Ints, Ints, Ints]:
    """Original and sent on the device's clock, received on the server's."""
    visits, clicks = world.visits, world.clicks
    true = shop.seasons.micros(day)
    waits = late_visits(rng, visits, shop.config.difficulty.late_share)
    wait = (waits[clicks.visit] * 86_400e6 + rng.exponential(600_000, true.size)).astype(np.int64)
    device = visits.device[clicks.visit]
    clock_off = np.where(device >= 0, world.devices.clock_off[device], 0)
    received = true + wait + (_LATENCY * (0.5 + rng.random(true.size))).astype(np.int64)
    shown = true + clock_off
    return _whole_millis(shown), _whole_millis(shown + wait), _whole_millis(received)


def _whole_millis(micros: Ints) -> Ints:
    return micros // 1000 * 1000


def _carried(flags: Flags, value: Ints) -> Ints:
    return np.where(flags, value, -1)


def _told_contacts(
    rng: np.random.Generator, shop: Shop, world: World, person: Ints, is_known: Flags
) -> tuple[Ints, Ints, Ints]:
    """E-mail, phone and card of each click: told at sign-up, at the checkout, at a kiosk."""
    kind, visits = world.clicks.kind, world.visits
    is_guest_order = (kind == ORDER) & ~is_known
    is_known_order = (kind == ORDER) & is_known
    moments = [kind == IDENTIFY, is_guest_order, is_known_order]
    has_email = chance(rng, person.size, np.select(moments, [1.0, 1.0, 0.6], 0.0))
    has_phone = chance(rng, person.size, np.select(moments, [0.5, 0.5, 0.2], 0.0))
    card = world.people.has_loyalty_card[person] & is_known
    at_kiosk = visits.kiosk[world.clicks.visit] >= 0
    shows_card = card & np.isin(kind, (ORDER, IDENTIFY, SIGNED_IN)) & (at_kiosk | chance(rng, person.size, 0.4))
    typo = shop.config.difficulty.typo_share
    email, phone = np.full(person.size, -1, np.int64), np.full(person.size, -1, np.int64)
    for column, flags, second in ((email, has_email, 0.35), (phone, has_phone, 0.0)):
        rows = np.flatnonzero(flags)
        variant = typed_variants(rng, person[rows], world.contacts, second_share=second, typo_share=typo)
        column[rows] = world.contacts.email_index(person[rows], variant)
    return email, phone, _carried(shows_card, person)


def _of_clicks(rng: np.random.Generator, shop: Shop, world: World) -> WebEvents:
    clicks, visits, people = world.clicks, world.visits, world.people
    person = visits.person[clicks.visit]
    original, sent, received = _times(rng, shop, world, clicks.day)
    is_known = clicks.is_known & people.has_account[person]
    email, phone, loyalty = _told_contacts(rng, shop, world, person, is_known)
    device = visits.device[clicks.visit]
    is_nobody = (people.kind[person] == BOT) | visits.is_stranger[clicks.visit]
    return WebEvents(
        click=np.arange(person.size),
        refund=np.full(person.size, -1, np.int64),
        kind=clicks.kind,
        person=person,
        owner=np.where(is_nobody, -1, person),
        original_at=original,
        sent_at=sent,
        received_at=received,
        user=_carried(is_known, person),
        cookie=visits.cookie[clicks.visit],
        device=_carried((device >= 0) & world.devices.has_id[device], device),
        kiosk=visits.kiosk[clicks.visit],
        email=email,
        phone=phone,
        loyalty=loyalty,
    )


def _of_refunds(rng: np.random.Generator, shop: Shop, world: World) -> WebEvents:
    """Refunds of web orders: the server knows the account, and for guests the e-mail."""
    rows = np.flatnonzero(~world.purchases.in_store[world.refunds.order])
    person = world.purchases.person[world.refunds.order[rows]]
    at = shop.seasons.micros(world.refunds.at[rows]) // 1000 * 1000
    none = np.full(rows.size, -1, np.int64)
    has_account = world.people.has_account[person]
    return WebEvents(
        click=none,
        refund=rows,
        kind=np.full(rows.size, REFUND, np.int64),
        person=person,
        owner=person,
        original_at=at,
        sent_at=at,
        received_at=at + 40_000,
        user=_carried(has_account, person),
        cookie=none,
        device=none,
        kiosk=none,
        email=_carried(~has_account | chance(rng, rows.size, 0.5), person),
        phone=none,
        loyalty=none,
    )


def draw_web_events(rng: np.random.Generator, shop: Shop, world: World) -> WebEvents:
    """All web events that the server has received by the window's end."""
    clicks, refunds = _of_clicks(rng, shop, world), _of_refunds(rng, shop, world)
    both = WebEvents(*(np.r_[getattr(clicks, item.name), getattr(refunds, item.name)] for item in fields(WebEvents)))
    return both.only(both.received_at < shop.end)
