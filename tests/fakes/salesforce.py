"""Salesforce's REST API as far as contacts are pulled: both grants, sessions that end, SOQL of one shape, locators, limits."""

import re
from typing import Any
from urllib.parse import unquote

from tests.fakes.vendor import Call, FakeClock, Reply, Vendor, iso

CLIENT_ID, SECRET, REFRESH_TOKEN = "3MVG9.client", "app-secret-0123456789", "5Aep8.refresh"
KNOWN = {
    "Id", "SystemModstamp", "IsDeleted", "FirstName", "LastName", "Email", "Phone", "MobilePhone", "CreatedDate",
    "HasOptedOutOfEmail", "Shop_User__c", "Account.Name",
}  # fmt: skip
SOQL = re.compile(
    r"SELECT (?P<fields>[\w., ]+) FROM Contact(?: WHERE (?P<where>.+))? ORDER BY SystemModstamp, Id", re.ASCII
)
CONDITION = re.compile(r"(SystemModstamp >= (?P<since>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)|IsDeleted = false)")


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(status, [{"message": message, "errorCode": code}])


class Salesforce(Vendor):
    """Contacts by id. A page holds at most `page` records, as Salesforce may choose; sessions end after `session_calls` calls."""

    def __init__(self, clock: FakeClock, *, page: int = 2000, session_calls: int = 1_000_000) -> None:
        super().__init__(clock)
        self.contacts: dict[str, dict[str, Any]] = {}
        self.page, self.session_calls = page, session_calls
        self.daily_limit: int | None = None
        self.logins: list[str] = []
        self._locators: dict[str, tuple[list[str], list[str]]] = {}
        self._sessions: dict[str, int] = {}

    def add(self, number: int, *, modified: float | None = None, **fields: Any) -> None:
        """Create or change a contact; stamps are whole seconds."""
        id_ = f"003{number:015}"
        at = iso(int(self.clock.now() if modified is None else modified)).replace("Z", "+0000")
        known = self.contacts.get(id_, {"Id": id_, "CreatedDate": at, "IsDeleted": False})
        self.contacts[id_] = {**known, **fields, "SystemModstamp": at}

    def delete(self, number: int) -> None:
        self.add(number, IsDeleted=True)

    def forget_locators(self) -> None:
        """As two days later."""
        self._locators.clear()

    def answer(self, call: Call) -> Reply:
        if call.path == "/services/oauth2/token":
            return self._log_in(call.form)
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if self._sessions.get(token, 0) < 1:
            return _error(401, "INVALID_SESSION_ID", "Session expired or invalid")
        self._sessions[token] -= 1
        if self.daily_limit is not None:
            if self.daily_limit < 1:
                return _error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
            self.daily_limit -= 1
        size = re.fullmatch(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""))
        if not size or not 200 <= int(size[1]) <= 2000:
            return _error(400, "INVALID_BATCH_SIZE", "The batch size is out of range.")
        if call.path == "/services/data/v62.0/queryAll":
            return self._query(call.query["q"])
        return self._more(unquote(call.path))

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

    def _query(self, soql: str) -> Reply:
        parsed = SOQL.fullmatch(soql)
        if not parsed:
            return _error(400, "MALFORMED_QUERY", "unexpected token")
        fields = parsed["fields"].split(", ")
        if unknown := [field for field in fields if field not in KNOWN]:
            return _error(400, "INVALID_FIELD", f"No such column '{unknown[0]}' on entity 'Contact'.")
        ids = list(self.contacts)
        for condition in parsed["where"].split(" AND ") if parsed["where"] else []:
            matched = CONDITION.fullmatch(condition)
            if not matched:
                return _error(400, "MALFORMED_QUERY", "unexpected condition")
            if since := matched["since"]:
                ids = [id_ for id_ in ids if self.contacts[id_]["SystemModstamp"].replace("+0000", "Z") >= since]
            else:
                ids = [id_ for id_ in ids if not self.contacts[id_]["IsDeleted"]]
        ids.sort(key=lambda id_: (self.contacts[id_]["SystemModstamp"], id_))
        return self._records(f"0r8{len(self._locators):015}", ids, fields, 0)

    def _more(self, path: str) -> Reply:
        found = re.fullmatch(r"/services/data/v62\.0/query/(\w{18})-(\d+)", path)
        if not found or found[1] not in self._locators:
            return _error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        ids, fields = self._locators[found[1]]
        return self._records(found[1], ids, fields, int(found[2]))

    def _records(self, locator: str, ids: list[str], fields: list[str], start: int) -> Reply:
        """A page of the ids as they were when the query was made, each record as it is now."""
        self._locators[locator] = (ids, fields)
        records = [self._record(self.contacts[id_], fields) for id_ in ids[start : start + self.page]]
        content: dict[str, Any] = {"totalSize": len(ids), "done": start + self.page >= len(ids), "records": records}
        if not content["done"]:
            content["nextRecordsUrl"] = f"/services/data/v62.0/query/{locator}-{start + self.page}"
        return Reply(200, content)

    def _record(self, contact: dict[str, Any], fields: list[str]) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "attributes": {"type": "Contact", "url": f"/services/data/v62.0/sobjects/{contact['Id']}"}
        }
        for field in fields:
            parent, _, child = field.partition(".")
            if child:
                shown[parent] = {"attributes": {"type": parent}, child: contact.get(field)}
            else:
                shown[field] = contact.get(field)
        return shown
