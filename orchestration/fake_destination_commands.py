"""`weft fake-destination …`: a vendor's stand-in on this machine, so that a whole sync can be tried without an account anywhere."""

import signal
import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from orchestration.errors import DestinationError

if TYPE_CHECKING:
    from activation.fake_destinations import Fake

console = Console(soft_wrap=True, highlight=False)


def fake_destination(
    kind: Annotated[str | None, typer.Argument(help="Whose stand-in; all of them are listed without one.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)] = 8099,
    faults: Annotated[float, typer.Option(help="Share of the requests that fail, such as 0.3.", min=0, max=1)] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same faults.")] = 7,
) -> None:
    """Be a vendor that keeps its rules, until Ctrl-C: a line for every request that is carried out; GET /_state shows what it holds."""
    from activation.fake_destinations import FAKES
    from activation.fake_destinations.faults import fail_at_random

    if kind is None:
        table = Table("kind", "insists on", box=None)
        for name, each in sorted(FAKES.items()):
            table.add_row(name, each.teaches)
        console.print(table)
        return
    if kind not in FAKES:
        raise DestinationError(f"There is no stand-in for '{kind}'; choose one of {', '.join(sorted(FAKES))}.")
    vendor = FAKES[kind].make(_WallClock())
    vendor.tell = lambda line: console.print(line, markup=False)
    if faults:
        fail_at_random(vendor, faults, seed)
    stopped = threading.Event()
    for told in (signal.SIGINT, signal.SIGTERM):
        # also where a shell started us in the background with SIGINT ignored
        signal.signal(told, lambda *_: stopped.set())
    try:
        with vendor.serving(port) as url:
            _introduce(kind, FAKES[kind], url)
            stopped.wait()
    except OSError:
        raise DestinationError(f"Port {port} is taken; choose another with --port, or 0 for a free one.") from None
    console.print("Stopped.")


class _WallClock:
    def now(self) -> float:
        """Now."""
        return time.time()


def _introduce(kind: str, fake: "Fake", url: str) -> None:
    console.print(f"A stand-in for {kind} listens on {url}; what it holds: {url}/_state", markup=False)
    console.print("In destinations.yml of WEFT_HOME:\n", markup=False)
    console.print(fake.example.replace("{kind}", kind).replace("{url}", url), markup=False)
    console.print("In the environment, or in .env:\n", markup=False)
    for name, value in fake.variables.items():
        console.print(f"{name}={value.replace('{url}', url)}", markup=False)
    console.print()
