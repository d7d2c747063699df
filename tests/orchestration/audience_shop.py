"""An installation whose builds hold audiences and profiles and nothing else, written straight into its warehouse; its sensor is
evaluated in process, and its runs are started, or killed, by the test."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pyarrow as pa
import redis

from activation import EmbeddedRedis, Reader
from orchestration.collecting import ensure_raw_tables
from orchestration.confirming import confirm_unchanged
from orchestration.consent_purposes import PURPOSES
from orchestration.publishing import publish
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.warehouse import create_table, write_table
from tests.orchestration.gated_shop import TABLES

STARTED_AT = datetime(2026, 3, 1, 12)
CLOCKS = ("version_records", "publishing", "sightings", "confirming", "audience_sensor")
META = {"owner": "test", "consent_purpose": "personalisation", "destinations": ["redis"], "guards": {}}
TEXT = "varchar"


class KilledError(BaseException):
    """Stands for SIGKILL inside this process: nothing of Weft catches it."""


@dataclass
class Shop:
    """One installation, its clock, and what its audiences are at present: members by audience."""

    platform: Platform
    server: EmbeddedRedis
    instance: dg.DagsterInstance
    manifest: Path
    now: datetime = STARTED_AT
    built_at: datetime = STARTED_AT
    members: dict[str, set[str]] = field(default_factory=dict)
    meta: dict[str, dict[str, Any]] = field(default_factory=dict)
    customers: dict[str, int] = field(default_factory=dict)
    builds: int = 0
    known_at: datetime = STARTED_AT
    """When the newest event came."""
    cursor: str | None = None
    runs: dict[str, dg.RunRequest] = field(default_factory=dict)
    """Runs that Dagster made, by run key: it makes none for a key that it knows."""
    going_on: dict[str, None] = field(default_factory=dict)

    def define(self, **meta: dict[str, Any]) -> None:
        """The audiences that are defined, with what their YAML says beyond the usual."""
        self.meta = meta
        nodes = {
            name: {
                "resource_type": "model",
                "name": name,
                "description": name,
                "checksum": {"checksum": f"definition of {name}"},
                "columns": {"customer_id": {}, "entered_because": {}},
                "meta": {"audience": META | more},
            }
            for name, more in meta.items()
        }
        self.manifest.write_text(json.dumps({"nodes": nodes}), encoding="utf-8")

    def build(self, **changes: set[str]) -> datetime:
        """A whole build with these audiences changed; its instant."""
        self.members |= changes
        self.builds += 1
        self.now += timedelta(minutes=1)
        self.built_at = self.now
        write_build(
            self.platform, f"build-{self.builds}", self.now, self.members, self.customers, known_at=self.known_at
        )
        return self.now

    def later(self, **time: int) -> None:
        """Let time pass."""
        self.now += timedelta(**time)

    def look(self) -> dg.SensorResult:
        """What the sensor asks for; as if its process died right after, until `keep` is called."""
        from orchestration.audience_sensor import audience_changed

        with (
            dg.build_sensor_context(
                instance=self.instance, cursor=self.cursor, resources={"platform": self.platform}
            ) as context,
            patch("orchestration.audience_sensor.runs_going_on", self._confirming),
            patch("orchestration.audience_sensor.goes_on", self._goes_on),
        ):
            result = audience_changed(context)
        return result if isinstance(result, dg.SensorResult) else dg.SensorResult(cursor=self.cursor)

    def keep(self, result: dg.SensorResult, *, launched: int | None = None, with_cursor: bool = True) -> list[str]:
        """What Dagster does with a tick: make the runs, then save the cursor. `launched`: killed after so many runs."""
        fresh = [each for each in result.run_requests or [] if each.run_key not in self.runs][:launched]
        for each in fresh:
            assert each.run_key is not None
            self.runs[each.run_key] = each
            self.going_on[each.run_key] = None
        if launched is None and with_cursor:
            self.cursor = result.cursor
        return [str(each.run_key) for each in fresh]

    def tick(self) -> list[str]:
        """A whole tick; the keys of the runs it started."""
        return self.keep(self.look())

    def run(self, key: str, *, killed_at: str | None = None) -> str:
        """Do a run's work, up to the step at which it is killed; how it ended."""
        request, platform = self.runs[key], self.platform
        try:
            if key.startswith("confirm:"):
                with redis.Redis.from_url(self.server.url) as client:
                    if killed_at == "begin":
                        raise KilledError
                    told = confirm_unchanged(client, platform.state, platform.warehouse)
                return f"confirmed {', '.join(told.confirmed)}"
            [config] = (op["config"] for op in request.run_config["ops"].values())
            version = platform.state.version(request.tags["weft/audience"], config["version"])
            assert version is not None

            def reached(step: str) -> None:
                if step == killed_at:
                    raise KilledError

            with patch("orchestration.publishing.failpoints", lambda _work: reached):
                reached("begin")
                return publish(
                    platform.settings, platform.warehouse, platform.state, version, attempt=config["attempt"]
                ).status
        except KilledError:
            return "killed"
        finally:
            self.going_on.pop(key, None)

    def settle(self, ticks: int = 12) -> None:
        """Ticks and runs, with time between, until nothing is asked for."""
        for _ in range(ticks):
            self.tick()
            keys = list(self.going_on)
            for key in keys:
                self.run(key)
            self.later(seconds=61)
            if not keys and not self.platform.state.versions_without("published", "superseded", "held"):
                return
        raise AssertionError("something is asked for again and again")

    def published(self) -> dict[str, set[str]]:
        """What readers see: members by audience."""
        with self.server.client() as client:
            reader = Reader(client)
            return {name: set(reader.members(name)) for name in reader.audience_names()}

    def as_of(self, name: str) -> datetime:
        """The instant that readers are told of."""
        with self.server.client() as client:
            found = Reader(client).audience(name, now=self.now)
        assert found.age is not None
        return self.now - found.age

    def _confirming(self, _instance: object, _jobs: object) -> list[str]:
        return [key for key in self.going_on if key.startswith("confirm:")]

    def _goes_on(self, _instance: object, tags: Mapping[str, str]) -> bool | None:
        found = [key for key, request in self.runs.items() if tags.items() <= request.tags.items()]
        return found[-1] in self.going_on if found else None


