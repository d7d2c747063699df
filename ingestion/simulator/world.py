"""One chunk of the world: people and everything they do, as numbers; nothing is written yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.simulator.arrays import Strings
from ingestion.simulator.arrow_text import hex_ids, joined, uuids
from ingestion.simulator.baskets import Lines, Orders, Refunds, draw_baskets, draw_refunds
from ingestion.simulator.catalogue import Catalogue, draw_catalogue
from ingestion.simulator.clicks import Clicks, draw_clicks
from ingestion.simulator.config import SimulationConfig
from ingestion.simulator.contacts import Contacts, draw_contacts
from ingestion.simulator.devices import Devices, draw_devices
from ingestion.simulator.people import People, draw_people
from ingestion.simulator.places import Store, stores
from ingestion.simulator.purchases import Purchases, draw_purchases
from ingestion.simulator.seasons import Seasons
from ingestion.simulator.visits import Visits, draw_visits


@dataclass(frozen=True)
class Shop:
    """What all chunks share: the calendar, the catalogue, the stores and their kiosks."""

    config: SimulationConfig
    seasons: Seasons
    catalogue: Catalogue
    stores: tuple[Store, ...]
    kiosk_devices: Strings
    kiosk_cookies: Strings

    @property
    def end(self) -> int:
        """Microseconds since 1970: what is not known by then is in no file."""
        return int(self.seasons.micros(np.array([float(self.config.days)]))[0])


@dataclass(frozen=True)
class World:
    """One chunk's people and their doings."""

    people: People
    contacts: Contacts
    devices: Devices
    purchases: Purchases
    orders: Orders
    lines: Lines
    refunds: Refunds
    visits: Visits
    clicks: Clicks
    order_ids: Strings
    refund_ids: Strings


def open_shop(config: SimulationConfig) -> Shop:
    """The shop of a seed."""
    rng = np.random.default_rng([config.seed, 0])
    seasons = Seasons.of(config.start, config.days)
    places = stores()
    return Shop(
        config=config,
        seasons=seasons,
        catalogue=draw_catalogue(rng, seasons),
        stores=places,
        kiosk_devices=hex_ids(rng, len(places)),
        kiosk_cookies=uuids(rng, len(places)),
    )


def draw_world(rng: np.random.Generator, shop: Shop, visitors: int) -> World:
    """Everything that `visitors` people do; the generator's state is all that tells two chunks apart."""
    difficulty, seasons = shop.config.difficulty, shop.seasons
    people = draw_people(rng, visitors, seasons.days, difficulty)
    devices = draw_devices(rng, people, seasons.days, difficulty)
    purchases = draw_purchases(rng, people, seasons, difficulty)
    lines, orders = draw_baskets(rng, people, shop.catalogue, purchases)
    refunds = draw_refunds(rng, purchases, lines)
    visits = draw_visits(rng, people, purchases, devices, seasons=seasons, difficulty=difficulty)
    return World(
        people=people,
        contacts=draw_contacts(rng, people, difficulty),
        devices=devices,
        purchases=purchases,
        orders=orders,
        lines=lines,
        refunds=refunds,
        visits=visits,
        clicks=draw_clicks(rng, people, shop.catalogue, visits, lines),
        order_ids=joined("o", hex_ids(rng, purchases.count, 8)),
        refund_ids=joined("r", hex_ids(rng, refunds.order.size, 8)),
    )
