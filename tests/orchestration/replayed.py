"""What the replay tests share: an installation, the mend, and all that stands in raw."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.collecting import ensure_raw_tables
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.warehouse import Connection
from tests.ingestion.landings import LANDED_AT

LATER = LANDED_AT + timedelta(hours=1)


def empty_platform(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    """An empty installation on the target that the test asks for: duckdb or postgres."""
    if request.param == "duckdb":
        return Platform(load_settings(home=tmp_path / "home"))
    url = request.getfixturevalue("postgres_url")
    return Platform(load_settings(home=tmp_path / "home", target="postgres", postgres_url=url))


@contextmanager
def writer(platform: Platform) -> Iterator[Connection]:
    """A connection to its warehouse, whose raw tables are there."""
    with platform.warehouse.writer() as connection:
        ensure_raw_tables(connection)
        yield connection


def know_currency(connection: Connection, code: str = "XTS") -> None:
    """The cause is mended."""
    connection.execute("insert into raw.exchange_rates values ('2026-01-01', ?, 2)", [code])


EVENTS = (
    "select source, message_id, occurred_at, known_at, user_id, identifiers::varchar, properties::varchar from raw.events "
    "order by source, message_id"
)
BOOKS = (
    "select (select count(*) from raw.events), (select count(*) from raw.rejected_events), sum(accepted), "
    "sum(rejected + conflicts), sum(rows_read) - sum(accepted + rejected + conflicts + duplicates) from raw.landings"
)


def check_books(connection: Connection) -> None:
    """What stands is what the books say."""
    [(events, rejects, accepted, refused, rest)] = connection.rows(BOOKS)
    assert (events, rejects, rest) == (accepted, refused, 0)


def everything(connection: Connection) -> list[Any]:
    """All that a replay could change."""
    tables = ("raw.events", "raw.landings", "raw.products", "raw.privacy_requests")
    kept = "select origin, octet_length(body) from raw.rejected_requests order by origin"
    rejects = "select reject_id, reason, detail, replayed_at from raw.rejected_events order by reject_id"
    return [
        *(sorted(map(str, connection.rows(f"select * from {table}"))) for table in tables),
        connection.rows(kept),
        connection.rows(rejects),
    ]
