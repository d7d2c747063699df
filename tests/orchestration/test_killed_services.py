"""`weft serve collector` and `weft serve normaliser` die at the points that WEFT_CRASH_AT names, and the next ones go on."""

import signal
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from activation.embedded_redis import EmbeddedRedis
from activation.redis_server import free_port
from ingestion.redis_log import RedisEventLog
from orchestration.resources import build_platform
from tests.ingestion.kills.ledger import CLEAN, OK, Ledger, all_normalized, all_raw
from tests.ingestion.kills.senders import Senders, until
from tests.orchestration.services import PATIENCE, Service


@pytest.mark.nightly
def test_killed_services_have_lost_and_doubled_nothing(tmp_path: Path) -> None:
    home, port, ledger = tmp_path / "weft", free_port(), Ledger()
    platform = build_platform(home=home)
    key, _ = platform.state.keys.create(source="shop", now=datetime(2026, 3, 1), scopes=("events",))

    def service(name: str, *more: str, crash_at: str = "") -> Service:
        settings = {"WEFT_CRASH_AT": f"{name}.{crash_at}", "WEFT_ALLOW_CRASHES": "1"} if crash_at else {}
        return Service(home, "serve", name, *more, **settings)

    with (
        EmbeddedRedis(platform.settings.log_folder, maxmemory_mb=64) as server,
        closing(RedisEventLog(server.url)) as log,
        service("normaliser", crash_at="before_write:3") as killed_normaliser,
        service("collector", "--port", str(port), crash_at="before_answer:40") as killed,
    ):
        killed.line("Collector")
        with Senders(ledger, port, key=key) as senders:
            assert killed.process.wait(PATIENCE) == -signal.SIGKILL, killed.said
            with service("collector", "--port", str(port)):
                senders.wait()
        assert killed_normaliser.process.wait(PATIENCE) == -signal.SIGKILL, killed_normaliser.said
        with service("normaliser"):
            until(lambda: log.state().last_normalized == log.state().last_raw, "requests are not normalised")
        assert len(all_raw(log)) > ledger.count(OK) > 40
        assert ledger.books(all_raw(log), all_normalized(log)) == CLEAN
