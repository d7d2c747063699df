"""`weft up`: the services of a whole platform as child processes, stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from activation.embedded_redis import EmbeddedRedis
from orchestration.errors import WeftError
from orchestration.resources import Platform
from orchestration.schedules import schedules
from orchestration.settings import PROJECT_ROOT, export_for_tools
from orchestration.webhooks import check_webhook

STOP_SECONDS = 20
READY_SECONDS = 120
MAX_RESTARTS, WITHIN_SECONDS = 5, 600
"""How often a service may end by itself within this time before that is an error."""


class ServiceError(WeftError):
    """A service could not be started or ended by itself."""


def run_services(platform: Platform, console: Console) -> None:
    """Start Redis, the Dagster webserver and the daemon, print one line per address, and wait for Ctrl-C or SIGTERM."""
    settings = platform.settings
    _refuse_taken_port(settings.dagster_port)
    schedules(settings)  # a cron that cannot be used is told here, not in a log
    if settings.alert_webhook:
        check_webhook(settings.alert_webhook.get_secret_value(), allow_private=settings.allow_private_webhooks)
    export_for_tools(settings)
    for stop in (signal.SIGINT, signal.SIGTERM):
        # also where a shell started us in the background with SIGINT ignored: the services would inherit that
        signal.signal(stop, _interrupt)
    workspace = ["-w", str(PROJECT_ROOT / "workspace.yaml")]
    with ExitStack() as stack:
        if settings.redis_url:
            redis_address = "your REDIS_URL"
        else:
            redis_address = stack.enter_context(EmbeddedRedis(settings.home / "redis", settings.redis_port)).url
        children = {
            "webserver": ["dagster-webserver", *workspace, "-h", "127.0.0.1", "-p", str(settings.dagster_port)],
            "daemon": ["dagster-daemon", "run", *workspace],
        }
        logs = settings.home / "logs"
        logs.mkdir(parents=True, exist_ok=True)

        def start(name: str) -> subprocess.Popen[bytes]:
            return _start(name, children[name], stack, logs)

        processes = {name: start(name) for name in children}
        console.print(f"Redis    {redis_address}")
        address = f"http://127.0.0.1:{settings.dagster_port}"
        _wait_ready(address, processes)
        console.print(f"Dagster  {address}")
        console.print(f"Logs     {logs}\nCtrl-C stops all of it.")
        try:
            _watch(processes, start, console)
        except KeyboardInterrupt:
            console.print("Stopping.")


def _start(name: str, arguments: list[str], stack: ExitStack, logs: Path) -> subprocess.Popen[bytes]:
    log = stack.enter_context((logs / f"{name}.log").open("ab"))
    process = subprocess.Popen(
        [Path(sys.executable).with_name(arguments[0]), *arguments[1:]],
        cwd=PROJECT_ROOT,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the service's whole process group to end, its runs included, and end it where it does not.

    Also where the service itself is gone: a killed daemon leaves its code server and its runs behind.
    """
    deadline = time.monotonic() + STOP_SECONDS
    stop = signal.SIGINT
    while True:
        try:
            os.killpg(process.pid, stop)
        except ProcessLookupError:
            return
        stop = signal.SIGKILL
        while time.monotonic() < deadline and _has_members(process):
            time.sleep(0.1)


def _has_members(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # an ended child that nobody asked for stays a member of its group
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _watch(
    processes: dict[str, subprocess.Popen[bytes]],
    start: Callable[[str], subprocess.Popen[bytes]],
    console: Console,
) -> None:
    """Return never; start a service again that ends by itself, and raise where it keeps ending."""
    ends: dict[str, list[float]] = {name: [] for name in processes}
    while True:
        for name, process in list(processes.items()):
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                continue
            ends[name] = [at for at in ends[name] if time.monotonic() - at < WITHIN_SECONDS] + [time.monotonic()]
            said = f"The {name} ended with code {process.returncode}"
            if len(ends[name]) > MAX_RESTARTS:
                raise ServiceError(f"{said}, again and again; its log is in the folder logs of WEFT_HOME.")
            console.print(f"{said}; it is started again.")
            processes[name] = start(name)


def _wait_ready(address: str, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        for name, process in processes.items():
            if process.poll() is not None:
                raise ServiceError(f"The {name} did not start; its log is in the folder logs of WEFT_HOME.")
        try:
            with urllib.request.urlopen(f"{address}/server_info", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise ServiceError(
        f"The webserver did not answer within {READY_SECONDS} s; its log is in the folder logs of WEFT_HOME."
    )


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ServiceError(f"Port {port} is taken by another program; set WEFT_DAGSTER_PORT to a free one.")


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
