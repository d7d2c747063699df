"""Slack and Discord: summaries without personal data, messages whose values stay values, limits, words that a person has to read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activation.destinations import KINDS, Tools
from activation.destinations.discord import Discord as DiscordAdapter
from activation.destinations.messages import cut, discord_text, filled, placeholders, slack_text
from activation.fake_destinations import discord, slack
from activation.syncs.clock import Clock
from activation.syncs.contract import Change, DestinationMisconfiguredError, DestinationUnavailableError
from tests.activation.destinations import AUDIENCE, members, opened, removals, statuses, upserts
from tests.fakes.vendor import FakeClock

NASTY = "<!channel> @everyone <@123> <#42> **bold** `code` ||x|| <https://evil.example|click> # head\n> quote {city}"


@contextmanager
def _channel(kind: str, message: str | None = None) -> Iterator[tuple[Any, Any]]:
    vendor: Any = {"slack": slack.Slack, "discord": discord.Discord}[kind](FakeClock())
    path = {"slack": slack.PATH, "discord": discord.PATH}[kind]
    with vendor.serving() as url:
        settings = {"name": kind, "type": kind, "purposes": ["advertising"], "url": {"env": "URL"}}
        tools = Tools(
            audience=AUDIENCE,
            client_for=lambda address: httpx.Client(
                base_url=address, timeout=5.0, trust_env=False, headers={"Connection": "close"}
            ),
            secret={"URL": url + path}.__getitem__,
            folder=None,  # type: ignore[arg-type]
            clock=Clock(vendor.clock.now, vendor.clock.sleep),
        )
        adapter = KINDS[kind].open(KINDS[kind].config_model(**settings), tools)
        adapter.message = message  # type: ignore[union-attr]
        yield vendor, adapter


def _told(**payload: Any) -> Change:
    return Change("k", "c", "upsert", payload, None, "i", 1)


@pytest.mark.parametrize("kind", ["slack", "discord"])
def test_a_batch_of_changes_is_one_message_that_names_nobody(kind: str) -> None:
    with _channel(kind) as (vendor, adapter):
        records = list(adapter.records(members(email=["a@example.com"] * 1200)))
        outcomes = adapter.send([*upserts(records), *removals(["c1", "c2"], {})])
        assert statuses(outcomes) == ["accepted"] * 1202
        expected = f"Audience {AUDIENCE}: 1,200 entered or changed, 2 left."
        assert [message.replace("\\", "") for message in vendor.messages] == [expected]


@pytest.mark.parametrize("kind", ["slack", "discord"])
def test_a_value_can_call_nobody_and_change_no_formatting(kind: str) -> None:
    with _channel(kind, "Say hello to {name}, {city}") as (vendor, adapter):
        assert adapter.batch_size == 1
        assert statuses(adapter.send([_told(name=NASTY, city="Kiel")])) == ["accepted"]
        assert vendor.mentions == []
        [message] = vendor.messages
        assert "{city}" in message.replace("\\", "")
        assert message.endswith("Kiel") and "\n" not in message
        assert getattr(vendor, "formatting", []) == []


@pytest.mark.parametrize("kind", ["slack", "discord"])
def test_a_limit_is_kept_and_its_answer_says_for_how_long(kind: str) -> None:
    with _channel(kind, "Hello {name}") as (vendor, adapter):
        if kind == "slack":
            adapter.send([_told(name="a")])
        else:
            for _ in range(5):
                adapter.send([_told(name="a")])
        with pytest.raises(DestinationUnavailableError) as refused:
            adapter.send([_told(name="b")])
        assert refused.value.retry_after == 1.0
        assert not refused.value.may_be_applied
        vendor.clock.sleep(2.0)
        assert statuses(adapter.send([_told(name="b")])) == ["accepted"]


def test_discord_is_waited_for_where_it_says_that_no_place_is_left() -> None:
    with _channel("discord", "Hello") as (vendor, adapter):
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "1.5"}
        vendor.faults = [discord.Reply(200, {"id": "1"}, headers)]
        adapter.send([_told()])
        adapter.send([_told()])
        assert vendor.clock.waits == [pytest.approx(1.5, abs=0.01)]


@pytest.mark.parametrize(
    ("status", "word"),
    [(404, b"no_service"), (410, b"channel_is_archived"), (403, b"action_prohibited"), (404, b"channel_not_found")],
    ids=["no_service", "channel_is_archived", "action_prohibited", "channel_not_found"],
)
def test_a_channel_of_slack_that_takes_nothing_is_a_persons_to_mend(status: int, word: bytes) -> None:
    with _channel("slack") as (vendor, adapter):
        vendor.answers_with = (status, word)
        with pytest.raises(DestinationMisconfiguredError, match=f"{word.decode()}.*the variable URL") as refused:
            adapter.send(upserts(list(adapter.records(members(email=["a"])))))
        assert "services" not in str(refused.value)


def test_a_webhook_that_discord_does_not_know_is_a_persons_to_mend() -> None:
    with _channel("discord") as (vendor, adapter):
        vendor.faults = [discord.Reply(404, {"message": "Unknown Webhook", "code": 10015})]
        with pytest.raises(DestinationMisconfiguredError, match=r"10015.*the variable URL"):
            adapter.send(upserts(list(adapter.records(members(email=["a"])))))
    assert isinstance(adapter, DiscordAdapter)


def test_a_channel_takes_no_fields() -> None:
    settings = {"type": "slack", "url": {"env": "URL"}, "fields": {"email": "email"}}
    with pytest.raises(ValueError, match="a channel takes no fields"):
        opened(settings, FakeClock(), {})
    assert "slack" in KINDS


def test_a_message_is_cut_at_what_discord_takes() -> None:
    with _channel("discord", "😀" * 1500 + "{name}") as (vendor, adapter):
        assert statuses(adapter.send([_told(name="x" * 5000)])) == ["accepted"]
        assert vendor.messages[0].endswith("…")


@given(st.text(max_size=300))
def test_no_value_survives_as_markup(value: str) -> None:
    in_slack = filled("{v}", {"v": value}, slack_text)
    assert "<" not in in_slack and ">" not in in_slack
    in_discord = filled("{v}", {"v": value}, discord_text)
    unescaped = in_discord.replace("\\\\", "")
    for sign in "*_~`|<@#":
        assert unescaped.count(sign) == unescaped.count("\\" + sign)
    assert len(cut(in_discord, 100).encode("utf-16-le")) <= 200


def test_only_names_in_braces_are_placeholders() -> None:
    assert placeholders("{city} {0} {a.b} {a!r} {city} {_x}") == ["city", "_x"]
