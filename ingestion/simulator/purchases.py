"""When people buy, what they send back, and when they stop: a renewal process with a drop-out after each order."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ingestion.simulator.arrays import Flags, Floats, Ints, chance
from ingestion.simulator.config import Difficulty
from ingestion.simulator.people import PASSER_BY, USUAL_RATE, People
from ingestion.simulator.seasons import Seasons

_GAP_SHAPE = 1.4  # 1 would be a Poisson process: people buy a little more evenly than that
_MIN_GAP = 0.3  # busy days
_PAUSE_SHARE = 0.08  # of gaps, three times as long for no reason that anybody can see
_LEAVES = -3.1  # logit of leaving after an undisturbed order at the usual rhythm
_LEAVES_AFTER_REFUND = 2.3
_LEAVES_AFTER_COUPON = 1.3
_LEAVES_BY_RHYTHM = -0.5  # for each factor e of the monthly rate above the usual
_LEAVES_BY_NATURE = 0.4  # standard deviation of what nobody can see
_LOOKS_ON_FOR = 45.0  # days on average that somebody who will not buy again still looks around


@dataclass(frozen=True)
class Purchases:
    """Parallel arrays over orders, sorted by person, then time; times are days since the window's start."""

    person: Ints
    at: Floats
    in_store: Flags
    has_coupon: Flags
    refunded_at: Floats  # nan: kept
    is_stranger: Flags  # a walk-in whom nothing ties to the person
    active_until: Floats  # over people: nothing of the person happens at or after it
    churned_at: Floats  # over people: nan where the person has not left within the window

    @property
    def count(self) -> int:
        """How many orders there are."""
        return self.person.size


def _leaving_chance(people: People, who: Ints, nature: Floats, is_refunded: Flags, has_coupon: Flags) -> Floats:
    logit = (
        _LEAVES
        + _LEAVES_AFTER_REFUND * is_refunded
        + _LEAVES_AFTER_COUPON * has_coupon
        + _LEAVES_BY_RHYTHM * np.log(people.monthly_rate[who] / USUAL_RATE)
        + _LEAVES_BY_NATURE * nature[who]
    )
    return 1 / (1 + np.exp(-logit))


def _gaps(rng: np.random.Generator, people: People, who: Ints) -> Floats:
    mean = 30.0 / people.monthly_rate[who]
    pauses = np.where(chance(rng, who.size, _PAUSE_SHARE), 3.0, 1.0)
    return np.maximum(rng.gamma(_GAP_SHAPE, mean / _GAP_SHAPE, who.size) * pauses, _MIN_GAP)


def _first_orders(rng: np.random.Generator, people: People, seasons: Seasons, who: Ints) -> Floats:
    """Busy time of the first order in the window: regulars are met in mid-rhythm, newcomers look around first."""
    scale = 30.0 / people.monthly_rate[who] / _GAP_SHAPE
    # a moment chosen at random falls into longer gaps more often: a gamma gap of one more shape
    remaining = rng.gamma(_GAP_SHAPE + 1, scale) * rng.random(who.size)
    newcomer = seasons.busy(people.arrived[who]) + rng.exponential(9, who.size)
    return np.where(people.arrived[who] < 0, remaining, newcomer)


@dataclass(frozen=True)
class _Bought:
    """Unsorted orders; `at` has the right day, but no time of day yet."""

    person: Ints
    at: Floats
    in_store: Flags
    has_coupon: Flags
    refunded_at: Floats
    is_stranger: Flags

    def __add__(self, other: _Bought) -> _Bought:
        return _Bought(*(np.r_[getattr(self, item.name), getattr(other, item.name)] for item in fields(self)))


def _orders_until_leaving(rng: np.random.Generator, people: People, seasons: Seasons) -> tuple[_Bought, Floats]:
    """One round per order number over all who are still there; and when each person leaves (inf: not yet)."""
    who = np.flatnonzero(people.is_buyer)
    busy = _first_orders(rng, people, seasons, who)
    nature = rng.normal(0, 1, people.count)
    leaves_at = np.full(people.count, np.inf)
    bought = _none_bought()
    while who.size:
        day = seasons.day(busy)
        inside = day < seasons.days
        who, busy, day = who[inside], busy[inside], day[inside]
        has_coupon = chance(rng, who.size, people.coupon_chance[who])
        is_refunded = chance(rng, who.size, people.refund_chance[who])
        refunded_at = np.where(is_refunded, day + rng.gamma(2.0, 4.0, who.size) + 1, np.nan)
        in_store = chance(rng, who.size, people.store_chance[who])
        bought += _Bought(who, day, in_store, has_coupon, refunded_at, np.zeros(who.size, np.bool_))
        leaves = chance(rng, who.size, _leaving_chance(people, who, nature, is_refunded, has_coupon))
        last_day = np.fmax(day + 1.5 + rng.exponential(_LOOKS_ON_FOR, who.size), refunded_at + 1)
        leaves_at[who[leaves]] = last_day[leaves]
        busy = busy + _gaps(rng, people, who)
        who, busy = who[~leaves], busy[~leaves]
    return bought, leaves_at


def _none_bought() -> _Bought:
    numbers, times, flags = np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_)
    return _Bought(numbers, times, flags, flags, times, flags)


def _walk_ins(rng: np.random.Generator, people: People, days: int, count: int) -> _Bought:
    """Orders at a till by passers-by, whom nothing ties to what they do online."""
    passers_by = np.flatnonzero((people.kind == PASSER_BY) & people.lives_near_store)
    count = count if passers_by.size else 0
    person = rng.choice(passers_by, count) if count else np.empty(0, np.int64)
    yes, no = np.ones(count, np.bool_), np.zeros(count, np.bool_)
    return _Bought(person, rng.random(count) * days, yes, no, np.full(count, np.nan), yes)


def draw_purchases(rng: np.random.Generator, people: People, seasons: Seasons, difficulty: Difficulty) -> Purchases:
    """All orders of a chunk's people within the window, and the end of each person's activity."""
    bought, leaves_at = _orders_until_leaving(rng, people, seasons)
    walk_ins = round(bought.in_store.sum() * difficulty.walk_in_share / (1 - difficulty.walk_in_share))
    bought += _walk_ins(rng, people, seasons.days, walk_ins)
    only_looking = people.is_customer & ~people.is_buyer
    lost_interest = np.maximum(people.arrived, 0) + 2 + rng.exponential(50, people.count)
    leaves_at = np.where(only_looking, lost_interest, leaves_at)
    online, in_store = (seasons.at_opening_hours(rng, bought.at, in_store=flag) for flag in (False, True))
    at = np.where(bought.in_store, in_store, online)
    order = np.lexsort((at, bought.person))
    refunded_at = np.where(bought.refunded_at < seasons.days, bought.refunded_at, np.nan)
    return Purchases(
        person=bought.person[order],
        at=at[order],
        in_store=bought.in_store[order],
        has_coupon=bought.has_coupon[order],
        refunded_at=refunded_at[order],
        is_stranger=bought.is_stranger[order],
        active_until=np.minimum(leaves_at, seasons.days),
        churned_at=np.where(people.is_customer & (leaves_at < seasons.days), leaves_at, np.nan),
    )
