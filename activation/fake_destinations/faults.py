"""Faults at random, the same ones for the same seed."""

import random

from activation.fake_destinations.vendor import Fault, Reply, Vendor

RATE_LIMITED = Reply(429, {"message": "too many requests", "retry_after": 1.0}, {"Retry-After": "1"})
KINDS: tuple[Fault, ...] = (RATE_LIMITED, Reply(503, b"try again later"), "lost", "cut")
"""Told to wait; not there; carried out, but the answer never comes, or half of it."""


def fail_at_random(vendor: Vendor, share: float, seed: int) -> None:
    """Let this share of the requests that follow fail in one of the four ways."""
    chance = random.Random(seed)

    def before_each(number: int) -> None:
        del number
        if not vendor.faults:
            vendor.faults.append(chance.choice(KINDS) if chance.random() < share else None)

    vendor.before_each = before_each
