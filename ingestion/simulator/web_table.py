"""Web events as the rows of a file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.simulator.arrays import Ints, Strings, choose
from ingestion.simulator.arrow_text import hex_ids, picked, timestamps, where
from ingestion.simulator.clicks import IDENTIFY, PAGE
from ingestion.simulator.contacts import written_emails, written_phones
from ingestion.simulator.web import REFUND, WebEvents
from ingestion.simulator.web_people import consents, contexts, traits
from ingestion.simulator.web_properties import WebProperties
from ingestion.simulator.world import Shop, World

EVENT_NAMES: dict[int, str] = dict(
    enumerate(
        (
            "Page", "Product List Viewed", "Products Searched", "Product Viewed", "Product Added", "Product Removed",
            "Cart Viewed", "Checkout Started", "Order Completed", "Product Reviewed", "Signed In", "Identify",
            "Store Visited", "Order Refunded",
        )
    )
)  # fmt: skip
_JUNK = (
    ("user_id", "null"), ("user_id", "undefined"), ("email", "test@test.com"), ("email", "null"),
    ("phone", "0000000000"), ("anonymous_id", "00000000-0000-0000-0000-000000000000"), ("device_id", "undefined"),
    ("loyalty_id", "0000"),
)  # fmt: skip


def _identifiers(rng: np.random.Generator, shop: Shop, world: World, events: WebEvents) -> dict[str, Strings]:
    contacts, devices = world.contacts, world.devices
    at_kiosk = events.kiosk >= 0
    cookies = pa.concat_arrays([devices.cookie_ids, shop.kiosk_cookies])
    device_ids = pa.concat_arrays([devices.device_ids, shop.kiosk_devices])
    cookie = np.where(at_kiosk, events.kiosk + len(devices.cookie_ids), events.cookie)
    device = np.where(at_kiosk, events.kiosk + len(devices.device_ids), events.device)
    country = world.people.country[events.person]
    columns = {
        "user_id": picked(contacts.user_ids, events.user, only=events.user >= 0),
        "anonymous_id": picked(cookies, cookie, only=cookie >= 0),
        "device_id": picked(device_ids, device, only=device >= 0),
        "email": written_emails(rng, picked(contacts.emails, events.email, only=events.email >= 0)),
        "phone": written_phones(rng, picked(contacts.phones, events.phone, only=events.phone >= 0), country),
        "loyalty_id": picked(contacts.loyalty_ids, events.loyalty, only=events.loyalty >= 0),
    }
    return _with_junk(rng, columns, events, shop.config.difficulty.junk_share)


def _with_junk(
    rng: np.random.Generator, columns: dict[str, Strings], events: WebEvents, share: float
) -> dict[str, Strings]:
    """Broken trackers: some rows of visitors who are not logged in carry a value that is nobody's."""
    is_junk = (rng.random(events.kind.size) < share) & (events.user < 0) & (events.kind != REFUND)
    which = choose(rng, events.kind.size, [3, 3, 2, 1, 1, 3, 2, 1])
    for index, (name, value) in enumerate(_JUNK):
        columns[name] = where(is_junk & (which == index), value, columns[name])
    return columns


def _names(kind: Ints, properties: Strings) -> tuple[Strings, Strings]:
    types = picked(["track", "page", "identify"], np.where(kind == PAGE, 1, np.where(kind == IDENTIFY, 2, 0)))
    names = picked([EVENT_NAMES[code] for code in range(len(EVENT_NAMES))], kind, only=kind != IDENTIFY)
    page_names = pc.struct_field(pc.extract_regex(properties, r'^\{"name":"(?P<name>[^"]*)"'), "name")
    return types, where(kind == PAGE, page_names, names)


def web_table(rng: np.random.Generator, shop: Shop, world: World, events: WebEvents) -> pa.Table:
    """One row per web event, columns as the mapping simulator_web reads them."""
    properties = WebProperties(rng, shop, world, events).all()
    types, names = _names(events.kind, properties)
    return pa.table(
        {
            "message_id": hex_ids(rng, events.kind.size),
            "type": types,
            "event": names,
            **_identifiers(rng, shop, world, events),
            "properties": properties,
            "traits": traits(world, events),
            "context": contexts(rng, world, events),
            "consent": consents(rng, world, events),
            "original_timestamp": timestamps(events.original_at),
            "sent_at": timestamps(events.sent_at),
            "received_at": timestamps(events.received_at),
        }
    )
