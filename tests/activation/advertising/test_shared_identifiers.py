"""Households share addresses and numbers, people change theirs, answers get lost: who is found by a member's identifier is in, nobody else.

What a vendor alone knows, that two identifiers of two customers are one person, nobody here can: each person has one identifier.
"""

import random
from typing import Any

import pytest

from activation.fake_destinations.google import Google as FakeGoogle
from activation.fake_destinations.known_people import Person
from activation.fake_destinations.meta import Meta as FakeMeta
from activation.fake_destinations.vendor import Reply
from activation.syncs.contract import DestinationUnavailableError
from tests.activation.advertising import test_google, test_meta
from tests.activation.advertising.driven import Driver, StandingClock, members, opened

EMAILS = [f"person.{n}@{domain}" for n in range(4) for domain in ("gmail.com", "example.com")]
PHONES = [f"+4917100000{n:02}" for n in range(6)]
PEOPLE = (*(Person(email, (email,)) for email in EMAILS), *(Person(phone, (), (phone,)) for phone in PHONES))
VENDORS: dict[str, Any] = {
    "meta": (FakeMeta, test_meta.SECRETS, test_meta.ENTRY, test_meta.AUDIENCE),
    "google": (FakeGoogle, test_google.SECRETS, test_google.ENTRY, test_google.AUDIENCE),
}


def customers(chance: random.Random) -> list[dict[str, Any]]:
    """Up to nine, with an address, a number or both, which others may have as well."""
    return [
        {"customer_id": f"c{n}", "email": chance.choice([None, *EMAILS]), "phone": chance.choice([None, *PHONES])}
        for n in range(chance.randrange(9))
    ]


@pytest.mark.parametrize("kind", VENDORS)
@pytest.mark.parametrize("batch", [2, 10_000])
def test_whom_a_member_can_be_found_by_is_in_and_nobody_else(kind: str, batch: int) -> None:
    fake, secrets, entry, audience_id = VENDORS[kind]
    chance = random.Random(f"{kind}{batch}")
    vendor = fake(StandingClock(), people=PEOPLE, most_calls=10_000)
    lost = 0
    with opened(vendor, secrets, entry) as adapter:
        driver = Driver(adapter, batch)
        for _ in range(40):
            audience = customers(chance)
            vendor.faults = [chance.choice([None, None, None, "lost", Reply(503, b""), "cut"]) for _ in range(3)]
            while True:
                try:
                    if "retry" not in driver.run(members(*audience)):
                        break
                except DestinationUnavailableError:
                    lost += 1
            held = {person[field] for person in audience for field in ("email", "phone")} - {None}
            assert vendor.people[audience_id] == held
            assert len(vendor.audiences[audience_id]) == len(held)
    assert lost > 10
