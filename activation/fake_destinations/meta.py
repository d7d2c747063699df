"""Meta's Marketing API as far as customer lists are written: users added and removed, by hashes only, with its limits and errors."""

import hashlib
import hmac
import json
import re
from typing import Any

from activation.fake_destinations.known_people import PUBLISHED, Person, at_meta
from activation.fake_destinations.vendor import Call, Reply, RollingLimit, Timepiece, Vendor

TOKEN = "EAAfake0123456789"
APP_SECRET = "fake-app-secret"
AUDIENCE = "23850000000000001"
MOST_USERS = 10_000
UNHASHED = ("MADID", "EXTERN_ID")
HASHED = ("EMAIL", "PHONE", "FN", "LN", "FI", "CT", "ST", "ZIP", "COUNTRY", "GEN", "DOBY", "DOBM", "DOBD")
FINDING = ("EMAIL", "PHONE", "MADID", "EXTERN_ID")
_PATH = re.compile(r"/v(\d+)\.\d/(\d+)/users")
_OLDEST_VERSION = 22
_HASH = re.compile("[0-9a-f]{64}")
_DEVICE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _Refusal(Exception):
    """An answer instead of the one that was hoped for."""

    def __init__(self, status: int, code: int, message: str, **more: Any) -> None:
        super().__init__(message)
        error = {
            "message": f"(#{code}) {message}",
            "type": "OAuthException",
            "code": code,
            **more,
            "fbtrace_id": "AfakeTrace",
        }
        self.reply = Reply(status, {"error": error})


