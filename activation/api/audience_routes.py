"""Reading audiences: which there are, who is in them, whether one customer is."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import StreamingResponse

from activation.answers import AudienceDescription
from activation.api.access import needs
from activation.api.models import AudienceAnswer, AudiencesAnswer, ErrorAnswer, MembersAnswer, MembershipAnswer
from activation.api.refusals import Refused
from activation.api.settings import READ_AUDIENCES, ApiSettings
from activation.api.typed_values import iso
from activation.csv_cells import harmless
from activation.errors import NotPublishedError
from activation.reader import Reader

Name = Annotated[str, Path(pattern="^[A-Za-z0-9_.-]{1,63}$", description="Name of the audience.")]
CustomerId = Annotated[str, Path(min_length=1, max_length=512, description="Customer id.")]


def audience_routes(settings: ApiSettings, reader: Reader) -> APIRouter:
    """The routes that read audiences."""
    router = APIRouter(
        prefix="/v1/audiences",
        tags=["audiences"],
        dependencies=[Depends(needs(settings.keys, READ_AUDIENCES))],
        responses={status: {"model": ErrorAnswer} for status in (401, 403, 404, 409, 422, 503)},
    )

    def described(name: str, now: datetime) -> dict[str, Any]:
        try:
            return _described(reader.audience(name, now=now))
        except NotPublishedError:
            if name in reader.audience_names():
                raise  # published once, and not whole in Redis now: that is no "unknown"
            raise Refused(404, "not_published", "No audience of this name has been published.") from None

    @router.get("", response_model=AudiencesAnswer)
    def list_audiences() -> dict[str, Any]:
        """Every published audience with its size and age."""
        now = settings.now()
        return {"audiences": [_described(reader.audience(name, now=now)) for name in reader.audience_names()]}

    @router.get("/{name}", response_model=AudienceAnswer)
    def one_audience(name: Name) -> dict[str, Any]:
        """One audience: version, size, age."""
        return described(name, settings.now())

    @router.get("/{name}/members", response_model=MembersAnswer)
    def members(
        name: Name,
        cursor: Annotated[str | None, Query(max_length=128)] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = settings.page_size,
    ) -> dict[str, Any]:
        """Members, about `limit` a page, all of one version; 409 where that version is no longer kept."""
        shown = described(name, settings.now())
        try:
            page = reader.members_page(name, cursor=cursor, limit=limit)
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            raise Refused(422, "invalid", str(error)) from None
        return {
            "name": name,
            "version": page.version,
            "customer_ids": page.customer_ids,
            "next_cursor": page.next_cursor,
            "as_of": shown["as_of"],
            "age_seconds": shown["age_seconds"],
        }

    @router.get("/{name}/members.csv", response_class=StreamingResponse)
    def members_csv(name: Name) -> StreamingResponse:
        """All members of one version as CSV with a header."""
        shown = described(name, settings.now())
        ids = reader.members(name, page_size=settings.page_size)
        first = next(ids, None)  # what can go wrong goes wrong before the answer begins
        return StreamingResponse(
            _lines(first, ids),
            media_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}.csv"',
                "X-Weft-Version": str(shown["version"]),
                "X-Weft-As-Of": shown["as_of"],
                "Cache-Control": "no-store",
            },
        )

    @router.get("/{name}/members/{customer_id}", response_model=MembershipAnswer)
    def is_member(name: Name, customer_id: CustomerId) -> dict[str, Any]:
        """Whether a customer is in the audience."""
        shown = described(name, settings.now())
        return {
            "name": name,
            "version": shown["version"],
            "customer_id": customer_id,
            "is_member": reader.is_member(name, customer_id),
            "as_of": shown["as_of"],
            "age_seconds": shown["age_seconds"],
        }

    return router


def _described(audience: AudienceDescription) -> dict[str, Any]:
    assert audience.age is not None, "the reader was given the time"
    return {
        "name": audience.name,
        "version": audience.version,
        "members": audience.count,
        "checksum": audience.checksum,
        "definition_hash": audience.definition_hash,
        "published_at": iso(audience.published_at),
        "pinned_version": audience.pinned_version,
        "as_of": iso(audience.as_of),
        "age_seconds": audience.age.total_seconds(),
    }


def _lines(first: str | None, rest: Iterator[str]) -> Iterator[str]:
    yield "customer_id\r\n"
    if first is not None:
        yield _line(first)
    for customer_id in rest:
        yield _line(customer_id)


def _line(customer_id: str) -> str:
    cells = io.StringIO()
    csv.writer(cells).writerow([harmless(customer_id)])
    return cells.getvalue()
