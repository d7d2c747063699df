"""HubSpot's CRM v3 as far as contacts are pulled: tokens, page sizes, cursors, the search's limit, rate limits, archived contacts."""

from typing import Any

from tests.fakes.vendor import Call, FakeClock, Reply, RollingLimit, Vendor, iso

TOKEN = "pat-eu1-0123456789abcdef"
SEARCH_RESULTS = 10_000
DEFAULTS = ("createdate", "email", "firstname", "lastname", "hs_object_id", "lastmodifieddate")
KNOWN = {
    *DEFAULTS, "phone", "mobilephone", "company", "city", "country", "lifecyclestage", "hs_email_optout",
    "hs_marketable_status", "shop_user_id", "loyalty_number",
}  # fmt: skip
CONTACTS = "/crm/v3/objects/contacts"


def _error(status: int, category: str, message: str, **more: str) -> Reply:
    return Reply(
        status, {"status": "error", "message": message, "category": category, "correlationId": "c0ffee", **more}
    )


class HubSpot(Vendor):
    """Contacts by id. `modified` is what the search sees; with `search_limit` small, ten results can stand for ten thousand."""

    def __init__(self, clock: FakeClock, *, search_limit: int = SEARCH_RESULTS) -> None:
        super().__init__(clock)
        self.contacts: dict[int, dict[str, Any]] = {}
        self.archived: dict[int, dict[str, Any]] = {}
        self.search_limit = search_limit
        self._cursors: set[str] = set()
        self._all = RollingLimit(clock, 100, 10.0)
        self._searches = RollingLimit(clock, 5, 1.0)
        self.most_found_by_search = 0

    def add(self, id_: int, *, modified: float | None = None, **properties: str | None) -> None:
        """Create or change a contact."""
        at = iso(self.clock.now() if modified is None else modified)
        known = self.contacts.get(id_, {"createdate": at, "hs_object_id": str(id_)})
        self.contacts[id_] = {**known, **properties, "lastmodifieddate": at}

    def archive(self, id_: int) -> None:
        """Delete a contact, as HubSpot deletes: it can be seen among the archived ones."""
        self.archived[id_] = {**self.contacts.pop(id_), "archivedAt": iso(self.clock.now())}

    def answer(self, call: Call) -> Reply:
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        if self._all.is_met():
            return self._too_many("TEN_SECONDLY_ROLLING")
        if call.path == CONTACTS and call.method == "GET":
            return self._list(call.query)
        if call.path == f"{CONTACTS}/search" and call.method == "POST":
            return self._too_many("SECONDLY") if self._searches.is_met() else self._search(call.json)
        return _error(404, "OBJECT_NOT_FOUND", "No such path.")

    def _too_many(self, policy: str) -> Reply:
        return Reply(
            429,
            {
                "status": "error",
                "message": "You have reached your limit.",
                "errorType": "RATE_LIMIT",
                "policyName": policy,
            },
        )

    def _list(self, query: dict[str, str]) -> Reply:
        limit = int(query.get("limit", "10"))
        if not 1 <= limit <= 100:
            return _error(400, "VALIDATION_ERROR", "Page size must be between 1 and 100.")
        after = query.get("after")
        if after is not None and after not in self._cursors:
            return _error(400, "VALIDATION_ERROR", "The cursor is not one of ours.")
        is_archived = query.get("archived") == "true"
        held = self.archived if is_archived else self.contacts
        ids = sorted(id_ for id_ in held if id_ >= int(after or 0))
        return self._page(held, ids[:limit], query.get("properties", "").split(","), ids[limit : limit + 1])

    def _search(self, body: dict[str, Any]) -> Reply:
        limit, after = body.get("limit", 10), int(body.get("after") or 0)
        groups, sorts = body.get("filterGroups", []), body.get("sorts", [])
        if not 1 <= limit <= 200 or len(groups) > 5 or len(sorts) > 1 or any(len(g["filters"]) > 6 for g in groups):
            return _error(400, "VALIDATION_ERROR", "There was a problem with the request.")
        if after + limit > self.search_limit:
            return _error(400, "VALIDATION_ERROR", "Search results are limited.")
        found = [id_ for id_ in self.contacts if any(self._matches(id_, group["filters"]) for group in groups)]
        key = sorts[0]["propertyName"] if sorts else "createdate"
        found.sort(key=lambda id_: int(self.contacts[id_][key]) if key == "hs_object_id" else self.contacts[id_][key])
        self.most_found_by_search = max(self.most_found_by_search, len(found))
        page = self._page(self.contacts, found[after : after + limit], body.get("properties") or list(DEFAULTS), [])
        if len(found) > after + limit:
            page.content["paging"] = {"next": {"after": str(after + limit)}}
        page.content["total"] = len(found)
        return page

    def _matches(self, id_: int, filters: list[dict[str, str]]) -> bool:
        contact = self.contacts[id_]
        for each in filters:
            name, operator, value = each["propertyName"], each["operator"], each["value"]
            held: Any = contact.get(name)
            if name == "lastmodifieddate":
                wanted: Any = iso(int(value) / 1000)
            else:
                held, wanted = int(held), int(value)
            if not {"GTE": held >= wanted, "GT": held > wanted, "LTE": held <= wanted, "EQ": held == wanted}[operator]:
                return False
        return True

    def _page(self, held: dict[int, dict[str, Any]], ids: list[int], asked: list[str], following: list[int]) -> Reply:
        names = set(asked) & KNOWN | set(DEFAULTS)
        results = []
        for id_ in ids:
            contact = held[id_]
            shown = {
                "id": str(id_),
                "properties": {name: contact.get(name) for name in names},
                "createdAt": contact["createdate"],
                "updatedAt": contact["lastmodifieddate"],
                "archived": "archivedAt" in contact,
            }
            results.append(shown | ({"archivedAt": contact["archivedAt"]} if "archivedAt" in contact else {}))
        content: dict[str, Any] = {"results": results}
        if following:
            self._cursors.add(str(following[0]))
            content["paging"] = {"next": {"after": str(following[0]), "link": "https://api.hubapi.com/…"}}
        return Reply(200, content)