class Meta(Vendor):
    """Audiences by id. An audience holds identifiers, and the people among `people` who were found by one.

    `most_calls` in an hour; `minutes_away` is what the usage header then says. `unusable` are values that count as invalid entries, of
    which `samples` are shown. `needs_proof`: the app takes only calls that are proved with its secret.
    """

    def __init__(self, clock: Timepiece, *, people: tuple[Person, ...] = PUBLISHED, most_calls: int = 1000) -> None:
        super().__init__(clock)
        self.token, self.app_secret = TOKEN, APP_SECRET
        self.are_terms_accepted, self.needs_proof = True, False
        self.audiences: dict[str, set[tuple[str, str]]] = {AUDIENCE: set()}
        self.people: dict[str, set[str]] = {AUDIENCE: set()}
        self.known = at_meta(people)
        self.unusable: set[str] = set()
        self.samples = 10
        self.minutes_away = 5
        self.sessions: dict[int, list[dict[str, Any]]] = {}
        self._limit = RollingLimit(clock, most_calls, 3600.0)

    def add_audience(self, audience_id: str) -> None:
        """An empty customer list."""
        self.audiences[audience_id], self.people[audience_id] = set(), set()

    def state(self) -> Any:
        """Identifiers and found people by audience."""
        return {
            audience: {"identifiers": sorted(map("=".join, held)), "people": sorted(self.people[audience])}
            for audience, held in self.audiences.items()
        }

    def answer(self, call: Call) -> Reply:
        """Rights, then limits, then the payload, then its rows."""
        try:
            audience = self._audience(call)
            schema, data = _payload(call.form)
            self._note_session(call.form)
        except _Refusal as refusal:
            return refusal.reply
        samples: dict[str, str] = {}
        invalid = 0
        for row in data:
            why = self._mistake(schema, row)
            if why is None:
                self._apply(call.method, audience, dict(zip(schema, row, strict=True)))
                continue
            invalid += 1
            if len(samples) < self.samples:
                samples[why[0]] = why[1]
        self.tell(f"{call.method} {audience}: {len(data)} received, {invalid} invalid")
        counts = {"num_received": len(data), "num_invalid_entries": invalid, "invalid_entry_samples": samples}
        return Reply(200, {"audience_id": audience, "session_id": "1", **counts}, self._usage(5))

    def _audience(self, call: Call) -> str:
        form = call.form
        if "access_token" in call.query or self.token in call.path:
            raise _Refusal(400, 100, "A token does not belong into a URL: this fake refuses what would end in logs.")
        if form.get("access_token") != self.token:
            raise _Refusal(400, 190, "Invalid OAuth access token.", error_subcode=463)
        proof = hmac.new(self.app_secret.encode(), self.token.encode(), hashlib.sha256).hexdigest()
        if form.get("appsecret_proof", None if self.needs_proof else proof) != proof:
            raise _Refusal(400, 100, "Invalid appsecret_proof provided in the API argument")
        path = _PATH.fullmatch(call.path)
        if not path or path[2] not in self.audiences or call.method not in ("POST", "DELETE"):
            raise _Refusal(400, 100, "Unsupported request. Object does not exist.", error_subcode=33)
        if int(path[1]) < _OLDEST_VERSION:
            raise _Refusal(400, 2635, "You are calling a deprecated version of the Ads API.")
        if not self.are_terms_accepted:
            title = "Custom Audience Terms Not Accepted"
            raise _Refusal(403, 200, "Permissions error", error_subcode=1870034, error_user_title=title)
        if self._limit.is_met():
            self.quiet_until = self.clock.now() + self.minutes_away * 60
            refusal = _Refusal(400, 80003, "There have been too many calls to this ad-account.", error_subcode=2446079)
            refusal.reply.headers = self._usage(100, self.minutes_away)
            raise refusal
        return path[2]

    def _usage(self, percent: int, minutes: int = 0) -> dict[str, str]:
        entry = {"type": "custom_audience", "call_count": percent, "total_cputime": 1, "total_time": 1}
        usage = {"2050000000000": [{**entry, "estimated_time_to_regain_access": minutes}]}
        return {"x-business-use-case-usage": json.dumps(usage)}

    def _note_session(self, form: dict[str, str]) -> None:
        if "session" not in form:
            return
        session = json.loads(form["session"])
        earlier = self.sessions.setdefault(session["session_id"], [])
        if not isinstance(session["session_id"], int) or session["batch_seq"] not in range(1, len(earlier) + 2):
            raise _Refusal(400, 100, "Invalid batch_seq in session")
        earlier.append(session)

    def _mistake(self, schema: list[str], row: list[Any]) -> tuple[str, str] | None:
        """The value that makes the row an invalid entry, and why."""
        for field, value in zip(schema, row, strict=True):
            if value in self.unusable:
                return value, "unusable"
            if value in self.known.wrong:
                return value, self.known.wrong[value]
            if value and field in HASHED and not _HASH.fullmatch(value):
                return value, f"{field} is no SHA-256 in lower-case hex"
            if value and field == "MADID" and not _DEVICE.fullmatch(value):
                return value, "MADID is no device id in lower case"
        if not any(value for field, value in zip(schema, row, strict=True) if field in FINDING):
            return json.dumps(row, separators=(",", ":")), "nobody is found by this"
        return None

    def _apply(self, method: str, audience: str, row: dict[str, str]) -> None:
        named = {(field, value) for field, value in row.items() if value and field in FINDING}
        found = {self.known.right[value] for _, value in named if value in self.known.right}
        if method == "POST":
            self.audiences[audience] |= named
            self.people[audience] |= found
        else:
            self.audiences[audience] -= named
            self.people[audience] -= found


def _payload(form: dict[str, str]) -> tuple[list[str], list[list[Any]]]:
    if "@" in form.get("payload", "@"):
        raise _Refusal(400, 100, "Missing payload, or one with an address in clear: this fake takes no personal data.")
    try:
        payload = json.loads(form["payload"])
        schema, data = payload["schema"], payload["data"]
    except (ValueError, KeyError, TypeError):
        raise _Refusal(400, 100, "Missing schema attribute in payload") from None
    if not isinstance(schema, list) or not set(schema) <= {*HASHED, *UNHASHED} or len(set(schema)) < len(schema):
        raise _Refusal(400, 100, "Invalid schema in payload")
    if not isinstance(data, list) or not 0 < len(data) <= MOST_USERS:
        raise _Refusal(400, 100, f"Payload must have 1 to {MOST_USERS} users", error_subcode=1870145)
    if any(
        not isinstance(row, list) or len(row) != len(schema) or not all(isinstance(value, str) for value in row)
        for row in data
    ):
        raise _Refusal(400, 100, "Data does not match the schema")
    return schema, data
