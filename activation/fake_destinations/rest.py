"""Somebody's own API: one member by PUT or DELETE, many by POST with a result for each, keys of idempotency honoured."""

import re
from typing import Any

from activation.fake_destinations.vendor import Call, Reply, RollingLimit, Timepiece, Vendor

TOKEN = "fake-rest-token-0123456789"
MOST = 50
_ONE = re.compile(r"/v1/members/([^/]+)")


class Rest(Vendor):
    """Members by key. A key that was seen is answered as before and does nothing again; `refuses` names members it does not take."""

    def __init__(self, clock: Timepiece) -> None:
        super().__init__(clock)
        self.members: dict[str, dict[str, Any]] = {}
        self.refuses: dict[str, str] = {}
        self.effects = 0
        self._answered: dict[str, Reply] = {}
        self._limit = RollingLimit(clock, 100, 1.0)

    def state(self) -> Any:
        """Every member by key."""
        return {"members": self.members, "effects": self.effects}

    def answer(self, call: Call) -> Reply:
        """Auth, limits, then one or many."""
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply(401, {"error": "unauthorized"})
        if self._limit.is_met():
            return Reply(429, {"error": "too_many_requests"}, {"Retry-After": "1"})
        key = call.headers.get("idempotency-key")
        if key and key in self._answered:
            return self._answered[key]
        reply = self._answer(call)
        if key and reply.status < 500:
            self._answered[key] = reply
        return reply

    def _answer(self, call: Call) -> Reply:
        one = _ONE.fullmatch(call.path)
        if one and call.method == "PUT":
            problem = self._put(one[1], call.json)
            return Reply(422, {"error": problem}) if problem else Reply(200, {"id": f"m-{one[1]}"})
        if one and call.method == "DELETE":
            self._delete(one[1])
            return Reply(204, b"")
        if (call.method, call.path) in (("POST", "/v1/members/batch"), ("POST", "/v1/members/batch_delete")):
            rows = call.json["members"]
            if len(rows) > MOST:
                return Reply(413, {"error": "too_many_members"})
            results = [self._row(row, is_put=call.path.endswith("batch")) for row in rows]
            return Reply(200, {"data": {"results": results}})
        return Reply(404, {"error": "no_such_path"})

    def _row(self, row: dict[str, Any], *, is_put: bool) -> dict[str, Any]:
        if not is_put:
            self._delete(row["key"])
            return {"key": row["key"], "ok": True}
        problem = self._put(row["key"], row)
        return {"key": row["key"], "ok": not problem, "error": problem, "id": None if problem else f"m-{row['key']}"}

    def _put(self, key: str, body: dict[str, Any]) -> str | None:
        if key in self.refuses:
            return self.refuses[key]
        self.members[key] = body
        self.effects += 1
        self.tell(f"a member was written; {len(self.members)} members now")
        return None

    def _delete(self, key: str) -> None:
        self.members.pop(key, None)
        self.effects += 1
        self.tell(f"a member was removed; {len(self.members)} members now")
