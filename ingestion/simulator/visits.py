"""Visits to the web shop: when, on which device, what for, and whether the person logs in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ingestion.simulator.arrays import Flags, Floats, Ints, chance, choose, exactly, expand, first_by_group
from ingestion.simulator.config import Difficulty
from ingestion.simulator.devices import Devices, used_devices
from ingestion.simulator.people import BOT, PASSER_BY, People
from ingestion.simulator.places import stores
from ingestion.simulator.purchases import Purchases
from ingestion.simulator.seasons import Seasons

BROWSE, BUY, REVIEW, CRAWL = 0, 1, 2, 3
NEVER, ALREADY, EARLY, AT_CHECKOUT = 0, 1, 2, 3  # when the visitor is logged in
_REVIEW_SHARE = 0.10  # of web orders
_LONGEST = 0.12  # days: no visit lasts longer


@dataclass(frozen=True)
class Visits:
    """Parallel arrays over visits, sorted by person, then time."""

    person: Ints
    at: Floats  # days since the window's start
    purpose: Ints
    order: Ints  # into Purchases; -1 none
    login: Ints
    is_sign_up: Flags
    device: Ints  # into Devices; -1 at a kiosk
    cookie: Ints
    kiosk: Ints  # into stores(); -1 elsewhere
    is_stranger: Flags  # a walk-in at a kiosk

    @property
    def count(self) -> int:
        """How many visits there are."""
        return self.person.size


def _browsing(rng: np.random.Generator, people: People, purchases: Purchases, seasons: Seasons) -> tuple[Ints, Floats]:
    """Visits without an order: of customers evenly over their active time, of passers-by within a few weeks."""
    begin = np.maximum(people.arrived, 0.0)
    span = np.maximum(purchases.active_until - begin, 0.0)
    of_customer = 0.8 + people.browsing * np.minimum(people.monthly_rate, 2.5) * span / 30 * people.is_buyer
    visits = rng.poisson(np.where(people.is_customer, of_customer, 0.0))
    visits = np.where(people.kind == PASSER_BY, rng.geometric(0.6, people.count), visits)
    visits = np.where(people.kind == BOT, rng.geometric(0.6, people.count), visits)
    person, place = expand(visits.astype(np.int64))
    first, last = seasons.busy(begin)[person], seasons.busy(begin + span)[person]
    day = seasons.day(first + rng.random(person.size) * (last - first))
    near = begin[person] + np.where(place == 0, 0.0, rng.exponential(12, person.size))
    return person, np.where(people.is_customer[person], day, near)


def _planned(rng: np.random.Generator, people: People, purchases: Purchases, seasons: Seasons) -> Visits:
    """Visits with their times and purposes; logins and devices come later."""
    looker, looks_at = _browsing(rng, people, purchases, seasons)
    looks_at = seasons.at_opening_hours(rng, looks_at, in_store=False)
    online = np.flatnonzero(~purchases.in_store)
    reviewed = online[chance(rng, online.size, _REVIEW_SHARE)]
    reviewed_at = purchases.at[reviewed] + 2 + rng.exponential(9, reviewed.size)
    person = np.r_[looker, purchases.person[online], purchases.person[reviewed]]
    at = np.r_[looks_at, purchases.at[online], reviewed_at]
    purpose = np.r_[
        np.where(people.kind[looker] == BOT, CRAWL, BROWSE), np.full(online.size, BUY), np.full(reviewed.size, REVIEW)
    ]
    order = np.r_[np.full(looker.size, -1), online, reviewed]
    fits = (at >= np.maximum(people.arrived[person], 0)) & (at < purchases.active_until[person] - _LONGEST)
    rows = np.flatnonzero(fits | (purpose == BUY))
    rows = rows[np.lexsort((purpose[rows], at[rows], person[rows]))]
    none = np.full(rows.size, -1, np.int64)
    no = np.zeros(rows.size, np.bool_)
    return Visits(person[rows], at[rows], purpose[rows], order[rows], none + 1, no, none, none, none, no)


def _logins(rng: np.random.Generator, people: People, visits: Visits, difficulty: Difficulty) -> tuple[Ints, Flags]:
    """Accounts are opened in the first order's visit (or, by a third, on the first of all) and used from then on."""
    buys, has_account = visits.purpose == BUY, people.has_account[visits.person]
    opens_early = chance(rng, people.count, 0.3) | ~people.is_buyer
    is_first_buy = first_by_group(np.flatnonzero(buys), visits.person, people.count)
    is_first_visit = first_by_group(np.arange(visits.count), visits.person, people.count)
    opened = np.where(opens_early | (is_first_buy < 0), is_first_visit, is_first_buy)
    row = np.arange(visits.count)
    is_sign_up = has_account & (opened[visits.person] == row)
    has_signed_up = has_account & (row > opened[visits.person])
    stays_out = np.where(buys, difficulty.guest_checkout_share, difficulty.stay_anonymous_share)
    already = chance(rng, visits.count, 0.55)
    late = np.where(buys & chance(rng, visits.count, 0.6), AT_CHECKOUT, EARLY)
    later = np.where(chance(rng, visits.count, stays_out), NEVER, np.where(already, ALREADY, late))
    later = np.where(visits.purpose == REVIEW, ALREADY, later)
    login = np.where(has_signed_up, later, NEVER)
    return np.where(is_sign_up, np.where(buys, AT_CHECKOUT, EARLY), login), is_sign_up


