"""A receiver of signed webhooks (Standard Webhooks) that honours keys of idempotency and keeps the newest of every record."""

import base64
import hashlib
import hmac
from typing import Any

from activation.fake_destinations.vendor import Call, Reply, RollingLimit, Timepiece, Vendor

SECRET = "whsec_" + base64.b64encode(b"weft fake webhook secret, 32 byt").decode()
TOLERANCE_SECONDS = 300
PATH = "/hook"


class Webhook(Vendor):
    """Records by audience and customer. A change with a key that was seen, or older than what is there, has no effect."""

    def __init__(self, clock: Timepiece) -> None:
        super().__init__(clock)
        self.records: dict[str, dict[str, Any]] = {}
        self.effects: list[str] = []
        self._sequences: dict[tuple[str, str], int] = {}
        self._keys: set[str] = set()
        self._limit = RollingLimit(clock, 100, 1.0)

    def state(self) -> Any:
        """What stands in each audience, and how many changes had an effect."""
        return {"records": self.records, "effects": len(self.effects)}

    def answer(self, call: Call) -> Reply:
        """Signature, limits, then one result for each change."""
        if call.method != "POST" or call.path != PATH:
            return Reply(404, {"error": "no_such_path"})
        if not self._is_signed(call):
            return Reply(401, {"error": "wrong_signature"})
        if self._limit.is_met():
            return Reply(429, {"error": "too_many_requests"}, {"Retry-After": "1"})
        changes = call.json["changes"]
        results = [self._taken(call.json["audience"], change) for change in changes]
        self.tell(
            f"{call.json['type']}, {call.json['audience']}: {len(changes)} changes; {len(self.effects)} effects so far"
        )
        return Reply(200, {"results": results})

    def _is_signed(self, call: Call) -> bool:
        headers = call.headers
        stamp = headers.get("webhook-timestamp", "")
        if not stamp.isdigit() or abs(self.clock.now() - int(stamp)) > TOLERANCE_SECONDS:
            return False
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        signed = f"{headers.get('webhook-id', '')}.{stamp}.".encode() + call.body
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        given = headers.get("webhook-signature", "").split()
        return any(hmac.compare_digest(wanted, each) for each in given)

    def _taken(self, audience: str, change: dict[str, Any]) -> dict[str, Any]:
        key, customer = change["idempotency_key"], change["customer_id"]
        told = {"idempotency_key": key, "status": "accepted"}
        newest = self._sequences.get((audience, customer), 0)
        is_event = "occurrence" in change.get("fields", {})
        if key in self._keys or (not is_event and change["sequence"] < newest):
            return told
        self._keys.add(key)
        self._sequences[audience, customer] = change["sequence"]
        self.effects.append(key)
        held = self.records.setdefault(audience, {})
        if change["operation"] == "remove":
            held.pop(customer, None)
        else:
            held[customer] = change["fields"]
        return told
