"""What the collector is held against, each a process of its own: `python -m bench.collector_routes NAME LOG_URL` prints its port.

Both take Segment's batch at /v1/batch, on uvicorn with uvloop and httptools, and put it into the stream `events.raw` before they answer.
"""

import socket
import sys
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import redis.asyncio
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ingestion.log_entries import RAW

ROUTE = "/v1/batch"
_MOST_CONNECTIONS = 256
_CALLS = Literal["track", "identify", "page", "screen", "group", "alias"]


class Call(BaseModel):
    """A call as FastAPI checks it."""

    type: _CALLS
    messageId: str
    event: str | None = None
    timestamp: str | None = None
    anonymousId: str | None = None
    userId: str | None = None
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}


class Calls(BaseModel):
    """A batch of them."""

    batch: list[Call]


def fastapi(log_url: str) -> None:
    """The obvious route: pydantic models in, one XADD for each event, in one pipeline a request."""
    app, log = FastAPI(), _client(log_url)

    @app.post(ROUTE)
    async def take(calls: Calls) -> dict[str, bool]:
        pipeline = log.pipeline(transaction=False)
        for call in calls.batch:
            pipeline.execute_command("XADD", RAW, "*", "d", call.model_dump_json().encode())
        await pipeline.execute()
        return {"success": True}

    _run(app)


class RawCall(msgspec.Struct, gc=False):
    """A call as the bare route checks it; what is inside is not looked at."""

    type: _CALLS
    messageId: str
    event: str | None = None
    timestamp: str | None = None
    anonymousId: str | None = None
    userId: str | None = None
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    context: msgspec.Raw = msgspec.Raw(b"{}")


class RawCalls(msgspec.Struct, gc=False):
    """A batch of them."""

    batch: list[msgspec.Raw]


def starlette(log_url: str) -> None:
    """Bare Starlette: msgspec looks at every event, one XADD for the request as received; no keys, no limits, no counts."""
    log, batch, call = _client(log_url), msgspec.json.Decoder(RawCalls).decode, msgspec.json.Decoder(RawCall).decode

    async def take(request: Request) -> Response:
        body = await request.body()
        for each in batch(body).batch:
            call(each)
        await log.execute_command("XADD", RAW, "*", "b", body)
        return Response(b'{"success":true}', media_type="application/json")

    _run(Starlette(routes=[Route(ROUTE, take, methods=["POST"])]))


CONTENDERS: dict[str, Callable[[str], None]] = {"fastapi": fastapi, "starlette": starlette}


def _client(log_url: str) -> "redis.asyncio.Redis":
    return redis.asyncio.Redis.from_url(log_url, max_connections=_MOST_CONNECTIONS)


def _run(app: ASGIApp) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=2_048)
    print(listening.getsockname()[1], "no-key", flush=True)
    config = uvicorn.Config(app, log_level="critical", access_log=False, loop="uvloop", http="httptools")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    CONTENDERS[sys.argv[1]](sys.argv[2])
