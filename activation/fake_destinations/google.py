"""Google's Data Manager API as far as audience members are written, and its token endpoint: whole requests taken or refused."""

import base64
import json
import re
from typing import Any
from urllib.parse import unquote

from activation.fake_destinations.known_people import PUBLISHED, Person, at_google
from activation.fake_destinations.vendor import Call, Reply, RollingLimit, Timepiece, Vendor

REFRESH_TOKEN, CLIENT_ID, CLIENT_SECRET = "1//fake-refresh", "fake.apps.googleusercontent.com", "fake-client-secret"
ACCOUNT, LOGIN_ACCOUNT, AUDIENCE = "1234567890", "9876543210", "7090784486"
SCOPE = "https://www.googleapis.com/auth/datamanager"
MOST_MEMBERS, MOST_IDENTIFIERS, MOST_VIOLATIONS = 10_000, 10, 100
_FIELDS = {
    "ingest": {
        "destinations",
        "audienceMembers",
        "consent",
        "validateOnly",
        "encoding",
        "encryptionInfo",
        "termsOfService",
    },
    "remove": {"destinations", "audienceMembers", "validateOnly", "encoding", "encryptionInfo"},
}
_HEX = re.compile("[0-9a-f]*")
_HASH_LENGTH = 64
_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ERROR_INFO, _BAD_REQUEST = "type.googleapis.com/google.rpc.ErrorInfo", "type.googleapis.com/google.rpc.BadRequest"


class _Refusal(Exception):
    """A google.rpc.Status instead of the answer that was hoped for."""

    def __init__(self, status: int, name: str, reason: str, violations: list[dict[str, str]] | None = None) -> None:
        super().__init__(reason)
        info = {"@type": _ERROR_INFO, "reason": reason, "domain": "datamanager.googleapis.com"}
        details: list[dict[str, Any]] = [info]
        if violations:
            details.append({"@type": _BAD_REQUEST, "fieldViolations": violations})
        error = {"code": status, "message": "There was a problem with the request.", "status": name, "details": details}
        self.reply = Reply(status, {"error": error})


