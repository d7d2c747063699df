"""Contacts of HubSpot (CRM v3).

The first pull lists every contact; later ones search for what was modified since. The search hands out 10,000 results and no more,
thousands of contacts may share one modification time after a bulk update, and a contact that is modified while pages are turned
would shift the others: so no page is asked for by its place. Each asks for the contacts with an id above the last one seen.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ingestion.crm.calls import Answer, Caller, CrmError, Remedy, usual_remedy
from ingestion.crm.contacts import Contact, at, instant_text, seconds_of, text_of, unreadable, utc_text
from ingestion.crm.pull import OVERLAP_SECONDS, Cursor, Page, contacts_in
from ingestion.crm.sources import HubSpotSource

CONTACTS = "/crm/v3/objects/contacts"
MODIFIED = "lastmodifieddate"
ID = "hs_object_id"
_WAIT_SECONDS = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0}


def hubspot_remedy(answer: Answer) -> tuple[Remedy, float | None]:
    """A 429 says in its body which limit was met: ten seconds pass soon, a day does not."""
    if answer.status == 429 and "DAILY" in answer.codes:
        return Remedy.COME_LATER, None
    remedy, wait = usual_remedy(answer)
    waits = [_WAIT_SECONDS[code] for code in answer.codes if code in _WAIT_SECONDS]
    return remedy, waits[0] if answer.status == 429 and waits else wait


class HubSpot:
    """See the module. The cursor: `since` and `started` (instants), `phase` and `at` while a pull is under way."""

    def __init__(self, source: HubSpotSource, caller: Caller, *, token: str) -> None:
        self._source, self._caller = source, caller
        caller.headers["Authorization"] = f"Bearer {token}"
        caller.remedy = hubspot_remedy
        caller.spacing = 1 / source.requests_per_second
        caller.refused = f"see that the variable {source.secret} holds a private app's token that may read contacts"

    def pages(self, cursor: Cursor) -> Iterator[Page]:
        """Changed contacts, then those archived since."""
        if cursor.get("phase", "contacts") == "contacts":
            for page in self._contacts(cursor):
                yield page
                cursor = page.cursor
        if cursor.get("since"):  # what was archived before the first pull was never here
            for page in self._archived(cursor):
                yield page
                cursor = page.cursor
        started = seconds_of(cursor.get("started")) or self._caller.clock.now()
        yield Page([], {"since": utc_text(started - OVERLAP_SECONDS)})

    def _contacts(self, cursor: Cursor) -> Iterator[Page]:
        place = cursor.get("at")
        while True:
            answer = self._found(cursor["since"], place) if cursor.get("since") else self._listed(place, archived=False)
            if not cursor.get("started"):
                cursor = {**cursor, "started": utc_text(answer.date(self._caller.clock.now()))}
            contacts = contacts_in(at(answer.content, "results"), self._contact, self._source.name)
            after = at(answer.content, "paging.next.after")
            if after is None:
                yield Page(contacts, {**cursor, "phase": "archived", "at": None})
                return
            if cursor.get("since"):
                after = _highest_id(contacts)
            place = self._moved(place, after)
            yield Page(contacts, {**cursor, "phase": "contacts", "at": place})

    def _archived(self, cursor: Cursor) -> Iterator[Page]:
        since, place = seconds_of(cursor["since"]) or 0.0, cursor.get("at")
        while True:
            answer = self._listed(place, archived=True)
            listed = contacts_in(at(answer.content, "results"), self._archived_contact, self._source.name)
            contacts = [contact for contact in listed if (seconds_of(contact.modified_at) or since) >= since]
            after = at(answer.content, "paging.next.after")
            if after is None:
                yield Page(contacts, {**cursor, "phase": "done", "at": None})
                return
            place = self._moved(place, after)
            yield Page(contacts, {**cursor, "phase": "archived", "at": place})

    def _found(self, since: str, above: str | None) -> Answer:
        milliseconds = round((seconds_of(since) or 0.0) * 1000)
        filters = [
            {"propertyName": MODIFIED, "operator": "GTE", "value": str(milliseconds)},
            {"propertyName": ID, "operator": "GT", "value": above or "0"},
        ]
        body = {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": ID, "direction": "ASCENDING"}],
            "properties": self._properties(archived=False),
            "limit": self._source.page_size,
        }
        return self._caller.call("POST", f"{CONTACTS}/search", json=body)

    def _listed(self, after: str | None, *, archived: bool) -> Answer:
        params = {
            "limit": self._source.page_size,
            "archived": str(archived).lower(),
            "properties": ",".join(self._properties(archived=archived)),
        }
        return self._caller.call("GET", CONTACTS, params=params | ({"after": after} if after else {}))

    def _properties(self, *, archived: bool) -> list[str]:
        fields = self._source.fields
        wanted = fields.identifier_paths if archived else (*fields.all_paths, *self._source.extra)
        return list(dict.fromkeys((*wanted, MODIFIED, ID)))

    def _contact(self, item: Mapping[str, Any]) -> Contact:
        return self._read(item, lambda values: instant_text(values.get(MODIFIED) or item.get("updatedAt")))

    def _archived_contact(self, item: Mapping[str, Any]) -> Contact:
        return self._read(item, lambda values: instant_text(item.get("archivedAt") or item.get("updatedAt")), gone=True)

    def _read(
        self, item: Mapping[str, Any], modified: Callable[[Mapping[str, Any]], str | None], *, gone: bool = False
    ) -> Contact:
        id_, values = text_of(item.get("id")), item.get("properties")
        if id_ is None or not isinstance(values, dict):
            return unreadable(item)
        modified_at = modified(values)
        if gone:
            return Contact(id_, modified_at, values, {"id": id_, "archivedAt": modified_at}, is_deleted=True)
        asked = {name: values[name] for name in self._properties(archived=False) if name in values}
        return Contact(id_, modified_at, asked, {"id": id_, "properties": asked})

    def _moved(self, place: str | None, after: object) -> str:
        """The next place; a vendor that sends us back or leaves us where we are would have us turn pages for ever."""
        there = text_of(after)
        if there is None or there == place or (place and _is_number(place, there) and int(there) <= int(place)):
            raise CrmError(f"{self._source.name} answered with a page that leads to no next one.")
        return there


def _is_number(*texts: str) -> bool:
    return all(text.isascii() and text.isdigit() and len(text) < 30 for text in texts)


def _highest_id(contacts: list[Contact]) -> str | None:
    ids = [contact.id for contact in contacts if contact.id and _is_number(contact.id)]
    return max(ids, key=int, default=None)
