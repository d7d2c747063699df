"""Contacts (or leads) of Salesforce: SOQL over REST, by SystemModstamp, deleted ones included.

A query's locator leads through its pages. Where Salesforce has forgotten it, a new query begins at the newest modification that can
have come in order; a stamp from after the pull's start (a contact modified while pages were turned) says nothing of the order.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ingestion.crm.calls import Answer, Caller, CrmError, Remedy, usual_remedy
from ingestion.crm.contacts import Contact, at, instant_text, seconds_of, text_of, unreadable, utc_text
from ingestion.crm.pull import OVERLAP_SECONDS, Cursor, Page, contacts_in
from ingestion.crm.sources import SalesforceSource

MODIFIED = "SystemModstamp"
RESTARTS = 3
_LOCATOR = re.compile(r"^/services/data/v\d+\.\d+/query(All)?/[A-Za-z0-9]{15,20}-\d+$")


class _LocatorGoneError(CrmError):
    """Salesforce does not know the locator any more."""


def salesforce_remedy(answer: Answer) -> tuple[Remedy, float | None]:
    """The day's requests are used up: nothing before tomorrow. Too many at once: a moment. A session ends as a 401."""
    if "REQUEST_LIMIT_EXCEEDED" in answer.codes:
        return (Remedy.TRY_AGAIN, 5.0) if answer.says("ConcurrentRequests") else (Remedy.COME_LATER, None)
    if {"SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW"} & set(answer.codes):
        return Remedy.TRY_AGAIN, None
    if "INVALID_QUERY_LOCATOR" in answer.codes:
        raise _LocatorGoneError("Salesforce does not know the query's locator any more.")
    return usual_remedy(answer)


class Salesforce:
    """See the module. The cursor: `since`; while a pull is under way also `started`, `reached` (instants) and `locator`."""

    def __init__(self, source: SalesforceSource, caller: Caller, *, secret: str, refresh_token: str | None) -> None:
        self._source, self._caller = source, caller
        self._secret, self._refresh_token = secret, refresh_token
        caller.remedy = salesforce_remedy
        caller.renew = self._log_in
        caller.refused = f"see the connected app, the variable {source.secret} and the fields in crm.yml"

    def pages(self, cursor: Cursor) -> Iterator[Page]:
        """Contacts by their time of modification, deleted ones among them."""
        self._caller.headers.update(self._log_in())
        restarts = 0
        while True:
            before = cursor.get("reached")
            try:
                for page in self._results(cursor):
                    yield page
                    cursor = page.cursor
                return
            except _LocatorGoneError:
                restarts = 0 if cursor.get("reached") != before else restarts + 1
                if restarts > RESTARTS:
                    raise
                cursor = {key: value for key, value in cursor.items() if key != "locator"}

    def _results(self, cursor: Cursor) -> Iterator[Page]:
        locator = cursor.get("locator")
        while True:
            if locator:
                answer = self._caller.call("GET", self._checked(locator), headers=self._options())
            else:
                answer = self._queried(cursor.get("reached") or cursor.get("since"), is_first=not cursor.get("since"))
            if not cursor.get("started"):
                cursor = {**cursor, "started": utc_text(answer.date(self._caller.clock.now()))}
            contacts = contacts_in(at(answer.content, "records"), self._contact, self._source.name)
            cursor = {**cursor, "reached": _reached(contacts, cursor)}
            following = at(answer.content, "nextRecordsUrl")
            if at(answer.content, "done") is True or following is None:
                started = seconds_of(cursor["started"]) or self._caller.clock.now()
                yield Page(contacts, {"since": utc_text(started - OVERLAP_SECONDS)})
                return
            if following == locator:
                raise CrmError(f"{self._source.name} answered with a page that leads to no next one.")
            locator = self._checked(following)
            yield Page(contacts, {**cursor, "locator": locator})

    def _queried(self, since: str | None, *, is_first: bool) -> Answer:
        conditions = [f"{MODIFIED} >= {since}"] if since else []
        conditions += ["IsDeleted = false"] if is_first else []  # what was deleted before the first pull was never here
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        query = f"SELECT {', '.join(self._fields())} FROM {self._source.object}{where} ORDER BY {MODIFIED}, Id"
        path = f"/services/data/{self._source.version}/queryAll"
        return self._caller.call("GET", path, params={"q": query}, headers=self._options())

    def _fields(self) -> list[str]:
        return list(dict.fromkeys(("Id", MODIFIED, "IsDeleted", *self._source.fields.all_paths, *self._source.extra)))

    def _options(self) -> dict[str, str]:
        return {"Sforce-Query-Options": f"batchSize={self._source.page_size}"}

    def _contact(self, item: Mapping[str, Any]) -> Contact:
        id_ = text_of(item.get("Id"))
        if id_ is None:
            return unreadable(item)
        values = _plain(item)
        modified_at = instant_text(item.get(MODIFIED))
        if item.get("IsDeleted") is True:
            return Contact(id_, modified_at, values, {"Id": id_, MODIFIED: modified_at}, is_deleted=True)
        return Contact(id_, modified_at, values, values)

    def _checked(self, locator: object) -> str:
        """A path of the same host: the token must not follow a URL to somebody else's."""
        if not isinstance(locator, str) or not _LOCATOR.match(locator):
            raise CrmError(f"{self._source.name} answered with a next page that is no locator of a query.")
        return locator

    def _log_in(self) -> dict[str, str]:
        """New headers for a new session. The answer's `instance_url` is not followed: `url` is where this org lives."""
        grant = (
            {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
            if self._refresh_token
            else {"grant_type": "client_credentials"}
        )
        data = {**grant, "client_id": self._source.client_id, "client_secret": self._secret}
        login = Caller(self._caller.client, self._source.name, clock=self._caller.clock)
        login.refused = f"see the connected app's client id and the variable {self._source.secret}"
        token = at(login.call("POST", "/services/oauth2/token", data=data).content, "access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise CrmError(f"{self._source.name} logged in and was given no access token.")
        return {"Authorization": f"Bearer {token}"}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what Salesforce adds to it."""
    return {
        key: _plain(value) if isinstance(value, dict) else value for key, value in item.items() if key != "attributes"
    }


def _reached(contacts: list[Contact], cursor: Cursor) -> str | None:
    """The newest modification that came in order: none from after the start, less the overlap for clocks that differ."""
    started = seconds_of(cursor["started"]) or 0.0
    stamps = [seconds_of(contact.modified_at) for contact in contacts]
    in_order = [stamp for stamp in stamps if stamp is not None and stamp < started - OVERLAP_SECONDS]
    reached = max([*in_order, seconds_of(cursor.get("reached")) or 0.0])
    return utc_text(reached) if reached else None