def write_build(
    platform: Platform,
    build_id: str,
    at: datetime,
    members: Mapping[str, Iterable[str]],
    customers: Mapping[str, int],
    *,
    known_at: datetime = STARTED_AT,
    others: int = 0,
) -> None:
    """A whole build of these audiences and customers (number of orders by id), as of `at`, when it is completed as well, and so many
    `others` without a profile. Everybody consents to everything."""
    with platform.warehouse.writer() as connection, connection.transaction():
        ensure_raw_tables(connection)
        for table, columns in TABLES.items():
            if table != "audiences.profiles":
                create_table(connection, table, columns)
        for name, ids in members.items():
            rows = [(each, "a reason") for each in sorted(ids)]
            _write(connection, f"audiences.{name}", ("customer_id", "entered_because"), rows)
        fields = [(name, str(orders)) for name, orders in sorted(customers.items())]
        _write(connection, "audiences.profiles", ("customer_id", "orders"), fields)
        nodes = [("email", f"{name}@shop.example", name) for name, _ in fields]
        _write(connection, "identity.nodes", ("identifier_type", "identifier_value", "customer_id"), nodes)
        people = [*sorted({*customers, *(each for ids in members.values() for each in ids)}), *map(str, range(others))]
        consents = {f"has_consent_{each}": pa.array([True] * len(people)) for each in PURPOSES}
        table = pa.table({"customer_id": pa.array(people, pa.string()), **consents})
        write_table(connection, "customer_360.customers", table, TABLES["customer_360.customers"])
        connection.execute("insert into staging.stg_events (landed_seq, known_at) values (1, ?)", [known_at])
        connection.execute("delete from control.current_run")
        connection.execute("insert into control.current_run (as_of) values (?)", [at])
        connection.execute(
            "insert into control.builds (build_id, as_of, completed_at) values (?, ?, ?)", [build_id, at, at]
        )


def _write(connection: Any, table: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    values = {name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(columns)}
    write_table(connection, table, pa.table(values), dict.fromkeys(columns, TEXT))


@contextmanager
def shop_at(home: Path, server: EmbeddedRedis, instance: dg.DagsterInstance) -> Iterator[Shop]:
    """An empty installation at `home` that publishes to `server`."""
    home.mkdir(parents=True, exist_ok=True)
    shop = Shop(Platform(load_settings(home=home, REDIS_URL=server.url)), server, instance, home / "manifest.json")
    clocks = [patch(f"orchestration.{module}.utc_now", lambda: shop.now) for module in CLOCKS]
    with patch("orchestration.transform.manifest_path", lambda: shop.manifest):
        for clock in clocks:
            clock.start()
        try:
            yield shop
        finally:
            for clock in clocks:
                clock.stop()
