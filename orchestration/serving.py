"""The services beside Dagster, each a process: collector, normaliser, demo shop. SIGTERM and Ctrl-C end each within ten seconds."""

import asyncio
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import uvicorn

from ingestion import normaliser
from ingestion.collector.app import create_app
from ingestion.collector.serving import serve
from ingestion.collector.settings import CollectorSettings
from ingestion.demo_shop import create_shop
from ingestion.event_log import LogError, UnsafeLogError
from ingestion.redis_log import RedisEventLog
from ingestion.redis_log_writer import RedisLogWriter
from orchestration.api_keys import ApiKey
from orchestration.errors import ServiceError
from orchestration.event_log import log_address
from orchestration.failpoints import failpoints
from orchestration.key_ring import StateKeys
from orchestration.ports import refuse_taken_port
from orchestration.resources import Platform
from orchestration.uploads import collector_uploads

LOOPBACK = "127.0.0.1"
KEY_CACHE_SECONDS = 1.0
METRICS_PATIENCE_SECONDS = 1.0
ROUND_SECONDS = 5.0
"""What a round of the normaliser may take once it is told to stop; cut off, it is done again by the next."""
SHOP_DRAIN_SECONDS = 5

_LOG = logging.getLogger("weft.serving")


def collector_settings(platform: Platform) -> CollectorSettings:
    """What the collector of this installation goes by. Keys are read when the first request shows one."""
    settings = platform.settings

    def live_keys() -> dict[str, ApiKey]:
        return platform.state.keys.live()  # the state's tables may have to be made first: not before a thread asks

    return CollectorSettings(
        keys=StateKeys(live_keys),
        key_cache_seconds=KEY_CACHE_SECONDS,
        webhook_secrets=settings.secrets_by_source,
        trusted_proxies=settings.proxies,
        uploads=collector_uploads(platform),
        snowplow_source=settings.snowplow_source.strip() or None,
        on_step=failpoints("collector"),
    )


def run_collector(
    platform: Platform, *, host: str = LOOPBACK, port: int, on_started: Callable[[int], None] | None = None
) -> None:
    """Take events until the process is told to end, which it then does by that very signal. `on_started` is told the open port.

    Raises ServiceError with one sentence where it cannot begin: the port is taken, or the log could lose what it takes.
    """
    say_on_stderr()
    refuse_taken_port(host, port, "WEFT_COLLECTOR_PORT or --port")
    settings = collector_settings(platform)
    with ExitStack() as stack:
        close_at_the_end(stack)
        url = stack.enter_context(_safe_log(platform))
        reader = RedisEventLog(url, patience_seconds=METRICS_PATIENCE_SECONDS)
        app = create_app(replace(settings, log_reader=reader), RedisLogWriter(url))
        serve(
            app,
            settings.connections,
            host=host,
            port=port,
            on_started=on_started or _nobody_told,
            on_cut=app.state.context.metrics.cut,
        )


def run_normaliser(platform: Platform, on_started: Callable[[], None] = lambda: None) -> None:
    """Normalise until SIGTERM or SIGINT; a round that was begun is finished. Raises ServiceError where the log is unsafe."""
    say_on_stderr()
    ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, lambda *_: ends.put(None))
    stop = threading.Event()
    with _safe_log(platform) as url:
        log = RedisEventLog(url)

        def work() -> None:
            try:
                normaliser.run(log, stop, failpoints("normaliser"))
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                ends.put(error)

        # in a thread: a signal's handler may not touch a lock that the main thread is waiting on
        working = threading.Thread(target=work, name="normaliser", daemon=True)
        working.start()
        on_started()
        error = ends.get()
        stop.set()
        working.join(ROUND_SECONDS)
        if error is not None:
            raise error
        if not working.is_alive():
            log.close()
    if working.is_alive():
        _LOG.warning("The event log did not answer in time; what was under way is done again by the next normaliser.")
        sys.stdout.flush()
        os._exit(0)  # the interpreter's own end would wait for the thread, or complain of it


def run_shop(
    *,
    collector_url: str,
    write_key: str,
    host: str = LOOPBACK,
    port: int,
    on_started: Callable[[int], None] | None = None,
) -> None:
    """Show the demo shop, whose pages send to the collector, until SIGTERM or SIGINT. Raises ServiceError where the port is taken."""
    say_on_stderr()
    refuse_taken_port(host, port, "WEFT_SHOP_PORT or --port")
    server = uvicorn.Server(
        uvicorn.Config(
            create_shop(collector_url, write_key),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=SHOP_DRAIN_SECONDS,
        )
    )

    async def show() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started and on_started:
            on_started(server.servers[0].sockets[0].getsockname()[1])
        await serving

    asyncio.run(show())


def refuse_unsafe_log(url: str) -> None:
    """Raises ServiceError where the log's Redis is set so that it could lose what was acknowledged. One that is away is waited for."""

    async def look() -> None:
        log = RedisLogWriter(url)
        try:
            await log.check()
        finally:
            await log.close()

    try:
        asyncio.run(look())
    except UnsafeLogError as error:
        raise ServiceError(str(error)) from None
    except LogError as error:
        _LOG.warning("%s Until then senders are asked to wait.", error)


@contextmanager
def _safe_log(platform: Platform) -> Iterator[str]:
    with log_address(platform.settings) as url:
        assert url is not None
        refuse_unsafe_log(url)
        yield url


def close_at_the_end(stack: ExitStack) -> None:
    """Leave the stack's blocks before a signal ends this process: uvicorn drains, and then sends itself the signal that it was sent."""

    def end(told: int, _frame: object) -> None:
        stack.close()
        sys.stdout.flush()
        signal.signal(told, signal.SIG_DFL)
        os.kill(os.getpid(), told)

    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, end)


def say_on_stderr() -> None:
    """Logs of a service: warnings, and what Weft itself says."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("weft").setLevel(logging.INFO)


def _nobody_told(_port: int) -> None:
    """Nobody wants to know."""