class Google(Vendor):
    """Lists by id. A list holds identifiers, and the people among `people` who were found by one.

    `unusable` are hashes for which their row is refused; `are_terms_signed`, `consent_is_needed` (as for people in the EEA). Tokens last
    `token_seconds`. `public_key` (PEM) is the service account's.
    """

    def __init__(
        self,
        clock: Timepiece,
        *,
        people: tuple[Person, ...] = PUBLISHED,
        most_calls: int = 300,
        public_key: bytes | None = None,
    ) -> None:
        super().__init__(clock)
        self.audiences: dict[str, set[str]] = {AUDIENCE: set()}
        self.people: dict[str, set[str]] = {AUDIENCE: set()}
        self.known = at_google(people)
        self.unusable: set[str] = set()
        self.warned: set[str] = set()
        self.are_terms_signed, self.consent_is_needed = True, True
        self.is_grant_revoked = False
        self.token_seconds = 3600
        self.public_key = public_key
        self.tokens: dict[str, float] = {}
        self.checked = 0
        self._limit = RollingLimit(clock, most_calls, 60.0)

    def add_audience(self, audience_id: str) -> None:
        """An empty list."""
        self.audiences[audience_id], self.people[audience_id] = set(), set()

    def state(self) -> Any:
        """Identifiers and found people by list; how many members were only validated."""
        lists = {
            audience: {"identifiers": sorted(held), "people": sorted(self.people[audience])}
            for audience, held in self.audiences.items()
        }
        return {"lists": lists, "only_validated": self.checked}

    def answer(self, call: Call) -> Reply:
        """A token, or rights, limits, the request and then its rows."""
        if call.path == "/token":
            return self._token(call.form)
        try:
            return self._written(call)
        except _Refusal as refusal:
            return refusal.reply

    def _token(self, form: dict[str, str]) -> Reply:
        if self.is_grant_revoked:
            return Reply(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
        if form.get("grant_type") == _JWT:
            problem = self._assertion_problem(form.get("assertion", ""))
        elif form.get("client_id") != CLIENT_ID or form.get("client_secret") != CLIENT_SECRET:
            problem = "invalid_client"
        else:
            is_known = form.get("grant_type") == "refresh_token" and form.get("refresh_token") == REFRESH_TOKEN
            problem = None if is_known else "invalid_grant"
        if problem:
            return Reply(
                401 if problem == "invalid_client" else 400, {"error": problem, "error_description": "Bad Request"}
            )
        token = f"ya29.fake-{len(self.tokens)}"
        self.tokens[token] = self.clock.now() + self.token_seconds
        return Reply(
            200, {"access_token": token, "expires_in": self.token_seconds, "token_type": "Bearer", "scope": SCOPE}
        )

    def _assertion_problem(self, assertion: str) -> str | None:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415

        try:
            signed, _, signature = assertion.rpartition(".")
            claims = json.loads(_decoded(signed.split(".")[1]))
            key = serialization.load_pem_public_key(self.public_key or b"")
            if not isinstance(key, rsa.RSAPublicKey):
                return "invalid_client"
            key.verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError, IndexError):
            return "invalid_grant"
        is_now = claims["iat"] <= self.clock.now() + 5 and self.clock.now() < claims["exp"] <= claims["iat"] + 3600
        return (
            None
            if claims.get("scope") == SCOPE and is_now and claims.get("iss") and claims.get("aud")
            else "invalid_scope"
        )

    def _written(self, call: Call) -> Reply:
        verb = self._verb(call)
        if b"@" in call.body:
            raise _Refusal(
                400,
                "INVALID_ARGUMENT",
                "INVALID_ARGUMENT",
                [{"field": "audience_members", "reason": "INVALID_ARGUMENT"}],
            )
        body = call.json
        audience = self._audience(body, verb)
        members = body.get("audienceMembers", [])
        if not 0 < len(members) <= MOST_MEMBERS:
            raise _violated("audience_members", "TOO_MANY_AUDIENCE_MEMBERS")
        if violations := self._violations(members):
            raise _Refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", violations[:MOST_VIOLATIONS])
        if body.get("validateOnly"):
            self.checked += len(members)
        else:
            for member in members:
                self._apply(verb, audience, _identifiers(member))
        self.tell(f"{verb} {audience}: {len(members)} members")
        warnings = [
            {
                "field": f"audience_members[{row}].user_data",
                "reason": "INVALID_FORMAT",
                "description": "An optional part was not used.",
            }
            for row, member in enumerate(members)
            if self.warned & set(_identifiers(member))
        ]
        return Reply(200, {"requestId": f"fake-{len(self.calls)}", **({"fieldWarnings": warnings} if warnings else {})})

    def _verb(self, call: Call) -> str:
        path = unquote(call.path)
        verb = path.removeprefix("/v1/audienceMembers:")
        if call.method != "POST" or verb not in _FIELDS:
            raise _Refusal(404, "NOT_FOUND", "NOT_FOUND")
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if self.tokens.get(token, 0.0) <= self.clock.now():
            raise _Refusal(401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED")
        if self._limit.is_met():
            self.quiet_until = self.clock.now() + 30
            refusal = _Refusal(429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED")
            refusal.reply.content["error"]["details"].append(
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s"}
            )
            raise refusal
        if unknown := sorted(set(call.json) - _FIELDS[verb]):
            raise _violated(unknown[0], "INVALID_ARGUMENT", f'Unknown name "{unknown[0]}"')
        return verb

    def _audience(self, body: dict[str, Any], verb: str) -> str:
        destinations = body.get("destinations") or [{}]
        account = destinations[0].get("operatingAccount", {})
        login = destinations[0].get("loginAccount", {"accountId": account.get("accountId")})
        if account != {"accountType": "GOOGLE_ADS", "accountId": ACCOUNT} or login["accountId"] not in (
            ACCOUNT,
            LOGIN_ACCOUNT,
        ):
            raise _Refusal(403, "PERMISSION_DENIED", "PERMISSION_DENIED")
        if destinations[0].get("productDestinationId") not in self.audiences:
            raise _violated("destinations.destinations[0].product_destination_id", "INVALID_USER_LIST_ID")
        if body.get("encoding") != "HEX":
            raise _violated("encoding", "REQUIRED_FIELD_MISSING", "The fake takes HEX.")
        if verb == "ingest":
            terms = body.get("termsOfService", {}).get("customerMatchTermsOfServiceStatus")
            if terms != "ACCEPTED" or not self.are_terms_signed:
                raise _Refusal(400, "INVALID_ARGUMENT", "TERMS_AND_CONDITIONS_NOT_SIGNED")
            consent = body.get("consent", {})
            if self.consent_is_needed and set(consent.items()) != {
                ("adUserData", "CONSENT_GRANTED"), ("adPersonalization", "CONSENT_GRANTED")
            }:  # fmt: skip
                raise _violated("consent", "INVALID_ENUM_VALUE")
        return str(destinations[0]["productDestinationId"])

    def _violations(self, members: list[Any]) -> list[dict[str, str]]:
        """At most so many are told at once, as of other Google APIs."""
        found = []
        for row, member in enumerate(members):
            where = f"audience_members.audience_members[{row}]"
            if problem := self._problem(member):
                field, reason, words = problem
                found.append({"field": f"{where}{field}", "description": words, "reason": reason})
        return found

    def _problem(self, member: Any) -> tuple[str, str, str] | None:
        told = member.get("userData", {}).get("userIdentifiers", []) if isinstance(member, dict) else []
        if not 0 < len(told) <= MOST_IDENTIFIERS:
            reason = "TOO_MANY_USER_IDENTIFIERS" if told else "REQUIRED_FIELD_MISSING"
            return ".user_data.user_identifiers", reason, "1 to 10 identifiers."
        return next(filter(None, map(self._problem_of, told)), None)

    def _problem_of(self, entry: dict[str, Any]) -> tuple[str, str, str] | None:
        where = ".user_data.user_identifiers"
        if len(entry) != 1 or not set(entry) <= {"emailAddress", "phoneNumber", "address"}:
            return where, "INVALID_ARGUMENT", "One identifier each."
        for value in _hashes(entry):
            if not _HEX.fullmatch(value):
                return where, "INVALID_HEX_ENCODING", "It is not hex encoded."
            if len(value) != _HASH_LENGTH or value in self.unusable:
                return "", "INVALID_SHA256_FORMAT", "The SHA256 encoded value is malformed."
            if value in self.known.wrong:
                return where, "INVALID_FORMAT", self.known.wrong[value]
        return _address_problem(entry.get("address"))

    def _apply(self, verb: str, audience: str, named: list[str]) -> None:
        found = {self.known.right[value] for value in named if value in self.known.right}
        if verb == "ingest":
            self.audiences[audience] |= set(named)
            self.people[audience] |= found
        else:
            self.audiences[audience] -= set(named)
            self.people[audience] -= found


def _violated(field: str, reason: str, words: str = "") -> _Refusal:
    return _Refusal(
        400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", [{"field": field, "reason": reason, "description": words}]
    )


def _address_problem(address: Any) -> tuple[str, str, str] | None:
    if address is None:
        return None
    if set(address) != {"givenName", "familyName", "regionCode", "postalCode"}:
        return ".user_data.user_identifiers.address", "REQUIRED_FIELD_MISSING", "An address has four parts."
    if not re.fullmatch("[A-Z]{2}", address["regionCode"]):
        return ".user_data.user_identifiers.address", "INVALID_COUNTRY_CODE", "Country code is not valid."
    if not re.fullmatch("[0-9A-Za-z][0-9A-Za-z -]{2,15}", address["postalCode"]):
        return ".user_data.user_identifiers.address", "INVALID_POSTAL_CODE", "Postal code is not valid."
    return None


def _hashes(entry: dict[str, Any]) -> list[str]:
    if "address" in entry:
        return [entry["address"].get("givenName", ""), entry["address"].get("familyName", "")]
    return list(entry.values())


def _identifiers(member: dict[str, Any]) -> list[str]:
    told = member["userData"]["userIdentifiers"]
    return ["/".join(entry["address"].values()) if "address" in entry else next(iter(entry.values())) for entry in told]


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
