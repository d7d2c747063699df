"""Contacts of any JSON API, in every way of paging, against a server whose list shifts while it is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ingestion.crm.calls import CrmError
from tests.fakes.rest_api import SECRET, RestApi
from tests.fakes.vendor import FakeClock, Reply
from tests.ingestion.crm.pulls import Killed, Shop, crm_id, identifiers, rest_source

STYLES = ["cursor", "url", "link", "page", "offset"]


@contextmanager
def serving(api: RestApi) -> Iterator[str]:
    with api.serving() as url:
        api.next_host = url if api.style == "url" else ""
        yield url


def fill(api: RestApi, members: int, *, ago: float = 5e6) -> None:
    for id_ in range(1, members + 1):
        api.add(id_, modified=api.clock.now() - ago + id_ // 15, email=f"m{id_}@example.com")


def check_all(api: RestApi, shop: Shop) -> None:
    """What stands in raw is the newest state of every member, and no state stands twice."""
    landed = shop.landed()
    assert landed.rejected == []
    assert len({event["message_id"] for event in landed.events}) == len(landed.events)
    assert {id_: event["payload"]["updated_at"] for id_, event in landed.newest.items()} == {
        str(id_): member["updated_at"] for id_, member in api.members.items()
    }


@pytest.mark.parametrize("style", STYLES)
def test_every_member_arrives_in_every_style_and_later_what_changed(style: str, shop: Shop, clock: FakeClock) -> None:
    api = RestApi(clock, style=style)
    fill(api, 95)
    with serving(api) as url:
        assert shop.pull(rest_source(url, style)).contacts == 95
        clock.sleep(86_400)
        api.add(3, email="new@example.com")
        api.add(200, email="m200@example.com")
        assert shop.pull(rest_source(url, style)).contacts == 2
        check_all(api, shop)


@pytest.mark.parametrize("style", STYLES)
def test_members_modified_while_pages_are_turned_are_not_lost(style: str, shop: Shop, clock: FakeClock) -> None:
    api = RestApi(clock, style=style)
    fill(api, 120)

    def meddle(number: int) -> None:
        if number <= 12:
            clock.sleep(1)
            api.add(
                number * 3, email=f"changed{number}@example.com"
            )  # from an early page to the end: all others move up

    api.before_each = meddle
    with serving(api) as url:
        shop.pull(rest_source(url, style))
        clock.sleep(60)
        shop.pull(rest_source(url, style))
    check_all(api, shop)


def test_one_walk_of_counted_pages_would_lose_some(
    shop: Shop, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.crm.rest.WALKS", 1)
    with pytest.raises(AssertionError):
        test_members_modified_while_pages_are_turned_are_not_lost("page", shop, clock)


@pytest.mark.parametrize("style", STYLES)
def test_killed_between_pages_the_next_pull_repairs(style: str, shop: Shop, clock: FakeClock) -> None:
    api = RestApi(clock, style=style)
    fill(api, 60)
    with serving(api) as url:
        for step in ("page_written", "file_in_place", "cursor_saved"):
            with pytest.raises(Killed):
                shop.cursor = {}
                shop.pull(rest_source(url, style), dies_at=step)
        shop.pull(rest_source(url, style))
    check_all(api, shop)


def test_without_a_parameter_for_changes_all_is_read_and_nothing_lands_twice(shop: Shop, clock: FakeClock) -> None:
    api = RestApi(clock, style="page")
    fill(api, 30)
    with serving(api) as url:
        source = rest_source(url, "page", changed_since=None)
        for _ in range(2):
            assert shop.pull(source).contacts == 30
            clock.sleep(86_400)
        api.add(4, email="new@example.com")
        shop.pull(source)
    assert len(shop.landed().events) == 31
    check_all(api, shop)


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("header:X-Api-Key", ("x-api-key", SECRET)),
        ("basic:me", ("authorization", "Basic bWU6cmVzdC1zZWNyZXQtMDEyMzQ1Njc4OQ==")),
    ],
)
def test_the_secret_goes_where_the_api_wants_it(
    auth: str, expected: tuple[str, str], shop: Shop, clock: FakeClock
) -> None:
    api = RestApi(clock, style="cursor", authorization=expected)
    fill(api, 3)
    with serving(api) as url:
        assert shop.pull(rest_source(url, "cursor", auth=auth)).contacts == 3
        with pytest.raises(CrmError, match=r"answered 401 \(unauthorized\)") as refused:
            shop.pull(rest_source(url, "cursor"))
    assert SECRET not in str(refused.value)


def test_the_secret_does_not_follow_a_page_to_another_host(shop: Shop, clock: FakeClock) -> None:
    for style, reply in {
        "url": Reply(200, {"data": {"members": []}, "meta": {"next": "https://elsewhere.example/v2/members?c=1"}}),
        "link": Reply(200, {"data": {"members": []}}, {"Link": '<//elsewhere.example/v2>; rel="next"'}),
    }.items():
        api = RestApi(clock, style=style)
        api.faults = [reply]
        with serving(api) as url, pytest.raises(CrmError, match="another host"):
            shop.pull(rest_source(url, style))
        assert len(api.calls) == 1


def test_odd_members_are_kept_aside_and_the_others_land(shop: Shop, clock: FakeClock) -> None:
    api = RestApi(clock, style="none")
    items: list[Any] = [
        {"id": 1, "updated_at": 1_700_000_000, "phone": 491701234567, "card": {"number": "L1"}, "name": {"first": "A"}},
        {"id": 2, "updated_at": 1_700_000_000_123, "email": ["a@example.com"], "card": "none", "name": 7},
        {"id": 3, "updated_at": 1e300, "email": "c@example.com"},
        {"id": True, "updated_at": "2026-01-01T00:00:00Z"},
        {"id": "4", "updated_at": {"a": 1}},
        [],
        {"id": 5, "updated_at": "2026-01-01T00:00:00+02:00", "gone": True, "name": {"first": "Bob"}, "email": "b@example.com"},
    ]  # fmt: skip
    api.faults = [Reply(200, {"data": {"members": items}})]
    with serving(api) as url:
        shop.pull(rest_source(url, "none"))
    landed = shop.landed()
    assert sorted(map(crm_id, landed.events)) == ["1", "2", "5"]
    assert identifiers(landed.newest["1"]) == {"phone": "491701234567", "loyalty_id": "L1", "crm_id": "members:1"}
    assert identifiers(landed.newest["2"]) == {"crm_id": "members:2"}
    assert landed.newest["5"]["event"] == "Contact Deleted"
    assert "Bob" not in str(landed.newest["5"])
    assert len(landed.rejected) == 4


def test_an_api_that_never_ends_is_cut(shop: Shop, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.crm.rest.PAGES", 5)
    api = RestApi(clock, style="page")
    api.faults = [Reply(200, {"data": {"members": [{"id": n, "updated_at": 1_700_000_000}]}}) for n in range(50)]
    with serving(api) as url, pytest.raises(CrmError, match="more than 5 pages"):
        shop.pull(rest_source(url, "page"))
    api.faults = [Reply(200, {"data": {"members": []}, "meta": {"next": "again"}})] * 50
    api.style = "cursor"
    with serving(api) as url, pytest.raises(CrmError, match="leads to no next one"):
        shop.pull(rest_source(url, "cursor"))
