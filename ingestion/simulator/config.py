"""What a simulation is asked for, and what it answers with."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from pathlib import Path

MIN_EVENTS = 1_000
MAX_EVENTS = 10_000_000
MIN_DAYS = 180

_EASY = {
    "shared_device_share": 0.0,
    "second_email_share": 0.05,
    "kiosk_visit_share": 0.0,
    "store_phone_share": 0.0,
    "typo_share": 0.0,
    "bot_share": 0.01,
    "junk_share": 0.0,
    "late_share": 0.005,
    "duplicate_share": 0.002,
    "out_of_order_share": 0.005,
    "wrong_clock_share": 0.005,
    "guest_checkout_share": 0.05,
    "stay_anonymous_share": 0.15,
    "cookie_lifetime_days": 365.0,
}
_HARD = {
    "shared_device_share": 0.20,
    "second_email_share": 0.40,
    "kiosk_visit_share": 0.05,
    "store_phone_share": 0.15,
    "typo_share": 0.03,
    "bot_share": 0.06,
    "junk_share": 0.02,
    "late_share": 0.08,
    "duplicate_share": 0.03,
    "out_of_order_share": 0.06,
    "wrong_clock_share": 0.05,
    "bad_row_share": 0.002,
    "guest_checkout_share": 0.30,
    "stay_anonymous_share": 0.50,
    "cookie_lifetime_days": 45.0,
}


class SimulationError(ValueError):
    """The simulation was asked for something it cannot make; the text says what to ask for instead."""


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """How dirty the simulated world is: every rate is a share between 0 and 1 of what its comment names."""

    shared_device_share: float = 0.08  # of customers, who use one device together with a household member
    second_email_share: float = 0.20  # of customers
    kiosk_visit_share: float = 0.02  # of visits on the web
    store_phone_share: float = (
        0.05  # of receipts (all at a few busy stores), with the store's own phone as the customer's
    )
    typo_share: float = 0.01  # of e-mails and phones that somebody typed
    bot_share: float = 0.03  # of visitors
    junk_share: float = 0.004  # of web events: null, undefined, test@test.com, ...
    late_share: float = 0.03  # of visits whose events reach the server hours or days later
    duplicate_share: float = 0.01  # of rows that are delivered twice
    out_of_order_share: float = 0.02  # of rows that stand later in the files than when they arrived
    wrong_clock_share: float = 0.02  # of devices, minutes to months off
    bad_row_share: float = 0.0005  # of rows, added beside them, that landing must reject
    guest_checkout_share: float = 0.15  # of web orders
    stay_anonymous_share: float = 0.35  # of later visits of people who have an account
    walk_in_share: float = 0.08  # of receipts, of strangers
    unidentified_receipt_share: float = 0.20  # of customers' receipts, without any identifier
    cookie_lifetime_days: float = 120.0  # mean, after which a browser has a new cookie

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "cookie_lifetime_days":
                if value < 1:
                    raise SimulationError(f"cookie_lifetime_days is {value}: give at least 1.")
            elif not 0 <= value <= 0.9:
                raise SimulationError(f"{item.name} is {value}: give a share between 0 and 0.9.")

    @staticmethod
    def named(name: str) -> Difficulty:
        """The preset of that name: easy, default or hard. Raises SimulationError for any other."""
        presets = {"easy": _EASY, "default": {}, "hard": _HARD}
        if name not in presets:
            raise SimulationError(f"There is no difficulty '{name}': choose easy, default or hard.")
        return replace(Difficulty(), **presets[name])


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """One simulation: `events` rows (+/- 2 %) in the `days` before `end` (naive UTC), drawn from `seed`."""

    events: int
    seed: int
    end: datetime = datetime(2026, 7, 1)
    days: int = 546
    difficulty: Difficulty = field(default_factory=Difficulty)
    chunk_events: int = 250_000  # people are drawn in chunks of about so many events: bounds the memory

    def __post_init__(self) -> None:
        if not MIN_EVENTS <= self.events <= MAX_EVENTS:
            raise SimulationError(f"{self.events:,} events: ask for {MIN_EVENTS:,} to {MAX_EVENTS:,}.")
        if self.days < MIN_DAYS:
            raise SimulationError(f"{self.days} days are too few for seasons and churn: ask for {MIN_DAYS} or more.")
        if self.end.tzinfo is not None:
            raise SimulationError("The end has a time zone: give it as naive UTC.")
        if self.seed < 0:
            raise SimulationError(f"The seed is {self.seed}: give 0 or more.")
        if self.chunk_events < MIN_EVENTS:
            raise SimulationError(f"chunk_events is {self.chunk_events}: give {MIN_EVENTS:,} or more.")

    @property
    def start(self) -> datetime:
        """The first instant of the window."""
        return self.end - timedelta(days=self.days)


@dataclass(frozen=True, kw_only=True)
class SimulationSummary:
    """What was written: counts of rows, and the folder they are in."""

    out: Path
    rows: int
    rows_by_source: dict[str, int]
    duplicates: int
    bad_rows: int
    people: int
    customers: int
    orders: int
    files: tuple[Path, ...]
