"""A small CRM's JSON API in the four common ways of paging; its list is sorted by the time of modification and shifts with it."""

from typing import Any

from tests.fakes.vendor import Call, FakeClock, Reply, Vendor, iso

SECRET = "rest-secret-0123456789"
MOST = 50


class RestApi(Vendor):
    """Members by id, at /v2/members, in pages by `style`: cursor, url (the next page's URL in the body), page, offset, link."""

    def __init__(self, clock: FakeClock, *, style: str, authorization: tuple[str, str] | None = None) -> None:
        super().__init__(clock)
        self.style = style
        self.members: dict[int, dict[str, Any]] = {}
        self.authorization = authorization or ("authorization", f"Bearer {SECRET}")
        self._cursors: dict[str, tuple[int, list[int]]] = {}
        self.next_host = ""

    def add(self, id_: int, *, modified: float | None = None, **fields: Any) -> None:
        """Create or change a member."""
        at = iso(self.clock.now() if modified is None else modified)
        self.members[id_] = {**self.members.get(id_, {"id": id_}), **fields, "updated_at": at}

    def answer(self, call: Call) -> Reply:
        name, value = self.authorization
        if call.headers.get(name) != value:
            return Reply(401, {"error": "unauthorized"})
        if call.path != "/v2/members":
            return Reply(404, {"error": "not_found"})
        query = call.query
        size = int(query.get("limit", MOST))
        if not 1 <= size <= MOST:
            return Reply(400, {"error": "limit_out_of_range"})
        since = query.get("updated_since", "")
        ids = [id_ for id_, member in self.members.items() if member["updated_at"] >= since]
        ids.sort(key=lambda id_: (self.members[id_]["updated_at"], id_))
        start = 0
        if "cursor" in query:
            if query["cursor"] not in self._cursors:
                return Reply(400, {"error": "invalid_cursor"})
            start, ids = self._cursors[query["cursor"]]
        elif "page" in query:
            start = (int(query["page"]) - 1) * size
        elif "offset" in query:
            start = int(query["offset"])
        items = [self.members[id_] for id_ in ids[start : start + size]]
        return self._page(call, items, ids, start + size, size)

    def _page(self, call: Call, items: list[dict[str, Any]], ids: list[int], end: int, size: int) -> Reply:
        content: dict[str, Any] = {"data": {"members": items}, "meta": {}}
        if self.style in ("page", "offset") or end >= len(ids):
            return Reply(200, content)
        cursor = f"c{len(self._cursors)}-{end}"
        self._cursors[cursor] = (end, ids)
        url = f"{self.next_host}/v2/members?cursor={cursor}&limit={size}"
        if self.style == "link":
            return Reply(200, content, {"Link": f'<{url}>; rel="next", </v2/members>; rel="first"'})
        content["meta"]["next"] = url if self.style == "url" else cursor
        return Reply(200, content)
