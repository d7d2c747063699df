"""A small warehouse with what the gate reads, written directly: customers, consents, identifiers, redirects, audiences, orders; and events
that land in it. Serving, state and Redis are the real ones."""

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from orchestration import audience_catalogue
from orchestration.audience_catalogue import Audience
from orchestration.clock import BUILDS, CURRENT_RUN
from orchestration.collecting import ensure_raw_tables
from orchestration.consent_purposes import PURPOSES
from orchestration.consent_sweep import contained_by_served
from orchestration.gate import Gated, opened_gate
from orchestration.holdout_assignments import assign_holdouts
from orchestration.resources import Platform
from orchestration.transform import AudienceDefinition
from orchestration.warehouse import Connection, create_table

AS_OF = datetime(2026, 3, 1)
TABLES: Mapping[str, Mapping[str, str]] = {
    "control.builds": BUILDS,
    "control.current_run": CURRENT_RUN,
    "customer_360.customers": {"customer_id": "varchar", **{f"has_consent_{each}": "boolean" for each in PURPOSES}},
    "customer_360.orders": {
        "order_key": "varchar",
        "customer_id": "varchar",
        "ordered_at": "timestamp",
        "net_amount": "decimal(18,4)",
    },
    "customer_360.refunds": {"order_key": "varchar", "net_amount": "decimal(18,4)"},
    "identity.memberships": {
        "identifier_type": "varchar",
        "identifier_value": "varchar",
        "customer_id": "varchar",
        "valid_from": "timestamp",
        "valid_to": "timestamp",
        "known_to": "timestamp",
    },
    "identity.nodes": {"identifier_type": "varchar", "identifier_value": "varchar", "customer_id": "varchar"},
    "identity.customer_redirects": {"customer_id": "varchar", "living_customer_id": "varchar"},
    "identity.merge_history": {"change": "varchar", "customer_id_before": "varchar", "customer_id_after": "varchar"},
    "staging.stg_events": {"landed_seq": "bigint", "known_at": "timestamp"},
    "audiences.profiles": {"customer_id": "varchar", "order_count": "bigint"},
}
MEMBERS = {"customer_id": "varchar", "entered_because": "varchar"}
ALL = dict.fromkeys(PURPOSES, True)


