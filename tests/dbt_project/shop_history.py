"""Random small histories of a shop: people with several identifiers who browse, buy, return and log in, and events that come late."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from tests.identity.histories import Decision

START = datetime(2026, 1, 10, 9)
STEPS = (
    timedelta(0),
    timedelta(hours=1),
    timedelta(hours=9),
    timedelta(days=1),
    timedelta(days=6),
    timedelta(days=31),
    timedelta(days=95),
)
"""How far the clock of one run is from that of the last."""
PRODUCTS = ("lamp", "cup", "rug", "pen")
CATEGORIES = {"lamp": "Light", "cup": "Kitchen", "rug": "Home", "pen": None}
DECISIONS = (
    Decision("link", ((("user_id", "user-0"), ("anonymous_id", "cookie-1-0")),)),
    Decision("wall", ((("user_id", "user-2"),), (("anonymous_id", "cookie-2-0"), ("loyalty_id", "card-2")))),
    Decision("link", (tuple(("loyalty_id", f"card-{number}") for number in (3, 4)),)),
)
"""What people may decide about the shop's people; they contradict each other in no combination."""
PLACES = (("FR", "IDF", "Paris"), ("FR", None, None), ("DE", "BE", "Berlin"))


@dataclass
class History:
    """Events of `people` people, drawn from `random`; every call of `events` gives what lands next."""

    random: Random
    people: int = 9
    told: int = 0

    def events(self, count: int, *, since: datetime, until: datetime) -> list[dict[str, object]]:
        """Events that land between two clocks: mostly of that time, some of long ago, some known long ago, some not known yet."""
        return [self._event(since, until) for _ in range(count)]

    def _event(self, since: datetime, until: datetime) -> dict[str, object]:
        random = self.random
        self.told += 1
        span = max((until - since).total_seconds(), 3600)
        occurred_at = until - timedelta(seconds=random.randrange(int(span)))
        if random.random() < 0.25:
            occurred_at -= timedelta(days=random.randrange(400))
        late = random.choice((0, 0, 0, 60, 86_400, 40 * 86_400))
        return {
            "source": random.choice(("web", "web", "web", "pos")),
            "message_id": f"m{self.told}",
            "landed_at": until,
            "known_at": occurred_at + timedelta(seconds=late),
            "is_known_at_assumed": False,
            "occurred_at": occurred_at,
            "context": json.dumps(self._context()),
            "traits": "{}",
            **self._identifiers(),
            **self._what(),
        }

    def _context(self) -> dict[str, object]:
        random = self.random
        country, region, city = random.choice(PLACES)
        context: dict[str, object] = {"channel": random.choice(("web", "web", "pos")), "location": {"country": country}}
        if city:
            context["location"] = {"country": country, "region": region, "city": city}
        if random.random() < 0.3:
            context["campaign"] = {"source": random.choice(("mail", "ads")), "name": random.choice(("spring", "sale"))}
        return context

    def _identifiers(self) -> dict[str, object]:
        """A cookie most of the time; sometimes a login, an address, a card, a shared device, or nothing at all."""
        random = self.random
        person = random.randrange(self.people)
        carried: dict[str, object] = {}
        if random.random() < 0.8:
            carried["anonymous_id"] = f"cookie-{person}-{random.randrange(3)}"
        if random.random() < 0.2:
            carried["user_id"] = f"user-{person}"
        others = []
        if random.random() < 0.2:
            others.append({"type": "email", "value": f"p{person - person % random.choice((1, 1, 2))}@mail.example"})
        if random.random() < 0.1:
            others.append({"type": "loyalty_id", "value": f"card-{person}"})
        if random.random() < 0.2:
            others.append({"type": "device_id", "value": f"device-{person // 3}"})
        if random.random() < 0.02:
            # a till that books several cards at once: an event for review
            others += [{"type": "loyalty_id", "value": f"card-{each}"} for each in random.sample(range(self.people), 4)]
        return carried | {"identifiers": json.dumps(others) if others else None}

    def _what(self) -> dict[str, object]:
        random = self.random
        kind = random.choice(
            ("page", "view", "view", "add", "remove", "order", "order", "change", "refund", "say", "sent")
        )
        product = random.choice(PRODUCTS)
        line = {
            "product_id": product,
            "category": CATEGORIES[product],
            "price": random.randrange(5, 50),
            "quantity": random.randrange(1, 3),
        }
        order = {
            "order_id": f"o{random.randrange(2 * self.people)}",
            "products": [line],
            "partial": random.random() < 0.2,
        }
        if kind == "page":
            return {"type": "page", "properties": "{}"}
        if kind == "say":
            consent = {random.choice(("advertising", "analytics")): random.random() < 0.6}
            return {"type": "identify", "properties": "{}", "consent": json.dumps(consent)}
        properties: dict[str, object] = {"product_id": product, "category": CATEGORIES[product]}
        event = {
            "view": "Product Viewed",
            "add": "Product Added",
            "remove": "Product Removed",
            "sent": "Message Sent",
        }.get(kind)
        if kind == "order":
            event, properties = "Order Completed", order | {"currency": random.choice(("EUR", "GBP"))}
        elif kind == "change":
            event, properties = random.choice(("Order Updated", "Order Cancelled")), order
        elif kind == "refund":
            refund_id = random.choice((None, f"r{random.randrange(self.people)}"))
            event, properties = "Order Refunded", order | {"refund_id": refund_id}
        return {"type": "track", "event": event, "properties": json.dumps(properties)}
