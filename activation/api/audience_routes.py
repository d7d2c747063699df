"""Reading audiences: which there are, who is in them, whether one customer is."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import StreamingResponse

from activation.answers import AudienceDescription
from activation.api.access import needs
from activation.api.models import AudienceAnswer, AudiencesAnswer, ErrorAnswer, MembersAnswer, MembershipAnswer
from activation.api.refusals import Refused
from activation.api.settings import READ_AUDIENCES, ApiSettings
from activation.api.typed_values import iso
from activation.csv_cells import cell, line
from activation.errors import NotPublishedError
from activation.reader import Reader

T = TypeVar("T")

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

    def refuse_unknown(name: str) -> None:
        """404 only where Redis holds others and never held this one: an emptied Redis knows of nothing that there is."""
        names, lost = reader.audience_names(), reader.lost_audiences()
        if names and name not in (*names, *lost):
            raise Refused(404, "not_published", "No audience of this name has been published.") from None

    def asked(name: str, question: Callable[[], T]) -> T:
        try:
            return question()
        except NotPublishedError:
            refuse_unknown(name)
            raise

    @router.get("", response_model=AudiencesAnswer)
    def list_audiences() -> dict[str, Any]:
        """Every published audience with its size and age."""
        now, found, lost = settings.now(), [], list(reader.lost_audiences())
        for name in reader.audience_names():
            try:
                found.append(_described(reader.audience(name, now=now), now))
            except NotPublishedError:
                lost.append(name)
        return {"audiences": found, "unreadable": sorted(lost)}

    @router.get("/{name}", response_model=AudienceAnswer)
    def one_audience(name: Name) -> dict[str, Any]:
        """One audience: version, size, age."""
        now = settings.now()
        return asked(name, lambda: _described(reader.audience(name, now=now), now))

    @router.get("/{name}/members", response_model=MembersAnswer)
    def members(
        name: Name,
        cursor: Annotated[str | None, Query(max_length=128)] = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = settings.page_size,
    ) -> dict[str, Any]:
        """Members, about `limit` a page, all of one version; 409 where that version is no longer kept."""
        try:
            page = asked(name, lambda: reader.members_page(name, cursor=cursor, limit=limit))
        except ValueError as error:
            if type(error) is not ValueError:
                raise
            raise Refused(422, "invalid", str(error)) from None
        return {
            "name": name,
            "version": page.version,
            "customer_ids": page.customer_ids,
            "next_cursor": page.next_cursor,
            **_aged(page.as_of, settings.now()),
        }

    @router.get("/{name}/members.csv", response_class=StreamingResponse)
    def members_csv(name: Name) -> StreamingResponse:
        """All members of one version as CSV with a header."""
        page = asked(name, lambda: reader.members_page(name, limit=settings.page_size))
        return StreamingResponse(
            _lines(reader.members_from(name, page, page_size=settings.page_size)),
            media_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}.csv"',
                "X-Weft-Version": str(page.version),
                "X-Weft-As-Of": iso(page.as_of),
                "Cache-Control": "no-store",
            },
        )

    @router.get("/{name}/members/{customer_id}", response_model=MembershipAnswer)
    def is_member(name: Name, customer_id: CustomerId) -> dict[str, Any]:
        """Whether a customer is in the audience."""
        found = asked(name, lambda: reader.membership(name, customer_id))
        return {
            "name": name,
            "version": found.version,
            "customer_id": customer_id,
            "is_member": found.is_member,
            **_aged(found.as_of, settings.now()),
        }

    return router


def _described(audience: AudienceDescription, now: datetime) -> dict[str, Any]:
    return {
        "name": audience.name,
        "version": audience.version,
        "members": audience.count,
        "checksum": audience.checksum,
        "definition_hash": audience.definition_hash,
        "published_at": iso(audience.published_at),
        "pinned_version": audience.pinned_version,
        "is_past_expiry": audience.is_past_expiry,
        **_aged(max(audience.as_of, audience.confirmed_as_of or audience.as_of), now),
    }


def _aged(as_of: datetime, now: datetime) -> dict[str, Any]:
    return {"as_of": iso(as_of), "age_seconds": (now - as_of).total_seconds()}


def _lines(customer_ids: Iterator[str]) -> Iterator[bytes]:
    yield line(["customer_id"])
    for customer_id in customer_ids:
        yield line([cell(customer_id, for_people=True)])
