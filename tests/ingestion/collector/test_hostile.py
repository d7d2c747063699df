"""Ten thousand hostile requests over sockets: no mistake of ours, bounded memory, nothing personal in an answer or a log line."""

import asyncio
import json
import random
import re
from collections import Counter
from pathlib import Path

import httpx

from tests.ingestion.collector.hostile_requests import CANARIES, ID, Hostile, giants, hostile
from tests.ingestion.collector.senders import KEY, SECRET, UPLOAD_KEY
from tests.ingestion.collector.test_connections import RULES, serving

REQUESTS = 10_000
CONNECTIONS = 16
PATIENCE = 20.0
SECRETS = tuple(secret.encode() for secret in (*CANARIES, KEY, UPLOAD_KEY, SECRET))
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def ten_thousand() -> list[Hostile]:
    """Requests that differ from each other, the large ones among them."""
    chance = random.Random(20_260_101)
    made = {each.sent: each for each in giants()}
    while len(made) < REQUESTS:
        each = hostile(chance)
        made[each.sent] = each
    shuffled = list(made.values())
    chance.shuffle(shuffled)
    return shuffled


class Sender:
    """One connection after the other; every answer is looked at."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.statuses: Counter[int] = Counter()

    async def send(self, requests: list[Hostile]) -> None:
        """Send requests, on the same connection as long as it is kept open."""
        reader: asyncio.StreamReader | None = None
        for request in requests:
            if reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(request.sent)
            try:
                async with asyncio.timeout(PATIENCE):
                    is_open = await self._answered(reader, request)
            except TimeoutError:
                raise AssertionError(f"no answer to {request.sent[:300]!r}") from None
            if not is_open:
                writer.close()
                reader = None
        if reader is not None:
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, request: Hostile) -> bool:
        """Read one answer; whether the connection can be used on."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 100"):
                head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            has_body = request.method != "HEAD" and length is not None
            content = await reader.readexactly(int(length[1])) if has_body and length else b""
        except ConnectionError:
            assert not request.is_framed, "a reset instead of an answer"
            return False
        status = STATUS.match(head)
        assert status, head
        self.statuses[int(status[1])] += 1
        assert int(status[1]) < 500, (request.sent[:300], head, content)
        assert b"x-injected" not in head
        assert not [secret for secret in SECRETS if secret in head + content], (request.sent[:300], head, content)
        return request.is_framed and b"connection: close" not in head


def test_ten_thousand_hostile_requests(tmp_path: Path) -> None:
    requests = ten_thousand()
    assert len({request.sent for request in requests}) == REQUESTS
    with serving(tmp_path, rules=RULES | {"receive_seconds": 10.0}, uploads=tmp_path / "uploads") as served:
        senders = [Sender(served.port) for _ in range(CONNECTIONS)]

        async def all_of_them() -> None:
            shares = [requests[number::CONNECTIONS] for number in range(CONNECTIONS)]
            await asyncio.gather(*(sender.send(share) for sender, share in zip(senders, shares, strict=True)))

        before = served.memory_bytes()
        asyncio.run(all_of_them())
        grown = served.memory_bytes() - before
        described = set(httpx.get(f"http://127.0.0.1:{served.port}/openapi.json").json()["paths"])
    statuses = sum((sender.statuses for sender in senders), Counter())
    assert statuses[200] > 500 < statuses[400], "both what is taken and what is refused"
    assert {401, 404, 405, 409, 413, 415, 431} <= set(statuses)
    assert grown < 40_000_000
    check_lines(served.log, described)
    check_files(tmp_path)


def check_files(folder: Path) -> None:
    """Uploads lie where they belong, under names that hold nothing of what the sender called them but letters."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    names = re.compile(
        rf"collector\.log|uploads/spool/(\.[a-z]+|\.?[0-9a-f]{{32}}\.[a-z.]+)|uploads/inbox/segment/upload-{ID}-[\w.-]+"
    )
    assert not [file for file in files if not names.fullmatch(file)]


def check_lines(log: Path, described: set[str]) -> None:
    """Every line of the log is one of ours, in JSON where it is of the access log, and shows nothing of a request; every route is named."""
    routes: Counter[str] = Counter()
    content = log.read_bytes()
    assert not [secret for secret in SECRETS if secret in content]
    for line in content.decode("ascii").splitlines():
        level, name, message = line.split(":", 2)
        assert level == "INFO", line
        if name == "weft.collector.access":
            shown = json.loads(message)
            assert set(shown) <= {"request", "route", "status", "ms", "refused"}
            routes[shown["route"]] += 1
    assert set(routes) >= described | {"other"}