def _kiosks(rng: np.random.Generator, people: People, visits: Visits, share: float) -> tuple[Ints, Flags]:
    """Which visits are at a store's kiosk (four in five by people with an account, who log in), which by strangers."""
    country_of_store = np.array([store.country for store in stores()])
    after_sign_up = np.r_[False, visits.person[1:] == visits.person[:-1]] & people.has_account[visits.person]
    is_near = people.lives_near_store[visits.person]
    regular = is_near & ~visits.is_sign_up & (visits.purpose == BROWSE) & (visits.login != NEVER)
    known = np.flatnonzero(after_sign_up & regular)
    unknown = np.flatnonzero(is_near & (people.kind[visits.person] == PASSER_BY))
    wanted = round(visits.count * share)
    members = rng.permutation(known)[: round(wanted * 0.8)]
    strangers = rng.permutation(unknown)[: wanted - members.size]
    kiosk = np.full(visits.count, -1, np.int64)
    at_kiosk = np.r_[members, strangers]
    first = np.searchsorted(country_of_store, people.country[visits.person[at_kiosk]])
    number = np.bincount(country_of_store)[people.country[visits.person[at_kiosk]]]
    kiosk[at_kiosk] = first + (rng.random(at_kiosk.size) * number).astype(np.int64)
    is_stranger = np.zeros(visits.count, np.bool_)
    is_stranger[strangers] = True
    return kiosk, is_stranger


def draw_visits(
    rng: np.random.Generator,
    people: People,
    purchases: Purchases,
    devices: Devices,
    *,
    seasons: Seasons,
    difficulty: Difficulty,
) -> Visits:
    """All visits of a chunk's people: one for each web order, reviews, and those that only look."""
    visits = _planned(rng, people, purchases, seasons)
    login, is_sign_up = _logins(rng, people, visits, difficulty)
    visits = replace(visits, login=login, is_sign_up=is_sign_up)
    kiosk, is_stranger = _kiosks(rng, people, visits, difficulty.kiosk_visit_share)
    login = np.where(kiosk >= 0, np.where(is_stranger, NEVER, EARLY), login)
    device = used_devices(rng, people, devices, visits.person)
    cookie = devices.cookie_at(device, visits.at)
    elsewhere = kiosk < 0
    return replace(
        visits,
        login=login,
        kiosk=kiosk,
        is_stranger=is_stranger,
        device=np.where(elsewhere, device, -1),
        cookie=np.where(elsewhere, cookie, -1),
    )


def late_visits(rng: np.random.Generator, visits: Visits, share: float) -> Floats:
    """Days by which the events of each visit reach the server late: 0 for most, hours to days for an offline device."""
    return np.where(exactly(rng, visits.count, share), np.exp(rng.normal(-1.0, 1.4, visits.count)).clip(0.02, 9.0), 0.0)


def visit_towns(rng: np.random.Generator, people: People, visits: Visits) -> Ints:
    """The town each visit comes from: home, or (one in twelve) the country's first."""
    home = people.town[visits.person]
    return np.where(chance(rng, visits.count, 0.08), choose(rng, visits.count, [1.0, 1.0]), home)
