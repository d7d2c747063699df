"""The machine's own Chromium, driven by playwright; a collector that only remembers what it was sent; apps on free ports."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ingestion.tracker import tracker_source

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 20
"""Seconds until something that should happen counts as not happening; a busy machine is slow."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, closed afterwards; the test is skipped where the machine has none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("There is no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class _Announcing(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """An app on a free port of this machine until the block ends; yields its address."""
    server = _Announcing(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.listening.wait(PATIENCE), "The server does not listen."
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Sent:
    """One batch that a browser sent: when (monotonic seconds), where to, and what."""

    at: float
    path: str
    query: str
    content_type: str
    body: dict[str, Any]

    @property
    def message_ids(self) -> list[str]:
        """The message ids of its events, in order."""
        return [event["messageId"] for event in self.body["batch"]]


@dataclass
class Recorder:
    """A collector that remembers, serves the tracker, and gives `answers` (status, headers) first, then 200."""

    sent: list[Sent] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    preflights: int = 0
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Events received, each message id once, in the order in which they came."""
        by_id = {event["messageId"]: event for sent in list(self.sent) for event in sent.body["batch"]}
        return list(by_id.values())

    @property
    def names(self) -> list[str]:
        """What the events are called: the name of a track, the type of the others."""
        return [event.get("event") or event["type"] for event in self.events]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was received fulfils a condition."""
        with self._arrived:
            assert self._arrived.wait_for(condition, PATIENCE), f"Only {self.names} came."

    def app(self) -> Starlette:
        """What a browser talks to."""

        async def take(request: Request) -> Response:
            cross_origin = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
            if request.method != "POST":
                self.preflights += 1
                return Response(headers=cross_origin)
            body = json.loads(await request.body())
            with self._arrived:
                status, headers = self.answers.pop(0) if self.answers else (200, {})
                url, content_type = request.url, request.headers["content-type"]
                self.sent.append(Sent(time.monotonic(), url.path, url.query, content_type, body))
                self._arrived.notify_all()
            return Response(status_code=status, headers=cross_origin | headers)

        async def tracker(_: Request) -> Response:
            return Response(tracker_source(), media_type="text/javascript")

        take_any = Route("/{path:path}", take, methods=["POST", "OPTIONS"])
        return Starlette(routes=[Route("/weft.js", tracker), take_any])


def blank_pages(head: str) -> Starlette:
    """A site whose pages are all the same and empty, with this in their head."""

    async def show(_: Request) -> Response:
        return HTMLResponse(f"<!doctype html><html><head><title>Shop</title>{head}</head><body></body></html>")

    return Starlette(routes=[Route("/{path:path}", show)])
