"""`weft up`: all services of a platform as child processes, stopped together."""

import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from activation.embedded_redis import EmbeddedRedis
from activation.redis_keeper import kept_running
from ingestion.demo_shop import catalogue_file
from orchestration.children import Children, alone_on
from orchestration.errors import ServiceError
from orchestration.event_log import log_address
from orchestration.ports import refuse_taken_port
from orchestration.resources import Platform
from orchestration.schedules import schedules
from orchestration.serving import LOOPBACK, refuse_unsafe_log
from orchestration.settings import PROJECT_ROOT, Settings, export_for_tools
from orchestration.shop_key import is_revoked, key_file, shop_key
from orchestration.webhooks import check_webhook

READY_SECONDS = 120
TITLES = {"api": "API"}
FIRST_WAVE, SECOND_WAVE, LAST_WAVE = 1, 2, 3
"""The order of stopping: who takes events, who works on them, and the stores; the log's own Redis goes with its last user."""


@dataclass(frozen=True)
class Service:
    """One child: its command, and where it answers once it is ready (`port` and `path`), if it does."""

    name: str
    command: Sequence[str | Path]
    wave: int
    port: int | None = None
    path: str = "/"
    port_setting: str = ""

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.port}"


def run_services(platform: Platform, console: Console) -> None:
    """Start all services, print one line per address, and wait for Ctrl-C or SIGTERM. Raises ServiceError with one sentence."""
    settings = platform.settings
    schedules(settings)  # a cron that cannot be used is told here, not in a log
    if settings.alert_webhook:
        check_webhook(settings.alert_webhook.get_secret_value(), allow_private=settings.allow_private_webhooks)
    export_for_tools(settings)
    for stop in (signal.SIGINT, signal.SIGTERM):
        # also where a shell started us in the background with SIGINT ignored: the services would inherit that
        signal.signal(stop, _interrupt)

    def say(sentence: str) -> None:
        console.print(sentence, highlight=False, markup=False)

    with ExitStack() as stack:
        lock = stack.enter_context(alone_on(settings.home, say))
        services = list(_services(settings))
        for service in services:
            if service.port is not None:
                refuse_taken_port(LOOPBACK, service.port, service.port_setting)
        log_url = stack.enter_context(log_address(settings))
        assert log_url is not None
        refuse_unsafe_log(log_url)
        redis = None if settings.redis_url else EmbeddedRedis(settings.home / "redis", settings.redis_port)
        if redis is not None:
            stack.enter_context(redis)
            stack.enter_context(kept_running(redis))
        if settings.shop_port:
            _open_shop(platform, say)
        children = stack.enter_context(Children(settings.home / "logs", lock, say))
        if redis is not None and redis.was_started_here:
            children.guard(redis.pid, wave=LAST_WAVE)
        try:
            for service in services:
                children.start(service.name, service.command, wave=service.wave)
            say(f"Event log  {'your WEFT_LOG_URL' if settings.log_url else log_url}")
            say(f"Redis      {'your REDIS_URL' if redis is None else redis.url}")
            for service in services:
                if service.port is not None:
                    _wait_ready(service, children)
                    say(f"{TITLES.get(service.name, service.name.capitalize()):<10} {service.address}")
            say(f"Logs       {settings.home / 'logs'}\nCtrl-C stops all of it.")
            children.watch()
        except KeyboardInterrupt:
            say("Stopping.")


def _services(settings: Settings) -> Iterator[Service]:
    """What is started, in this order."""
    bin_folder = Path(sys.executable).parent
    serve: list[str | Path] = [bin_folder / "weft", "serve"]
    workspace = ["-w", str(PROJECT_ROOT / "workspace.yaml")]
    dagster_port = ["-h", LOOPBACK, "-p", str(settings.dagster_port)]
    yield Service(
        "collector", [*serve, "collector"], FIRST_WAVE, settings.collector_port, "/health", "WEFT_COLLECTOR_PORT"
    )
    yield Service("api", [*serve, "api"], FIRST_WAVE, settings.api_port, "/health", "WEFT_API_PORT")
    yield Service("normaliser", [*serve, "normaliser"], SECOND_WAVE)
    if settings.shop_port:
        yield Service("shop", [*serve, "shop"], FIRST_WAVE, settings.shop_port, "/", "WEFT_SHOP_PORT")
    webserver: list[str | Path] = [bin_folder / "dagster-webserver", *workspace, *dagster_port]
    yield Service("dagster", webserver, SECOND_WAVE, settings.dagster_port, "/server_info", "WEFT_DAGSTER_PORT")
    yield Service("daemon", [bin_folder / "dagster-daemon", "run", *workspace], SECOND_WAVE)


def _open_shop(platform: Platform, say: Callable[[str], None]) -> None:
    """The demo shop's key, and its catalogue in the inbox: the next run lands it, so that what shoppers look at has a name and a price."""
    key = shop_key(platform)
    if is_revoked(platform, key):
        say(
            f"The demo shop's write key was revoked: nothing that it sends is taken. Remove {key_file(platform)} for a new one."
        )
    catalogue = platform.settings.inbox / "products" / "demo_shop.csv"
    content = catalogue_file().read_bytes()
    if not catalogue.exists() or catalogue.read_bytes() != content:
        catalogue.parent.mkdir(parents=True, exist_ok=True)
        waiting = catalogue.with_name(f".{catalogue.name}")  # the inbox leaves such names alone
        waiting.write_bytes(content)
        waiting.replace(catalogue)


def _wait_ready(service: Service, children: Children) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        children.require(service.name)
        children.look()  # the others may end and start meanwhile
        try:
            with urllib.request.urlopen(service.address + service.path, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise ServiceError(
        f"The {service.name} did not answer within {READY_SECONDS} s; its log is in the folder logs of WEFT_HOME."
    )


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
