"""The JSON texts of web events that tell of the visitor: context, traits, consent."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ingestion.simulator.arrays import Ints, Strings, choose
from ingestion.simulator.arrow_text import joined, picked
from ingestion.simulator.clicks import IDENTIFY
from ingestion.simulator.contacts import FIRST_NAMES, LAST_NAMES
from ingestion.simulator.devices import DEVICE_TYPES
from ingestion.simulator.places import COUNTRIES
from ingestion.simulator.visits import visit_towns
from ingestion.simulator.web import WebEvents
from ingestion.simulator.world import World

PURPOSES = ("analytics", "personalisation", "advertising", "sharing")
_CAMPAIGNS = (
    ("google", "cpc", "brand"), ("google", "cpc", "shopping"), ("newsletter", "email", "weekly"),
    ("newsletter", "email", "winback"), ("facebook", "paid_social", "spring"), ("instagram", "paid_social", "creators"),
    ("bing", "cpc", "brand"), ("partner-blog", "affiliate", "gift-guide"),
)  # fmt: skip
_CAMPAIGN_WEIGHTS = [6.0, 8.0, 7.0, 2.0, 4.0, 4.0, 1.0, 2.0]
_CAMPAIGN_SHARE = 0.42  # of visits
_FIRST_TOWN = np.cumsum([0] + [len(item.towns) for item in COUNTRIES[:-1]])


def contexts(rng: np.random.Generator, world: World, events: WebEvents) -> Strings:
    """Channel, device and location of each event; the campaign on the first of a visit. Refunds: the channel only."""
    visits = world.visits
    town_names = [
        f'"location":{{"country":"{country.code}","region":"{region}","city":"{town}"}}'
        for country in COUNTRIES
        for region, town in country.towns
    ]
    town = _FIRST_TOWN[world.people.country[visits.person]] + visit_towns(rng, world.people, visits)
    kind = np.where(visits.kiosk >= 0, 2, world.devices.type[visits.device])
    heads = [f'{{"channel":"web","device":{{"type":"{name}"}},' for name in DEVICE_TYPES]
    plain = joined(picked(heads, kind), picked(town_names, town))
    campaigns = [f',"campaign":{{"source":"{s}","medium":"{m}","name":"{n}"}}' for s, m, n in _CAMPAIGNS]
    campaign = choose(rng, visits.count, _CAMPAIGN_WEIGHTS)
    has_campaign = (rng.random(visits.count) < _CAMPAIGN_SHARE) & (visits.kiosk < 0)
    landing = joined(plain, picked(campaigns, campaign, only=has_campaign), "}")
    texts = pa.concat_arrays([joined(plain, "}"), landing, pa.array(['{"channel":"web"}'])])
    visit = world.clicks.visit[events.click] + visits.count * world.clicks.is_first[events.click]
    return picked(texts, np.where(events.click >= 0, visit, 2 * visits.count))


def traits(world: World, events: WebEvents) -> Strings:
    """What identify events tell of the person; null on all others."""
    rows = np.flatnonzero(events.kind == IDENTIFY)
    person = events.person[rows]
    country = world.people.country[person]
    towns = picked(
        [town for item in COUNTRIES for _, town in item.towns], _FIRST_TOWN[country] + world.people.town[person]
    )
    text = joined(
        '{"first_name":"', picked(list(FIRST_NAMES), world.contacts.first_name[person]),
        '","last_name":"', picked(list(LAST_NAMES), world.contacts.last_name[person]),
        '","country":"', picked([item.code for item in COUNTRIES], country),
        '","city":"', towns, '"}',
    )  # fmt: skip
    return _spread(text, rows, events.kind.size)


def consents(rng: np.random.Generator, world: World, events: WebEvents) -> Strings:
    """The consent stated on identify events, one in twelve with another mind on advertising; null elsewhere."""
    rows = np.flatnonzero(events.kind == IDENTIFY)
    stated = world.people.consent[events.person[rows]]
    objects = [
        "{" + ",".join(f'"{name}":{str(bool(bits >> i & 1)).lower()}' for i, name in enumerate(PURPOSES)) + "}"
        for bits in range(16)
    ]
    changed = np.where(rng.random(rows.size) < 1 / 12, stated ^ 4, stated)
    return _spread(picked(objects, np.where(stated >= 0, changed, 0), only=stated >= 0), rows, events.kind.size)


def _spread(values: Strings, rows: Ints, count: int) -> Strings:
    """A column of `count` rows that holds `values` at `rows` and null elsewhere."""
    index = np.zeros(count, np.int64)
    index[rows] = np.arange(rows.size)
    filled = np.zeros(count, np.bool_)
    filled[rows] = True
    if not rows.size:
        return pa.nulls(count, pa.string())
    return picked(values, index, only=filled)
