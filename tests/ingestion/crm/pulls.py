"""What the tests of pulls share: an installation's inbox and cursor, one pull, and what stands in `raw` after landing it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion.crm.calls import Caller
from ingestion.crm.hubspot import HubSpot
from ingestion.crm.pull import Cursor, Pulled, pull
from ingestion.crm.rest import Rest
from ingestion.crm.salesforce import Salesforce
from ingestion.crm.sources import HubSpotSource, RestSource, SalesforceSource, Source
from orchestration.landing import land_folder
from orchestration.outbound import outbound_client
from tests.fakes import hubspot, rest_api, salesforce
from tests.fakes.vendor import FakeClock

FIELDS = {"email": "email", "phone": "phone", "loyalty_id": "card.number", "traits": {"first_name": "name.first"}}


def hubspot_source(url: str, **more: Any) -> HubSpotSource:
    given = {"name": "hub", "kind": "hubspot", "secret": "HUB_TOKEN", "url": url, "allow_private_address": True}
    return HubSpotSource.model_validate(given | more)


def salesforce_source(url: str, **more: Any) -> SalesforceSource:
    given = {
        "name": "force",
        "kind": "salesforce",
        "secret": "SF_SECRET",
        "url": url,
        "client_id": salesforce.CLIENT_ID,
    }
    return SalesforceSource.model_validate(given | more)


def rest_source(url: str, style: str, **more: Any) -> RestSource:
    paging: dict[str, Any] = {"style": style, "size_parameter": "limit", "size": 10}
    if style == "cursor":
        paging |= {"parameter": "cursor", "next": "meta.next"}
    if style == "url":
        paging |= {"style": "cursor", "next": "meta.next"}
    if style in ("page", "offset"):
        paging |= {"parameter": style}
    given = {
        "name": "members", "kind": "rest", "secret": "REST_SECRET", "url": url, "path": "/v2/members", "paging": paging,
        "items": "data.members", "modified": "updated_at", "deleted": "gone", "fields": FIELDS,
        "changed_since": {"parameter": "updated_since"}, "requests_per_second": 100,
    }  # fmt: skip
    return RestSource.model_validate(given | more)


@dataclass
class Shop:
    """One installation that pulls; `save_cursor` off is a process that dies before it can."""

    folder: Path
    clock: FakeClock
    cursor: Cursor = field(default_factory=dict)
    refresh_token: str | None = None
    token: str = hubspot.TOKEN
    files: int = 0

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    def pull(self, source: Source, *, dies_at: str = "", on_pass: int = 1) -> Pulled:
        """One pull; `dies_at` names a step at which it ends at once, as a killed process does (its files stay as they are)."""
        passed = 0

        def on_step(step: str) -> None:
            nonlocal passed
            passed += step == dies_at
            if passed == on_pass and step == dies_at:
                raise Killed

        def save(cursor: Cursor) -> None:
            self.cursor = json.loads(json.dumps(cursor))

        with outbound_client(source.url, allow_private=True) as client:
            caller = Caller(client, source.name, clock=self.clock.clock)
            if isinstance(source, HubSpotSource):
                adapter: Any = HubSpot(source, caller, token=self.token)
            elif isinstance(source, SalesforceSource):
                adapter = Salesforce(source, caller, secret=salesforce.SECRET, refresh_token=self.refresh_token)
            else:
                adapter = Rest(source, caller, secret=rest_api.SECRET)
            return pull(adapter, source, cursor=self.cursor, inbox=self.inbox, save=save, on_step=on_step)

    def landed(self) -> "Landed":
        """Land the inbox into a new warehouse, as a run does, and read what stands there."""
        with duckdb.connect() as connection:
            at = datetime.fromtimestamp(self.clock.now(), UTC).replace(tzinfo=None)
            for report in land_folder(connection, folder=self.inbox, landed_at=at):
                assert report.problem is None, report.problem
                assert report.is_balanced
            names = ("message_id", "type", "event", "source", "user_id", "identifiers", "traits", "consent", "context",
                     "payload", "occurred_at", "known_at")  # fmt: skip
            rows = connection.execute(
                f"select {', '.join(names)} from raw.events order by occurred_at, type, message_id"
            ).fetchall()
            rejected = connection.execute("select reason, payload from raw.rejected_events order by reason").fetchall()
        json_columns = {"identifiers", "traits", "consent", "context", "payload"}
        events = [
            {
                name: json.loads(value) if name in json_columns and value else value
                for name, value in zip(names, row, strict=True)
            }
            for row in rows
        ]
        return Landed(events, [(reason, bytes(payload)) for reason, payload in rejected])


class Killed(BaseException):
    """The process is gone."""


@dataclass(frozen=True)
class Landed:
    """What stands in raw.events and raw.rejected_events."""

    events: list[dict[str, Any]]
    rejected: list[tuple[str, bytes]]

    @property
    def newest(self) -> dict[str, dict[str, Any]]:
        """The newest state of every contact, by its id in the CRM."""
        states = {}
        for event in self.events:
            states[crm_id(event)] = event
        return states


def crm_id(event: dict[str, Any]) -> str:
    """The contact's id in its CRM."""
    [value] = [each["value"] for each in event["identifiers"] if each["type"] == "crm_id"]
    return str(value.partition(":")[2])


def identifiers(event: dict[str, Any]) -> dict[str, str]:
    """Identifiers of an event by their type."""
    return {each["type"]: each["value"] for each in event["identifiers"]}
