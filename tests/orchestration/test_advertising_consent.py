"""From a served build to Meta and to a file: consent to both purposes, what destinations.yml may not say, where files stand."""

import json
from pathlib import Path

import pytest

from activation.fake_destinations import meta
from orchestration.destinations_file import load_destinations
from orchestration.errors import DestinationError
from orchestration.resources import Platform
from orchestration.settings import load_settings
from tests.orchestration.gated_shop import ALL, opened_shop
from tests.orchestration.synced_shop import SyncedShop, WallClock, synced

JOHN, DANA, ALEX = "john_smith@gmail.com", "dana@example.com", "alexf@example.com"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SyncedShop:
    """Three customers whose ids are e-mail addresses; one of them does not want to be shared."""
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    monkeypatch.setenv("META_TOKEN", meta.TOKEN)
    made = synced(opened_shop(Platform(load_settings(home=tmp_path)), monkeypatch), monkeypatch)
    made.shop.consents = {JOHN: ALL, DANA: ALL, ALEX: ALL | {"sharing": False}}
    made.shop.audience("lapsed", [JOHN, DANA, ALEX])
    made.shop.build()
    return made


def to_meta(shop: SyncedShop, url: str, **given: object) -> None:
    shop.listed.append(
        {
            "name": "meta_ads", "type": "meta", "purposes": ["advertising", "sharing"], "api_url": url, "audiences": ["lapsed"],
            "access_token": {"env": "META_TOKEN"}, "audience_ids": {"lapsed": meta.AUDIENCE}, "fields": {"EMAIL": "customer_id"},
            "allow_private_address": True, "rate_per_second": 1000, **given,
        }
    )  # fmt: skip
    shop.write()


def test_who_does_not_consent_to_both_purposes_is_not_sent_and_who_withdraws_is_removed(shop: SyncedShop) -> None:
    vendor = meta.Meta(WallClock())
    with vendor.serving() as url:
        to_meta(shop, url)
        assert shop.run("meta_ads") == "done"
        assert vendor.people[meta.AUDIENCE] == {"John", "Dana"}
        shop.shop.consents[JOHN] = ALL | {"advertising": False}
        shop.shop.build()
        assert shop.run("meta_ads") == "done"
        assert vendor.people[meta.AUDIENCE] == {"Dana"}
        assert not any(b"@" in call.body or b"%40" in call.body for call in vendor.calls)


def test_a_configuration_without_both_purposes_is_one_clear_sentence(shop: SyncedShop) -> None:
    to_meta(shop, "https://graph.facebook.com", purposes=["advertising"])
    with pytest.raises(
        DestinationError, match=r"meta_ads: .*needs consent to advertising and sharing: add sharing to purposes"
    ) as caught:
        load_destinations(shop.shop.platform.settings)
    assert "\n" not in str(caught.value)


def test_a_file_stands_under_the_home_by_destination_and_audience(shop: SyncedShop, tmp_path: Path) -> None:
    shop.listed.append(
        {
            "name": "for_print", "type": "csv", "purposes": ["advertising"], "audiences": ["lapsed"],
            "fields": {"Customer": "customer_id", "Orders": "order_count", "Why": "entered_because"},
        }
    )  # fmt: skip
    shop.write()
    assert shop.run("for_print") == "done"
    file = tmp_path / "exports" / "for_print" / "lapsed.csv"
    assert sorted(file.read_text().splitlines()) == sorted(
        ['"Customer","Orders","Why"', *(f'"{customer}",1,"in"' for customer in (JOHN, DANA, ALEX))]
    )
    manifest = json.loads(file.with_name("lapsed.csv.manifest.json").read_text())
    assert (manifest["count"], manifest["as_of"]) == (3, "2026-03-01T00:00:00Z")
    # nothing changed: the file stays as it is; somebody withdrew: it is written anew
    before = file.stat().st_mtime_ns
    assert shop.run("for_print") == "done" and file.stat().st_mtime_ns == before
    shop.shop.consents[DANA] = ALL | {"advertising": False}
    shop.shop.build()
    assert shop.run("for_print") == "done"
    assert DANA not in file.read_text() and file.stat().st_mode & 0o777 == 0o600
