"""Salesforce's REST API as far as records are written: both grants, sessions that end, collections of 200, limits, row errors."""

import re
from typing import Any

from activation.fake_destinations.vendor import Call, Reply, Timepiece, Vendor

CLIENT_ID, SECRET, REFRESH_TOKEN = "3MVG9.fake", "fake-secret-0123456789", "5Aep8.fake"
MOST_RECORDS = 200
FIELDS = {"FirstName", "LastName", "Email", "Phone", "Weft_Id__c", "Weft_Member__c", "Weft_Score__c"}
_PATH = re.compile(r"/services/data/v(\d+)\.0/composite/sobjects(?:/(?P<object>\w+)/(?P<external>\w+))?")


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(status, [{"message": message, "errorCode": code}])


class Salesforce(Vendor):
    """Contacts by id. Sessions end after `session_calls` calls; rows whose external id or id is in `locked` fail for the moment."""

    def __init__(self, clock: Timepiece, *, session_calls: int = 1_000_000) -> None:
        super().__init__(clock)
        self.fields = set(FIELDS)
        self.external_ids = {"Weft_Id__c"}
        self.contacts: dict[str, dict[str, Any]] = {}
        self.deleted: set[str] = set()
        self.locked: set[str] = set()
        self.session_calls = session_calls
        self.daily_limit: int | None = None
        self.logins: list[str] = []
        self._sessions: dict[str, int] = {}

    def state(self) -> Any:
        """Every record by its id."""
        return {"contacts": self.contacts}

    def answer(self, call: Call) -> Reply:
        """Sessions, then the day's limit, then the collections."""
        if call.path == "/services/oauth2/token":
            return self._log_in(call.form)
        return self._refusal(call) or self._collection(call)

    def _refusal(self, call: Call) -> Reply | None:
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if self._sessions.get(token, 0) < 1:
            return _error(401, "INVALID_SESSION_ID", "Session expired or invalid")
        self._sessions[token] -= 1
        if self.daily_limit is not None:
            if self.daily_limit < 1:
                return _error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            self.daily_limit -= 1
        if not _PATH.fullmatch(call.path) or call.method != "PATCH":
            return _error(404, "NOT_FOUND", "The requested resource does not exist")
        return None

    def _collection(self, call: Call) -> Reply:
        parts = _PATH.fullmatch(call.path)
        assert parts
        records = call.json.get("records") or []
        if len(records) > MOST_RECORDS:
            return _error(
                400, "EXCEEDED_MAX_SIZE_REQUEST", f"record limit reached. cannot process more than {MOST_RECORDS}"
            )
        if any(each.get("attributes", {}).get("type") != "Contact" for each in records):
            return _error(400, "INVALID_TYPE", "sObject type is not supported.")
        sent = {name for each in records for name in each} - {"attributes", "id"}
        if unknown := sorted(sent - self.fields):
            return _error(400, "INVALID_FIELD", f"No such column '{unknown[0]}' on sobject of type Contact")
        external = parts["external"]
        if problem := self._external_problem(parts, records):
            return problem
        results = [self._upsert(each, external) if external else self._update(each) for each in records]
        done = sum(result["success"] for result in results)
        self.tell(f"Contact: {done} written, {len(results) - done} refused; {len(self.contacts)} records now")
        return Reply(200, results)

    def _external_problem(self, parts: re.Match[str], records: list[dict[str, Any]]) -> Reply | None:
        external = parts["external"]
        if external and (parts["object"] != "Contact" or external not in self.external_ids):
            return _error(
                404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: " + external
            )
        if external and any("id" in each or "Id" in each for each in records):
            return _error(400, "INVALID_FIELD", "Only external ids are supported.")
        return None

    def _log_in(self, form: dict[str, str]) -> Reply:
        grants = {"client_credentials": None, "refresh_token": REFRESH_TOKEN}
        is_right = (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, SECRET)
        if form.get("grant_type") not in grants or not is_right:
            return Reply(400, {"error": "invalid_client", "error_description": "invalid client credentials"})
        if form.get("refresh_token") != grants[form["grant_type"]]:
            return Reply(400, {"error": "invalid_grant", "error_description": "expired access/refresh token"})
        token = f"00D.session{len(self.logins)}"
        self.logins.append(form["grant_type"])
        self._sessions = {token: self.session_calls}
        return Reply(200, {"access_token": token, "instance_url": "https://elsewhere.example", "token_type": "Bearer"})

    def _upsert(self, record: dict[str, Any], external: str) -> dict[str, Any]:
        wanted = record.get(external)
        if not wanted:
            return _refused("MISSING_ARGUMENT", f"{external} not specified", [external])
        found = [id_ for id_, held in self.contacts.items() if str(held.get(external)).lower() == str(wanted).lower()]
        if wanted in self.locked:
            return _refused("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", [])
        if len(found) > 1:
            return _refused("DUPLICATE_EXTERNAL_ID", "The external id matches more than one record", [external])
        if not found and not record.get("LastName"):
            return _refused("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", ["LastName"])
        if problem := _email_problem(record):
            return problem
        id_ = found[0] if found else f"003{len(self.contacts) + len(self.deleted):015}"
        self.contacts[id_] = self.contacts.get(id_, {}) | _values(record)
        return {"id": id_, "success": True, "errors": [], "created": not found}

    def _update(self, record: dict[str, Any]) -> dict[str, Any]:
        id_ = record.get("id", "")
        if id_ in self.deleted:
            return _refused("ENTITY_IS_DELETED", "entity is deleted", [])
        if id_ not in self.contacts:
            return _refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        if id_ in self.locked:
            return _refused("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", [])
        if problem := _email_problem(record):
            return problem
        self.contacts[id_] |= _values(record)
        return {"id": id_, "success": True, "errors": []}


def _values(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("attributes", "id")}


def _email_problem(record: dict[str, Any]) -> dict[str, Any] | None:
    email = record.get("Email")
    if email and not re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", email):
        return _refused("INVALID_EMAIL_ADDRESS", f"Email: invalid email address: {email}", ["Email"])
    return None


def _refused(code: str, message: str, fields: list[str]) -> dict[str, Any]:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": fields}]}
