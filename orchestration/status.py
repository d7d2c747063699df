"""What `weft status` tells: what is where, how old and how big. Reads the served build, operator state and the sizes of files; it waits
for nobody who writes, starts nothing, and names no person."""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from activation.embedded_redis import EmbeddedRedis
from orchestration.build_status import BuildStatus, read_build
from orchestration.clock import PINNED_CLOCK
from orchestration.collecting import inbox_problems
from orchestration.crm_cursors import LastPull
from orchestration.errors import NothingServedError
from orchestration.guards import held_version
from orchestration.log_status import LogStatus, read_log_status
from orchestration.publishing import HELD, PUBLISHED, SUPERSEDED
from orchestration.registering import gate_problems
from orchestration.resources import Platform
from orchestration.runs import LastRun, last_runs
from orchestration.settings import Settings
from orchestration.state import State, utc_now
from orchestration.stuck_publications import stuck_publications

REDIS_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class AudienceStatus:
    """The newest registered version of an audience (or of the profiles); pending until readers have it; `held`: which guard keeps it."""

    audience: str
    version: int
    members: int
    as_of: datetime
    published_at: datetime | None
    is_pending: bool
    held: str | None = None


@dataclass(frozen=True)
class RedisStatus:
    """The online store; sizes are null where it does not answer."""

    address: str
    is_reachable: bool
    memory_bytes: int | None = None
    keys: int | None = None


@dataclass(frozen=True)
class Status:
    """One installation at one instant (naive UTC); `served` is null where no whole build can be read yet, `log` where nothing was ever
    collected. `write_keys` counts those that were not revoked."""

    checked_at: datetime
    home: str
    target: str
    pinned_as_of: str | None
    is_being_written: bool
    bytes_by_part: dict[str, int]
    free_bytes: int
    inbox_problems: dict[str, str]
    served: BuildStatus | None
    audiences: list[AudienceStatus]
    redis: RedisStatus
    log: LogStatus | None
    write_keys: int
    last_runs: list[LastRun]
    crm_pulls: list[LastPull]
    gate_problems: dict[str, str]
    stuck_publications: dict[str, str]

    @property
    def is_empty(self) -> bool:
        """Nothing has landed, been built, collected or put into the inbox."""
        return (
            self.served is None
            and self.log is None
            and not self.bytes_by_part["warehouse"]
            and not self.bytes_by_part["inbox"]
        )


def read_status(platform: Platform) -> Status:
    """How the installation stands now."""
    settings, state, warehouse = platform.settings, platform.state, platform.warehouse
    try:
        with warehouse.open_served() as served:
            build = read_build(served)
    except NothingServedError:
        build = None
    now = utc_now()
    return Status(
        checked_at=now,
        home=str(settings.home),
        target=warehouse.dialect,
        pinned_as_of=state.setting(PINNED_CLOCK),
        is_being_written=warehouse.is_being_written(),
        bytes_by_part={"warehouse": warehouse.size_bytes() or 0, **_sizes(settings)},
        free_bytes=shutil.disk_usage(settings.home).free,
        inbox_problems=inbox_problems(state),
        served=build,
        audiences=_audiences(state),
        redis=_redis(settings),
        log=read_log_status(platform, now),
        write_keys=len(state.keys.live()),
        last_runs=last_runs(settings),
        crm_pulls=list(state.crm.last_pulls().values()),
        gate_problems=gate_problems(state),
        stuck_publications=stuck_publications(state, now),
    )


def status_json(status: Status) -> str:
    """The status as one JSON object, instants and dates in ISO 8601."""
    return json.dumps(asdict(status), default=lambda instant: instant.isoformat(), indent=2)


def _audiences(state: State) -> list[AudienceStatus]:
    pending = {
        (version.audience, version.version) for version, *_ in state.versions_without(PUBLISHED, SUPERSEDED, HELD)
    }
    statuses = []
    for newest in state.newest_versions():
        last = state.last_publication(newest.audience, newest.version)
        published_at = last[2] if last and last[1] == PUBLISHED else None
        is_pending = (newest.audience, newest.version) in pending
        statuses.append(
            AudienceStatus(
                newest.audience,
                newest.version,
                newest.member_count,
                newest.as_of,
                published_at,
                is_pending,
                held.sentence if (held := held_version(state, newest.audience)) else None,
            )
        )
    return statuses


def _redis(settings: Settings) -> RedisStatus:
    """Asks once and starts nothing."""
    address, url = "REDIS_URL", settings.redis_url
    if not url:
        folder = settings.home / "redis"
        port = EmbeddedRedis(folder).running_port() if folder.exists() else None
        if port is None:
            return RedisStatus("embedded", is_reachable=False)
        address, url = f"embedded, 127.0.0.1:{port}", f"redis://127.0.0.1:{port}/0"
    patience = {"socket_timeout": REDIS_PATIENCE_SECONDS, "socket_connect_timeout": REDIS_PATIENCE_SECONDS}
    try:
        with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **patience) as client:
            return RedisStatus(address, True, client.info("memory")["used_memory"], client.dbsize())
    except (redis.RedisError, ValueError):
        return RedisStatus(address, is_reachable=False)


def _sizes(settings: Settings) -> dict[str, int]:
    """Bytes of the parts of WEFT_HOME."""
    folders = {
        "served": settings.served,
        "models": settings.models,
        "dagster": settings.dagster_home,
        "inbox": settings.inbox,
        "redis": settings.home / "redis",
        "log": settings.log_folder,
    }
    return {part: _folder_bytes(folder) for part, folder in folders.items() if isinstance(folder, Path)}


def _folder_bytes(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # files come and go while they are counted
                total += Path(root, name).lstat().st_size
    return total