@dataclass
class Shop:
    """One installation; `consents` holds customers as a build of now would see them."""

    platform: Platform
    consents: dict[str, dict[str, bool]] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, AudienceDefinition] = field(default_factory=dict)
    history: list[tuple[str, str, str]] = field(default_factory=list)
    orders: list[tuple[str, str, datetime, float]] = field(default_factory=list)
    as_of: datetime = AS_OF
    numbers: Iterable[int] = field(default_factory=itertools.count)

    def audience(self, name: str, members: Iterable[str], **meta: Any) -> Audience:
        """Define an audience (advertising where nothing is said) with these members."""
        self.members[name] = list(members)
        given = {"owner": "crm", "consent_purpose": "advertising", "destinations": ["redis"], **meta}
        given = {key: value for key, value in given.items() if value is not None}
        self.definitions[name] = AudienceDefinition(name, name, f"sql of {name}", given)
        return Audience(name, "sql", name, f"sql of {name}", given)

    def build(self, *, served: bool = True) -> str:
        """A whole build of what the shop knows; every event that landed is in it where it was known before the clock."""
        with self.platform.warehouse.writer() as connection:
            build_id = self.write(connection)
            assign_holdouts(connection, self.platform.state)
        if served:
            self.platform.warehouse.serve_newest_build()
            self.forget_contained()
        return build_id

    def forget_contained(self) -> None:
        """What the registration of a new build does first."""
        contained = contained_by_served(self.platform.warehouse)
        assert contained is not None
        self.platform.state.refusals.forget_contained(landed_seq=contained.landed_seq, as_of=contained.as_of)

    def write(self, connection: Connection) -> str:
        number = next(iter(self.numbers)) + 1
        ensure_raw_tables(connection)
        for table, columns in TABLES.items():
            create_table(connection, table, columns)
            if table != "control.builds":
                connection.execute(f"delete from {table}")
        landed_seq = connection.rows("select coalesce(max(landed_seq), 0) from raw.events")[0][0]
        _insert(connection, "control.current_run (as_of, landed_seq)", [(self.as_of, landed_seq)])
        build = (f"build-{number}", self.as_of, AS_OF + timedelta(seconds=number), number, landed_seq)
        _insert(connection, "control.builds (build_id, as_of, completed_at, run_seq, landed_seq)", [build])
        living = {name: self.redirects.get(name, name) for name in self.consents}
        people = {
            name: {
                each: all(self.consents[one][each] for one, now in living.items() if now == name) for each in PURPOSES
            }
            for name in set(living.values())
        }
        _insert(connection, "customer_360.customers", [(name, *given.values()) for name, given in people.items()])
        _insert(connection, "audiences.profiles", [(name, 1) for name in people])
        _insert(connection, "identity.customer_redirects", list(living.items()))
        nodes = [(kind, f"{prefix}{name}", now) for name, now in living.items() for kind, prefix in _IDENTIFIERS]
        _insert(connection, "identity.nodes", nodes)
        _insert(connection, "identity.memberships (identifier_type, identifier_value, customer_id)", nodes)
        _insert(connection, "identity.merge_history", self.history)
        _insert(connection, "customer_360.orders", self.orders)
        _insert(connection, "staging.stg_events", [(0, self.as_of - timedelta(hours=2))])
        for name, members in self.members.items():
            create_table(connection, f"audiences.{name}", MEMBERS)
            connection.execute(f"delete from audiences.{name}")
            rows = [(one, "in") for one in dict.fromkeys(living.get(one, one) for one in members)]
            _insert(connection, f"audiences.{name}", rows)
        return str(build[0])

    def land(self, connection: Connection, user_id: str | None, consent: object, **given: Any) -> None:
        """An event that states a consent, as it stands in raw.events after a landing."""
        self.land_all(connection, [(user_id, given.get("anonymous_id"), consent)])

    def land_all(self, connection: Connection, stated: Iterable[tuple[str | None, str | None, object]]) -> None:
        """Many of them: user id, anonymous id, consent."""
        first = connection.rows("select coalesce(max(landed_seq), 0) + 1 from raw.events")[0][0]
        at = self.as_of + timedelta(minutes=5)
        columns = "source, message_id, landed_seq, landed_at, known_at, occurred_at, type, user_id, anonymous_id, identifiers, consent"
        rows = [
            (
                "web",
                f"m{seq}",
                seq,
                at,
                at,
                at,
                "identify",
                user_id,
                cookie,
                "[]",
                None if said is None else json.dumps(said),
            )
            for seq, (user_id, cookie, said) in enumerate(stated, first)
        ]
        _insert(connection, f"raw.events ({columns})", rows)

    def gated(self, audience: Audience, **asked: Any) -> Gated:
        """Who of the audience's members in the served build may be published now."""
        with self.platform.warehouse.open_served() as served, opened_gate(served, self.platform.state) as gate:
            return gate.members(audience, **asked)

    def passing(self, audience: Audience, **asked: Any) -> set[str]:
        """Their ids."""
        return set(self.gated(audience, **asked).members["customer_id"].to_pylist())


_IDENTIFIERS = (("user_id", "u-"), ("email", "mail-"), ("anonymous_id", "cookie-"))


def opened_shop(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop without customers, whose audiences are what it defines."""
    shop = Shop(platform)
    monkeypatch.setattr(audience_catalogue, "read_manifest", dict)
    monkeypatch.setattr(
        audience_catalogue,
        "audience_definitions",
        lambda _manifest: [shop.definitions[each] for each in sorted(shop.definitions)],
    )
    return shop


def _insert(connection: Connection, target: str, rows: list[tuple[Any, ...]]) -> None:
    """Rows into `schema.table`, or into the columns that stand behind its name."""
    table, _, given = target.partition(" ")
    names = [name.strip() for name in given.strip("()").split(",")] if given else list(TABLES.get(table, MEMBERS))
    if rows:
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        connection.append(table, pa.table(columns))
