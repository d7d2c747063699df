"""Uploads of files: send one, look at how a mapping reads it, confirm it. A key with the scope `upload` sees its own source's only."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector.answers import JsonAnswer, Refusal
from ingestion.collector.connections import RECEIVE_SECONDS
from ingestion.collector.context import CollectorContext
from ingestion.collector.multipart_file import MultipartFile
from ingestion.collector.openapi import WRITE_KEY, operation
from ingestion.collector.routing import CollectorRoute
from ingestion.collector.settings import UPLOAD_SCOPE, Uploads
from ingestion.collector.upload_answers import CONFIRM, PREVIEW, PROGRESS, RECEIVE, written
from ingestion.mappings import MappingError, load_mapping
from ingestion.upload_errors import UploadError
from ingestion.uploads import Receiving, Spool, Upload

SLOWEST_BYTES_PER_SECOND = 100_000
MOST_AT_A_TIME = 8
_CHUNK = 1 << 20
_FORM_OVERHEAD = 100_000
_STATUS = {
    "too_large": 413, "unknown_format": 415, "wrong_format": 415, "no_room": 507, "cannot_write": 503, "not_found": 404,
    "id_taken": 409, "already_confirmed": 409,
}  # fmt: skip
_ENDING_OF_TYPE = {
    "text/csv": "upload.csv",
    "application/x-ndjson": "upload.ndjson",
    "application/json": "upload.json",
    "application/vnd.apache.parquet": "upload.parquet",
}


def upload_routes(context: CollectorContext) -> list[CollectorRoute]:
    """The four routes; none where the collector was given no folder for uploads."""
    uploads = context.settings.uploads
    if uploads is None:
        return []
    routes = _UploadRoutes(context, uploads)
    described = partial(operation, security=WRITE_KEY, tag="uploads")
    one = "/v1/uploads/{id}"
    return [
        CollectorRoute("/v1/uploads", routes.receive, operation=described(**RECEIVE)),
        CollectorRoute(one, routes.progress, methods=("GET",), operation=described(**PROGRESS)),
        CollectorRoute(f"{one}/preview", routes.preview, methods=("GET",), operation=described(**PREVIEW)),
        CollectorRoute(f"{one}/confirm", routes.confirm, operation=described(**CONFIRM)),
    ]


class _UploadRoutes:
    def __init__(self, context: CollectorContext, uploads: Uploads) -> None:
        self._context, self._uploads = context, uploads
        self._spool = Spool(uploads.folder, uploads.limit_bytes)
        self._receiving = 0
        self._previews = asyncio.Semaphore(2)

    async def receive(self, request: Request) -> Response:
        """A file in the body as it is, or as the file of a form."""
        source = await self._source(request)
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > self._spool.limit_bytes + _FORM_OVERHEAD:
            raise Refusal(
                413, "too_large", f"The file is larger than {self._spool.limit_bytes:,} bytes; upload it in parts."
            )
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise Refusal(415, "unsupported_encoding", "Send the file as it is; a file that is gzip ends in .gz.")
        if self._receiving >= MOST_AT_A_TIME:
            raise Refusal(503, "busy", "Too many files are being uploaded; try again.", headers={"retry-after": "5"})
        request.scope[RECEIVE_SECONDS] = 30 + self._spool.limit_bytes / SLOWEST_BYTES_PER_SECOND
        self._receiving += 1
        try:
            upload = await self._received(request, source)
        except UploadError as error:
            raise _refusal(error) from None
        finally:
            self._receiving -= 1
        return _answer({**written(upload), "state": "uploaded"})

    async def progress(self, request: Request) -> Response:
        """How far an upload is: receiving, uploaded, confirmed, landed or refused."""
        source = await self._source(request)
        id_ = request.path_params["id"]
        try:
            upload = await asyncio.to_thread(self._spool.find, id_, source=source)
        except UploadError as error:
            received = await asyncio.to_thread(self._spool.received_bytes, id_)
            if received is None:
                raise _refusal(error) from None
            return _answer({"id": id_, "state": "receiving", "bytes": received})
        return _answer(await asyncio.to_thread(self._state, upload))

    async def preview(self, request: Request) -> Response:
        """The first rows as a mapping reads them."""
        upload = await self._upload(request)
        mapping = await self._mapping(request)
        path = await asyncio.to_thread(self._spool.file_of, upload)
        if path is None:
            raise Refusal(409, "already_confirmed", "This upload was confirmed: it is in the inbox, or has landed.")
        if self._uploads.preview is None:
            raise Refusal(503, "no_preview", "This collector cannot show previews.", headers={"retry-after": "60"})
        async with self._previews:
            preview = await asyncio.to_thread(self._uploads.preview, path, mapping)
        return _answer({"id": upload.id, **asdict(preview)})

    async def confirm(self, request: Request) -> Response:
        """Into the inbox: the next run lands it."""
        upload = await self._upload(request)
        mapping = await self._mapping(request)
        if self._uploads.inbox is None:
            raise Refusal(503, "no_inbox", "This collector has no inbox.", headers={"retry-after": "60"})
        try:
            confirmed = await asyncio.to_thread(self._spool.confirm, upload, mapping=mapping, inbox=self._uploads.inbox)
        except UploadError as error:
            raise _refusal(error) from None
        return _answer(await asyncio.to_thread(self._state, confirmed))

    async def _source(self, request: Request) -> str:
        key = self._context.key_in_header(request)
        return (await self._context.authenticate(key, scope=UPLOAD_SCOPE)).source

    async def _upload(self, request: Request) -> Upload:
        source = await self._source(request)
        try:
            return await asyncio.to_thread(self._spool.find, request.path_params["id"], source=source)
        except UploadError as error:
            raise _refusal(error) from None

    async def _mapping(self, request: Request) -> str:
        name = request.query_params.get("mapping", "")
        if not name or "/" in name or "\\" in name or "\0" in name or name.endswith((".yml", ".yaml")):
            raise Refusal(400, "unknown_mapping", "Name a mapping: ?mapping=NAME, one that comes with Weft.")
        try:
            mapping = await asyncio.to_thread(load_mapping, name)
        except (MappingError, ValueError):
            raise Refusal(400, "unknown_mapping", "There is no mapping of this name.") from None
        if mapping.event is not None and mapping.event.source is not None:
            # a file would say whose events they are, and could take another source's keys
            raise Refusal(400, "unknown_mapping", "This mapping is for what Weft itself writes.")
        return mapping.name

    async def _received(self, request: Request, source: str) -> Upload:
        asked, content_type = request.query_params.get("name"), request.headers.get("content-type", "")
        essence = content_type.partition(";")[0].strip().lower()
        form = MultipartFile(content_type) if essence == "multipart/form-data" else None
        name = asked or _ENDING_OF_TYPE.get(essence, "upload")
        receiving: Receiving | None = None
        try:
            async for chunk in _gathered(request, form):
                if receiving is None:
                    shown = form.name if form and form.name and not asked else name
                    receiving = await asyncio.to_thread(self._begin, source, shown, request.query_params.get("id"))
                await asyncio.to_thread(receiving.write, chunk)
            if form:
                form.end()
            if receiving is None:
                raise UploadError("empty", "The file is empty.")
            self._context.settings.on_step("upload_received")
            upload = await asyncio.to_thread(receiving.finish)
            self._context.settings.on_step("upload_in_place")
            return upload
        finally:
            if receiving:
                await asyncio.shield(asyncio.to_thread(receiving.abandon))

    def _begin(self, source: str, name: str, id_: str | None) -> Receiving:
        return self._spool.begin(source=source, name=name, id_=id_)

    def _state(self, upload: Upload) -> dict[str, Any]:
        if self._spool.file_of(upload) is not None:
            return {**written(upload), "mapping": None, "state": "uploaded"}
        books = self._uploads.books(upload) if self._uploads.books else None
        if books is None:
            return {**written(upload), "state": "confirmed"}
        return {**written(upload), "state": books.state, "counts": books.counts, "problem": books.problem}


async def _gathered(request: Request, form: MultipartFile | None) -> AsyncIterator[bytes]:
    """The file's bytes in pieces of about a megabyte."""
    held = bytearray()
    async for chunk in request.stream():
        for part in form.feed(chunk) if form else (chunk,):
            held += part
        if len(held) >= _CHUNK:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _answer(content: dict[str, Any]) -> Response:
    # ASCII: a file may hold what no UTF-8 can
    answer = JsonAnswer(json.dumps({"success": True, "upload": content}, default=str).encode())
    answer.headers["cache-control"] = "no-store"
    return answer


def _refusal(error: UploadError) -> Refusal:
    status = _STATUS.get(error.code, 400)
    return Refusal(status, error.code, str(error), headers={"retry-after": "60"} if status in (503, 507) else {})
