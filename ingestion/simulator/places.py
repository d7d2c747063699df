"""The countries the shop sells in: currency, tax, phones, towns, stores."""

from __future__ import annotations

from dataclasses import dataclass

CURRENCIES = ("EUR", "GBP", "USD", "SEK", "PLN", "CHF")
PRICE_LEVEL = (1.0, 0.86, 1.08, 11.2, 4.3, 0.96)  # units of the currency for what costs 1 EUR


@dataclass(frozen=True)
class Country:
    """One country: `weight` is its share of visitors; a mobile is `calling_code`, `mobile`, then `digits` digits."""

    code: str
    weight: float
    currency: str
    tax_percent: int
    calling_code: str
    mobile: str
    digits: int
    towns: tuple[tuple[str, str], ...]  # region, town; the shop has its stores in the first ones
    stores: int = 0


COUNTRIES = (
    Country("DE", 34, "EUR", 19, "+49", "17", 9,
            (("BE", "Berlin"), ("HH", "Hamburg"), ("BY", "Munich"), ("NW", "Cologne"), ("SN", "Leipzig")), 3),
    Country("FR", 13, "EUR", 20, "+33", "6", 8,
            (("IDF", "Paris"), ("ARA", "Lyon"), ("PAC", "Marseille"), ("OCC", "Toulouse")), 2),
    Country("GB", 15, "GBP", 20, "+44", "77", 8,
            (("ENG", "London"), ("ENG", "Manchester"), ("SCT", "Edinburgh"), ("WLS", "Cardiff")), 2),
    Country("US", 8, "USD", 7, "+1", "646", 7,
            (("NY", "New York"), ("MA", "Boston"), ("IL", "Chicago"), ("CA", "Los Angeles")), 1),
    Country("NL", 8, "EUR", 21, "+31", "6", 8, (("NH", "Amsterdam"), ("ZH", "Rotterdam"), ("UT", "Utrecht")), 1),
    Country("AT", 5, "EUR", 20, "+43", "664", 7, (("9", "Vienna"), ("6", "Graz"), ("4", "Linz"))),
    Country("SE", 6, "SEK", 25, "+46", "70", 7, (("AB", "Stockholm"), ("O", "Gothenburg"), ("M", "Malmo"))),
    Country("PL", 6, "PLN", 23, "+48", "60", 7, (("MZ", "Warsaw"), ("MA", "Krakow"), ("PM", "Gdansk"))),
    Country("CH", 5, "CHF", 8, "+41", "79", 7, (("ZH", "Zurich"), ("GE", "Geneva"), ("BE", "Bern"))),
)  # fmt: skip


@dataclass(frozen=True)
class Store:
    """One shop with a till and a kiosk; `phone` is what its staff type when a customer gives none."""

    store_id: str
    country: int
    town: int
    phone: str


def stores() -> tuple[Store, ...]:
    """All stores, in the order of the countries."""
    found = []
    for index, country in enumerate(COUNTRIES):
        for town in range(country.stores):
            name = country.towns[town][1].lower().replace(" ", "-")
            phone = country.calling_code + country.mobile + str(3_140_000 + 137 * town).zfill(country.digits)
            found.append(Store(f"{country.code.lower()}-{name}", index, town, phone))
    return tuple(found)
