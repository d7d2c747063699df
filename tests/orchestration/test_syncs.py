"""Syncs from a served build to a receiver over HTTP: consent, exclusions, guards, isolation, the command line."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.cli import main
from orchestration.errors import SyncBusyError
from orchestration.guards import approve, held_version
from orchestration.resources import Platform
from orchestration.settings import load_settings
from tests.orchestration.gated_shop import ALL, AS_OF, opened_shop
from tests.orchestration.synced_shop import (
    Receiver,
    SyncedShop,
    exclude,
    hanging,
    opened_synced_shop,
    url,
)

NOT_THIS = ALL | {"advertising": False}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SyncedShop:
    """Four customers, two audiences, no destination."""
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    return opened_synced_shop(Platform(load_settings(home=tmp_path)), monkeypatch)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    made = Receiver()
    with made.serving() as made.url:  # type: ignore[attr-defined]
        yield made


def test_who_leaves_withdraws_is_excluded_or_merged_away_is_removed_and_who_comes_back_is_sent_again(
    shop: SyncedShop, receiver: Receiver
) -> None:
    shop.sent_to("crm", url(receiver), "all_of_them")
    assert shop.run("crm") == "done"
    assert receiver.holds == {"ann", "bob", "cy", "dee"}
    assert {(call.path, call.query["tenant"]) for call in receiver.calls} == {("/hook", "7")}
    shop.shop.consents["ann"] = NOT_THIS
    shop.shop.redirects = {"bob": "cy"}
    shop.shop.members["all_of_them"] = ["ann", "bob", "cy"]
    shop.shop.build()
    assert shop.run("crm") == "done"
    assert receiver.holds == {"cy"}
    shop.shop.consents["ann"] = ALL
    shop.shop.redirects = {}
    shop.shop.members["all_of_them"] = ["ann", "bob", "cy", "dee"]
    shop.shop.build()
    assert shop.run("crm") == "done"
    assert receiver.holds == {"ann", "bob", "cy", "dee"}
    exclude(shop, "dee")
    assert shop.run("crm") == "done"
    assert receiver.holds == {"ann", "bob", "cy"}
    assert max(receiver.effects.values()) == 1


def test_while_a_guard_holds_a_version_back_the_last_good_one_counts_without_who_withdrew(
    shop: SyncedShop, receiver: Receiver
) -> None:
    state, many = shop.shop.platform.state, [f"c{number:03}" for number in range(300)]
    shop.shop.consents |= dict.fromkeys(many, ALL)
    shop.shop.audience("vip", many[:200])
    shop.sent_to("crm", url(receiver), "vip")
    shop.shop.build()
    assert shop.run("crm") == "done"
    version = state.newest_version("vip")
    assert version is not None
    state.record_publication("vip", version.version, 1, "published")
    shop.shop.audience("vip", many[295:])
    shop.shop.build(served=False)
    exclude(shop, many[7])
    assert shop.run("crm") == "done"
    assert held_version(state, "vip") is not None
    assert receiver.holds == set(many[:200]) - {many[7]}
    approve(state, "vip", by="a test", note="meant so", now=AS_OF)
    assert shop.run("crm") == "done"
    assert receiver.holds == set(many[295:])


def test_an_audience_whose_own_yaml_names_the_destination_is_sent_there(shop: SyncedShop, receiver: Receiver) -> None:
    shop.shop.audience("named", ["dee"], destinations=["redis", "crm"])
    shop.shop.build()
    shop.sent_to("crm", url(receiver))
    assert [sync.name for sync in shop.syncs("crm")] == ["crm.named"]
    shop.run("crm.named")
    assert receiver.holds == {"dee"}


def test_a_destination_that_hangs_delays_no_other_and_only_its_own_run_waits(
    shop: SyncedShop, receiver: Receiver
) -> None:
    slow = Receiver()
    with slow.serving() as slow_url:
        shop.sent_to("slow", slow_url, "vip")
        shop.sent_to("crm", url(receiver), "vip")
        syncs = [*shop.syncs("slow"), *shop.syncs("crm")]
        told = threading.Event()
        with hanging(slow):
            everything = threading.Thread(target=shop.syncing.run_all, args=(syncs, lambda reports: told.set()))
            everything.start()
            assert slow.reached.wait(30)
            assert told.wait(30), "the other destination came to its end meanwhile"
            assert receiver.holds == {"ann", "bob", "cy"}
            assert not slow.standing
            with pytest.raises(SyncBusyError, match="Another process sends to slow right now"):
                shop.run("slow")
            assert shop.run("crm") == "done"
        everything.join(60)
    assert slow.holds == {"ann", "bob", "cy"}


def test_a_sync_that_cannot_be_made_fails_for_itself(shop: SyncedShop, receiver: Receiver) -> None:
    shop.shop.audience("unbuilt", ["ann"])
    shop.sent_to("crm", url(receiver), "unbuilt", "vip")
    assert shop.run("crm") == "failed done"
    runs = shop.shop.platform.state.syncs.last_runs()
    assert "is in no whole build yet" in (runs["crm.unbuilt"].words or "")
    assert receiver.holds == {"ann", "bob", "cy"}


def test_a_dry_run_and_a_withdrawal(shop: SyncedShop, receiver: Receiver) -> None:
    shop.sent_to("crm", url(receiver), "vip", "all_of_them")
    [sync] = shop.syncs("crm.vip")
    assert shop.syncing.dry_run(sync).by_operation == {"upsert": 3, "remove": 0}
    assert shop.shop.platform.state.syncs.names() == []
    assert not receiver.calls
    shop.run("crm.vip")
    assert shop.syncing.withdraw(sync).totals.accepted == 3
    assert receiver.holds == set()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"purposes": None}, "crm needs `purposes`"),
        ({"purposes": ["fun"]}, "there is no purpose 'fun'"),
        ({"fields": {"x": "shoe_size"}}, "profiles have no column 'shoe_size'"),
        ({"audiences": ["nobodies"]}, "there is no audience 'nobodies'"),
        ({"secrets": [{"env": "NOT_SET"}]}, "The environment variable NOT_SET that destinations.yml names is not set"),
        ({"secrets": ["hunter2"]}, "crm: secrets.0"),
        ({"allow_private_address": False}, "would travel unencrypted"),
        ({"url": "https://127.0.0.1:1/", "allow_private_address": False}, "leads to a private address"),
        ({"type": "fax"}, "crm needs a `type`"),
        ({"colour": "red"}, "crm: colour"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_a_mistake_in_destinations_yml_is_one_sentence_and_exit_code_2(
    shop: SyncedShop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    said: str,
) -> None:
    shop.sent_to("crm", "http://127.0.0.1:1/", "vip")
    shop.listed[0] |= change
    shop.listed[0] = {key: value for key, value in shop.listed[0].items() if value is not None}
    shop.write()
    assert weft(monkeypatch, "sync", "run") == 2
    shown = " ".join(capsys.readouterr().out.split())
    assert said in shown
    assert "hunter2" not in shown


def weft(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["weft", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_commands_of_a_person(
    shop: SyncedShop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sent_to("crm", url(receiver), "vip")
    receiver.unwanted = {"bob"}

    def said(*arguments: str) -> str:
        weft(monkeypatch, "sync", *arguments)
        return " ".join(capsys.readouterr().out.split())

    assert "crm.vip: 3 to be sent, 0 to be removed." in said("dry-run", "crm")
    assert "3 members, 3 to send: 2 accepted, 1 refused" in said("run")
    [listed] = json.loads(said("list", "--json"))["syncs"]
    assert (listed["sync"], listed["held"], listed["refused"], listed["last_run"]["status"]) == (
        "crm.vip",
        2,
        1,
        "done",
    )
    shown = said("show", "crm.vip")
    assert "2 accepted, 1 refused; the destination holds 2." in shown
    assert "not wanted: [hidden]" in shown
    receiver.unwanted = set()
    assert "1 records are tried again." in said("retry", "crm")
    assert receiver.holds == {"ann", "bob", "cy"}
    assert "3 records are sent again." in said("replay", "crm.vip")
    assert "There is no sync or destination 'fax'" in said("run", "fax")
    shop.listed[0]["audiences"] = ["all_of_them"]
    shop.write()
    gone = json.loads(said("list", "--json"))["syncs"][1]
    assert (gone["sync"], gone["type"], gone["held"]) == ("crm.vip", None, 3)
    said("withdraw", "crm.vip")
    assert receiver.holds == set()
    assert "is still sent" in said("withdraw", "crm.all_of_them")


def test_two_installations_on_one_postgresql_take_turns(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    given = {"target": "postgres", "postgres_url": postgres_url}
    other = SyncedShop(opened_shop(Platform(load_settings(home=tmp_path / "two", **given)), monkeypatch), [])
    one = opened_synced_shop(Platform(load_settings(home=tmp_path / "one", **given)), monkeypatch)
    one.sent_to("crm", url(receiver), "vip")
    with one.syncing.alone("crm"), pytest.raises(SyncBusyError), other.syncing.alone("crm"):
        pytest.fail("both were alone")
    with other.syncing.alone("crm"), one.syncing.alone("other"):
        assert not receiver.calls
    assert one.run("crm") == "done"
    assert receiver.holds == {"ann", "bob", "cy"}
