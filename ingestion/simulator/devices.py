"""Devices, the cookies they go through, and the clocks they show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.simulator.arrays import MICROS_PER_DAY, Flags, Floats, Ints, Strings, chance, choose, expand
from ingestion.simulator.arrow_text import hex_ids, uuids
from ingestion.simulator.config import Difficulty
from ingestion.simulator.people import BOT, People

DEVICE_TYPES = ("desktop", "mobile", "tablet")
_KNOWN_DEVICE_SHARE = 0.55  # of devices, that have a device_id and not only cookies (an app)


@dataclass(frozen=True)
class Devices:
    """Parallel arrays over devices; those of one person are next to each other, from first_of[person] on."""

    owner: Ints
    type: Ints
    has_id: Flags
    clock_off: Ints  # microseconds that the device's clock is ahead
    first_cookie: Ints
    cookies: Ints
    cookie_days: Floats
    first_of: Ints  # over people
    count_of: Ints  # over people
    device_ids: Strings
    cookie_ids: Strings
    cookie_device: Ints  # over cookies

    def cookie_at(self, device: Ints, day: Floats) -> Ints:
        """The cookie a device shows on a day."""
        turn = np.clip(day, 0, None) // self.cookie_days[device]
        return self.first_cookie[device] + np.minimum(turn.astype(np.int64), self.cookies[device] - 1)


def _clocks(rng: np.random.Generator, count: int, wrong_share: float) -> Ints:
    """Most clocks are right to the second; the wrong ones are minutes to months off, either way."""
    drift = rng.normal(0, 0.4e6, count)
    off = np.exp(rng.uniform(np.log(0.004), np.log(200), count)) * MICROS_PER_DAY
    off *= np.where(chance(rng, count, 0.5), 1, -1)
    return np.where(chance(rng, count, wrong_share), off, drift).astype(np.int64)


def draw_devices(rng: np.random.Generator, people: People, days: int, difficulty: Difficulty) -> Devices:
    """One to three devices for customers, one for everybody else."""
    count_of = np.where(people.is_customer, 1 + choose(rng, people.count, [0.35, 0.45, 0.20]), 1)
    owner, place = expand(count_of)
    count = owner.size
    cookie_days = np.maximum(difficulty.cookie_lifetime_days * np.exp(rng.normal(0, 0.6, count)), 5.0)
    cookies = np.ceil(days / cookie_days).astype(np.int64) + 1
    cookie_device, _ = expand(cookies)
    is_family_device = (place == 0) & (people.housemate[owner] > owner)
    kind = np.where(place == 0, choose(rng, count, [0.42, 0.52, 0.06]), choose(rng, count, [0.4, 0.35, 0.25]))
    return Devices(
        owner=owner,
        type=kind,
        has_id=(chance(rng, count, _KNOWN_DEVICE_SHARE) | is_family_device) & (people.kind[owner] != BOT),
        clock_off=_clocks(rng, count, difficulty.wrong_clock_share),
        first_cookie=np.cumsum(cookies) - cookies,
        cookies=cookies,
        cookie_days=cookie_days,
        first_of=np.cumsum(count_of) - count_of,
        count_of=count_of,
        device_ids=hex_ids(rng, count),
        cookie_ids=uuids(rng, cookie_device.size),
        cookie_device=cookie_device,
    )


def used_devices(rng: np.random.Generator, people: People, devices: Devices, person: Ints) -> Ints:
    """The device of each visit: mostly one's first; housemates half of the time the first device of one of them."""
    place = (rng.random(person.size) ** 1.8 * devices.count_of[person]).astype(np.int64)
    own = devices.first_of[person] + place
    mate = people.housemate[person]
    shared_owner = np.where(mate >= 0, np.minimum(person, mate), -1)
    takes_shared = (shared_owner >= 0) & chance(rng, person.size, 0.5)
    return np.where(takes_shared, devices.first_of[shared_owner], own)
