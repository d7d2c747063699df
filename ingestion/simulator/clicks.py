"""What happens in a visit: every page, view, add, checkout and order as a row of numbers, in order of time."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ingestion.simulator.arrays import Flags, Floats, Ints, chance, cumulated, expand
from ingestion.simulator.baskets import Lines, draw_products, draw_wishes
from ingestion.simulator.catalogue import Catalogue
from ingestion.simulator.people import People
from ingestion.simulator.visits import (
    ALREADY,
    AT_CHECKOUT,
    BROWSE,
    BUY,
    CRAWL,
    EARLY,
    REVIEW,
    Visits,
)

PAGE, LIST, SEARCH, VIEW, ADD, REMOVE, CART, CHECKOUT, ORDER, REVIEWED, SIGNED_IN, IDENTIFY, STORE = range(13)
_LONGEST_PAUSE = 420.0  # seconds; well inside the 30 minutes that end a session
# Where in a visit each step stands (0 to 1); steps with a range stand anywhere in it.
_LOGIN_EARLY, _CART, _REMOVE, _LOGIN_LATE, _CHECKOUT, _ORDER = 0.04, 0.62, 0.60, 0.66, 0.70, 1.0
_JUST_AFTER = 1e-4


@dataclass(frozen=True)
class Clicks:
    """Parallel arrays over web events, sorted by visit, then time."""

    visit: Ints
    kind: Ints
    product: Ints  # -1 none; for LIST and SEARCH: the category
    is_known: Flags  # the visitor is logged in when it happens
    is_first: Flags  # of its visit
    day: Floats  # true time, days since the window's start

    def only(self, keep: Flags) -> Clicks:
        """The rows to keep."""
        return Clicks(*(getattr(self, item.name)[keep] for item in fields(self)))


@dataclass(frozen=True)
class _Steps:
    """Unsorted rows of one kind."""

    visit: Ints
    kind: int
    product: Ints
    place: Floats


def _steps(kind: int, visit: Ints, place: Floats | float, product: Ints | None = None) -> _Steps:
    nothing = np.full(visit.size, -1, np.int64)
    return _Steps(visit, kind, nothing if product is None else product, np.broadcast_to(place, visit.shape))


def _counted(rng: np.random.Generator, counts: Ints, low: float, high: float) -> tuple[Ints, Floats]:
    visit, _ = expand(counts)
    return visit, rng.uniform(low, high, visit.size)


def _logins(visits: Visits) -> list[_Steps]:
    rows = np.arange(visits.count)
    place = np.where(visits.login == AT_CHECKOUT, _LOGIN_LATE, _LOGIN_EARLY)
    logs_in = rows[(visits.login == EARLY) | (visits.login == AT_CHECKOUT)]
    at_kiosk = rows[visits.kiosk >= 0]
    # an account is told about at sign-up, and now and then again at a later login (every fourth visit, by its number)
    tells = logs_in[visits.is_sign_up[logs_in] | (logs_in % 4 == 0)]
    return [
        _steps(SIGNED_IN, logs_in, place[logs_in]),
        _steps(IDENTIFY, tells, place[tells] + _JUST_AFTER),
        _steps(STORE, at_kiosk, -1.0),
    ]


def _looking(rng: np.random.Generator, people: People, catalogue: Catalogue, visits: Visits) -> list[_Steps]:
    purpose = visits.purpose
    wish = draw_wishes(rng, people, visits.person)
    per_visit = np.array([1.9, 0.8, 0.0, 0.0])[purpose]
    views = rng.poisson(per_visit)
    views = np.where(purpose == CRAWL, rng.integers(8, 40, visits.count), views)
    pages = rng.poisson(np.array([0.7, 0.2, 0.0, 9.0])[purpose])
    lists = rng.poisson(np.array([0.6, 0.3, 0.0, 2.0])[purpose])
    searches = rng.poisson(np.array([0.25, 0.15, 0.0, 0.0])[purpose])
    view, view_place = _counted(rng, views, 0.1, 0.58)
    viewed = draw_products(rng, catalogue, wish, view)
    page, page_place = _counted(rng, pages, 0.05, 0.58)
    listed, list_place = _counted(rng, lists, 0.02, 0.5)
    search, search_place = _counted(rng, searches, 0.02, 0.5)
    steps = [
        _steps(PAGE, np.arange(visits.count), 0.0),
        _steps(PAGE, page, page_place),
        _steps(LIST, listed, list_place, wish.category[listed]),
        _steps(SEARCH, search, search_place, wish.category[search]),
        _steps(VIEW, view, view_place, viewed),
    ]
    is_put = (purpose[view] == BROWSE) & chance(rng, view.size, 0.14)
    return steps + _abandoned(rng, visits, view[is_put], viewed[is_put], view_place[is_put])


def _abandoned(rng: np.random.Generator, visits: Visits, visit: Ints, product: Ints, place: Floats) -> list[_Steps]:
    """Carts that are filled and left: some get a look at the cart, fewer a checkout."""
    is_removed = chance(rng, visit.size, 0.15)
    carts = np.unique(visit)
    looks = carts[chance(rng, carts.size, 0.55)]
    starts = looks[chance(rng, looks.size, 0.45)]
    return [
        _steps(ADD, visit, place + _JUST_AFTER, product),
        _steps(REMOVE, visit[is_removed], _REMOVE, product[is_removed]),
        _steps(CART, looks, _CART),
        _steps(CHECKOUT, starts, _CHECKOUT),
    ]


def _buying(rng: np.random.Generator, visits: Visits, lines: Lines) -> list[_Steps]:
    buys = np.flatnonzero(visits.purpose == BUY)
    visit_of_order = np.full(int(lines.order.max(initial=-1)) + 1, -1, np.int64)
    visit_of_order[visits.order[buys]] = buys
    line_visit = visit_of_order[lines.order]
    online = line_visit >= 0
    visit, product = line_visit[online], lines.product[online]
    place = rng.uniform(0.1, 0.58, visit.size)
    is_seen = chance(rng, visit.size, 0.85)
    looks = buys[chance(rng, buys.size, 0.7)]
    return [
        _steps(VIEW, visit[is_seen], place[is_seen], product[is_seen]),
        _steps(ADD, visit, place + _JUST_AFTER, product),
        _steps(CART, looks, _CART),
        _steps(CHECKOUT, buys, _CHECKOUT),
        _steps(ORDER, buys, _ORDER),
    ]


def _reviewing(visits: Visits, lines: Lines) -> list[_Steps]:
    rows = np.flatnonzero(visits.purpose == REVIEW)
    first_line = np.searchsorted(lines.order, visits.order[rows])
    return [_steps(REVIEWED, rows, 0.5, lines.product[first_line])]


def draw_clicks(rng: np.random.Generator, people: People, catalogue: Catalogue, visits: Visits, lines: Lines) -> Clicks:
    """All web events of all visits."""
    steps = (
        _logins(visits)
        + _looking(rng, people, catalogue, visits)
        + _buying(rng, visits, lines)
        + _reviewing(visits, lines)
    )
    visit = np.concatenate([step.visit for step in steps])
    kind = np.concatenate([np.full(step.visit.size, step.kind, np.int64) for step in steps])
    product = np.concatenate([step.product for step in steps])
    place = np.concatenate([step.place for step in steps])
    order = np.lexsort((kind, place, visit))
    visit, kind, place = visit[order], kind[order], place[order]
    is_first = np.r_[True, visit[1:] != visit[:-1]]
    seconds = np.where(visits.purpose[visit] == CRAWL, 2.5, 38.0) * rng.exponential(1.0, visit.size)
    seconds = np.where(is_first, 0.0, np.minimum(seconds, _LONGEST_PAUSE) + 0.05)
    login_place = np.select(
        [visits.login == ALREADY, visits.login == EARLY, visits.login == AT_CHECKOUT],
        [-9.0, _LOGIN_EARLY, _LOGIN_LATE],
        9.0,
    )
    return Clicks(
        visit=visit,
        kind=kind,
        product=product[order],
        is_known=place >= login_place[visit],
        is_first=is_first,
        day=visits.at[visit] + cumulated(seconds, visit) / 86_400,
    )
