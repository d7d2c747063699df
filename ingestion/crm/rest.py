"""Contacts of any JSON API that hands them out in pages.

Pages that are counted (by page or offset) shift while contacts are modified or deleted, and a contact that slips from the second page
to the first is on neither: so such a pull is walked again until a walk meets nothing that it has not seen.
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from ingestion.crm.calls import Answer, Caller, CrmError
from ingestion.crm.contacts import Contact, at, instant_text, seconds_of, text_of, unreadable, utc_text
from ingestion.crm.pull import OVERLAP_SECONDS, Cursor, Page, contacts_in
from ingestion.crm.sources import RestSource

WALKS = 5
PAGES = 100_000
"""More pages than any walk has: an API that never ends is cut here."""

Parameters = dict[str, Any]
Place = tuple[str, Parameters]
"""Path and query parameters of one page."""


class Rest:
    """See the module. The cursor: `since` and `started` (instants); within a walk by cursor or link also `path` and `parameters`."""

    def __init__(self, source: RestSource, caller: Caller, *, secret: str) -> None:
        self._source, self._caller = source, caller
        caller.headers.update(_authorization(source.auth, secret))
        caller.spacing = 1 / source.requests_per_second
        caller.refused = f"see `path`, `parameters` and `auth` in crm.yml and the variable {source.secret}"

    def pages(self, cursor: Cursor) -> Iterator[Page]:
        """What was modified since the cursor, or everything where the API cannot say."""
        seen: set[bytes] = set()
        is_counted = self._source.paging.style in ("page", "offset")
        for walk in range(WALKS):
            known = len(seen)
            pages = 0
            for page in self._walk(cursor):
                pages += 1
                fresh = (
                    [contact for contact in page.contacts if _is_new(contact, seen)] if is_counted else page.contacts
                )
                cursor = page.cursor
                yield Page(fresh, cursor)
            if not is_counted or pages == 1 or (walk and len(seen) == known):
                break
        started = seconds_of(cursor.get("started")) or self._caller.clock.now()
        yield Page([], {"since": utc_text(started - OVERLAP_SECONDS)})

    def _walk(self, cursor: Cursor) -> Iterator[Page]:
        path, parameters = cursor.get("path"), cursor.get("parameters")
        place: Place | None = (path, parameters) if path and isinstance(parameters, dict) else self._first(cursor)
        for _ in range(PAGES):
            assert place is not None
            answer = self._caller.call("GET", place[0], params=place[1] or None)  # {} would take the query off
            if not cursor.get("started"):
                cursor = {**cursor, "started": utc_text(answer.date(self._caller.clock.now()))}
            items = at(answer.content, self._source.items) if self._source.items else answer.content
            contacts = contacts_in(items, self._contact, self._source.name)
            following = self._next(place, answer, len(contacts))
            if following == place:
                raise CrmError(f"{self._source.name} answered with a page that leads to no next one.")
            place = following
            kept = {key: value for key, value in cursor.items() if key not in ("path", "parameters")}
            # a counted page means nothing to a later pull; a cursor or link does
            is_resumable = place is not None and self._source.paging.style in ("cursor", "link")
            yield Page(contacts, {**kept, "path": place[0], "parameters": place[1]} if place and is_resumable else kept)
            if place is None:
                return
        raise CrmError(f"{self._source.name} has more than {PAGES:,} pages; narrow `parameters` in crm.yml.")

    def _first(self, cursor: Cursor) -> Place:
        paging, changed = self._source.paging, self._source.changed_since
        parameters: Parameters = dict(self._source.parameters)
        if paging.size_parameter:
            parameters[paging.size_parameter] = paging.size
        if changed and cursor.get("since"):
            seconds = seconds_of(cursor["since"]) or 0.0
            written = {"iso": utc_text(seconds), "seconds": int(seconds), "milliseconds": int(seconds * 1000)}
            parameters[changed.parameter] = written[changed.format]
        if paging.style == "page":
            parameters[paging.parameter] = paging.first
        if paging.style == "offset":
            parameters[paging.parameter] = 0
        return self._source.path, parameters

    def _next(self, place: Place, answer: Answer, found: int) -> Place | None:
        paging = self._source.paging
        path, parameters = place
        if paging.style == "none" or (paging.style in ("page", "offset") and not found):
            return None
        if paging.style in ("page", "offset"):
            step = 1 if paging.style == "page" else found
            return path, {**parameters, paging.parameter: int(parameters[paging.parameter]) + step}
        following = _linked(answer) if paging.style == "link" else text_of(at(answer.content, paging.next))
        if not following:
            return None
        if paging.style == "cursor" and paging.parameter and not following.startswith(("http://", "https://")):
            return path, {**parameters, paging.parameter: following}
        return self._same_host(path, following), {}

    def _same_host(self, path: str, following: str) -> str:
        """A URL of the same host as path and query: the token must not follow one to somebody else's."""
        own = urlsplit(self._source.url)
        try:
            there = urlsplit(urljoin(f"{self._source.url}{path}", following))
            is_own = (there.scheme, there.hostname, there.port) == (own.scheme, own.hostname, own.port)
        except ValueError:
            is_own = False
        if not is_own:
            raise CrmError(f"{self._source.name} answered with a next page on another host; that is not followed.")
        return there.path.removeprefix(own.path) + (f"?{there.query}" if there.query else "")

    def _contact(self, item: Mapping[str, Any]) -> Contact:
        source = self._source
        id_ = text_of(at(item, source.id))
        if id_ is None:
            return unreadable(item)
        modified_at = instant_text(at(item, source.modified))
        if source.deleted and at(item, source.deleted) not in (None, False, 0, "", "false", "0"):
            return Contact(id_, modified_at, item, {source.id: id_, source.modified: modified_at}, is_deleted=True)
        return Contact(id_, modified_at, item, item)


def _is_new(contact: Contact, seen: set[bytes]) -> bool:
    """Whether this state of a contact was not met in this pull; says so once."""
    state = json.dumps([contact.id, contact.modified_at, contact.payload], sort_keys=True).encode()
    digest = hashlib.blake2b(state, digest_size=12).digest()
    is_new = digest not in seen
    seen.add(digest)
    return is_new


def _linked(answer: Answer) -> str | None:
    """The next page of a Link header (RFC 8288)."""
    for link in answer.headers.get("link", "").split(","):
        target, *parameters = link.strip().split(";")
        relations = [each.strip().lower().replace('"', "") for each in parameters]
        if target.startswith("<") and target.endswith(">") and "rel=next" in relations:
            return str(target[1:-1])
    return None


def _authorization(auth: str, secret: str) -> dict[str, str]:
    how, _, what = auth.partition(":")
    if how == "header":
        return {what: secret}
    if how == "basic":
        return {"Authorization": f"Basic {base64.b64encode(f'{what}:{secret}'.encode()).decode()}"}
    return {"Authorization": f"Bearer {secret}"}
