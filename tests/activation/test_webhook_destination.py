"""The signed webhook: signatures that others can check, answers row by row, and a bad row found in a batch."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from activation.destinations.webhook import Webhook, WebhookConfig, signatures, signing_key
from activation.fake_destinations.vendor import Call, Reply, Vendor
from activation.syncs.clock import Clock
from activation.syncs.contract import (
    Change,
    DestinationMisconfiguredError,
    DestinationUnavailableError,
    Outcome,
)

KEYS = [b"a" * 32, b"b" * 32]
CHANGES = [Change(f"c{n}", f"c{n}", "upsert", {"email": f"c{n}@x.org"}, None, f"key-{n}", n + 1) for n in range(5)]


class Hook(Vendor):
    """Answers as it is told."""

    def __init__(self, reply: Callable[[Call], Reply]) -> None:
        super().__init__(Clock())
        self.reply = reply

    def answer(self, call: Call) -> Reply:
        return self.reply(call)


@contextmanager
def sending(reply: Callable[[Call], Reply]) -> Iterator[tuple[Webhook, Hook]]:
    hook = Hook(reply)
    with hook.serving() as url, httpx.Client() as client:
        config = WebhookConfig(
            name="hook", type="webhook", purposes=("sharing",), url=f"{url}/in?x=1", secrets=({"env": "A"},)
        )  # fmt: skip
        yield Webhook(config, client, KEYS, audience="vip", clock=Clock()), hook


def keys_of(call: Call) -> list[str]:
    return [change["idempotency_key"] for change in call.json["changes"]]


def test_the_published_vector_of_standard_webhooks() -> None:
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "SECRET")
    signed = signatures([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_can_check_the_signature_with_either_secret_and_sees_a_repetition() -> None:
    with sending(lambda call: Reply(200, {})) as (webhook, hook):
        assert [outcome.status for outcome in webhook.send(CHANGES)] == ["accepted"] * 5
        webhook.send(CHANGES)
        webhook.send(CHANGES[:2])
    first, again, other = hook.calls
    assert (first.path, first.query) == ("/in", {"x": "1"})
    assert first.headers["webhook-id"] == again.headers["webhook-id"] != other.headers["webhook-id"]
    signed = f"{first.headers['webhook-id']}.{first.headers['webhook-timestamp']}.".encode() + first.body
    expected = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in KEYS]
    assert first.headers["webhook-signature"].split() == [f"v1,{signature}" for signature in expected]
    assert first.json["changes"][1] == {
        "operation": "upsert", "customer_id": "c1", "idempotency_key": "key-1", "sequence": 2, "fields": {"email": "c1@x.org"},
    }  # fmt: skip


def test_rows_are_told_apart_and_one_that_the_answer_leaves_out_was_not_confirmed() -> None:
    results = [
        {"idempotency_key": "key-0", "status": "accepted", "id": 17},
        {"idempotency_key": "key-2", "status": "refused", "message": "no"},
        {"idempotency_key": "key-3", "status": "fine"},
        {"idempotency_key": "key-4", "status": "retry", "message": "later"},
    ]
    with sending(lambda call: Reply(200, {"results": results})) as (webhook, _):
        outcomes = webhook.send(CHANGES)
    assert outcomes == [
        Outcome("accepted", None, "17"),
        Outcome("retry", "left out of the answer", may_be_applied=True),
        Outcome("refused", "no"),
        Outcome("retry", "answered with an unknown status", may_be_applied=True),
        Outcome("retry", "later"),
    ]


def test_a_batch_that_is_refused_is_halved_until_the_bad_row_is_found() -> None:
    def answer(call: Call) -> Reply:
        return Reply(422, {"message": "bad row"}) if "key-3" in keys_of(call) else Reply(200, {})

    with sending(answer) as (webhook, hook):
        outcomes = webhook.send(CHANGES)
    assert [outcome.status for outcome in outcomes] == ["accepted", "accepted", "accepted", "refused", "accepted"]
    assert outcomes[3].words == "bad row"
    assert len(hook.calls) == 7


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (Reply(429, {}, {"Retry-After": "7"}), DestinationUnavailableError, "wants fewer requests"),
        (Reply(503, {}), DestinationUnavailableError, "answered 503"),
        (Reply(302, {}, {"Location": "http://127.0.0.1:1/"}), DestinationUnavailableError, "a redirect"),
        (Reply(200, {"results": "all fine"}), DestinationUnavailableError, "something else than expected"),
        (Reply(401, {}), DestinationMisconfiguredError, "see to its secret"),
        (Reply(410, {}), DestinationMisconfiguredError, "see to its url"),
    ],
    ids=["429", "503", "302", "odd", "401", "410"],
)
def test_what_is_no_answer_to_the_changes(reply: Reply, error: type[Exception], said: str) -> None:
    with sending(lambda call: reply) as (webhook, hook), pytest.raises(error, match=said) as raised:
        webhook.send(CHANGES)
    assert len(hook.calls) == 1, "a redirect is not followed"
    assert "x.org" not in str(raised.value)
    if reply.status == 429:
        assert (raised.value.retry_after, raised.value.may_be_applied) == (7.0, False)  # type: ignore[attr-defined]


def test_of_a_huge_answer_64_kilobytes_are_read() -> None:
    padding = " " * (1 << 20)
    body = json.dumps({"results": [], "padding": padding}).encode()
    with sending(lambda call: Reply(200, body)) as (webhook, _):
        assert {outcome.status for outcome in webhook.send(CHANGES)} == {"accepted"}


@pytest.mark.parametrize("secret", ["", "hunter2", "whsec_", "whsec_c2hvcnQ=", "whsec_***"])
def test_a_secret_that_is_none_is_refused_by_its_name_only(secret: str) -> None:
    with pytest.raises(DestinationMisconfiguredError, match="HOOK_SECRET is no webhook secret") as raised:
        signing_key(secret, "HOOK_SECRET")
    assert not secret or secret == "whsec_" or secret not in str(raised.value)


def test_values_that_json_does_not_know_are_told_as_text() -> None:
    from datetime import date
    from decimal import Decimal

    told: list[Any] = []

    def answer(call: Call) -> Reply:
        told.extend(call.json["changes"])
        return Reply(204, b"")

    change = Change("c", "c", "upsert", {"on": date(2026, 1, 2), "of": Decimal("1.50"), "at": None}, None, "k", 1)
    with sending(answer) as (webhook, _):
        assert webhook.send([change]) == [Outcome("accepted")]
    assert told[0]["fields"] == {"on": "2026-01-02", "of": "1.50", "at": None}
