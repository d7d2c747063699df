"""Slack's incoming webhooks: one message a second, words as answers, messages that would call a channel are told apart."""

import re
from typing import Any

from activation.fake_destinations.vendor import Call, Reply, RollingLimit, Timepiece, Vendor

PATH = "/services/T000FAKE/B000FAKE/fakefakefakefakefakefake"
_CONTROL = re.compile(r"<(?:[@#!][^>]*|[a-z]+:[^>]*)>")
"""What Slack reads as a mention or a link."""


class Slack(Vendor):
    """One channel. `answers_with` makes it refuse everything: 404 no_service, 410 channel_is_archived and the like."""

    def __init__(self, clock: Timepiece) -> None:
        super().__init__(clock)
        self.messages: list[str] = []
        self.mentions: list[str] = []
        self.answers_with: tuple[int, bytes] | None = None
        self._limit = RollingLimit(clock, 1, 1.0)

    def state(self) -> Any:
        """What was posted, in order, and what of it would have called somebody."""
        return {"messages": self.messages, "mentions": self.mentions}

    def answer(self, call: Call) -> Reply:
        """ok, or a word that says why not."""
        if call.method != "POST" or call.path != PATH:
            return Reply(404, b"no_service")
        if self.answers_with:
            return Reply(*self.answers_with)
        if self._limit.is_met():
            return Reply(429, {"ok": False, "error": "rate_limited"}, {"Retry-After": "1"})
        body = call.json
        if not isinstance(body.get("text"), str) or not body["text"]:
            return Reply(400, b"no_text")
        texts = [body["text"], *(block["text"]["text"] for block in body.get("blocks", []))]
        if any(not 1 <= len(block["text"]["text"]) <= 3000 for block in body.get("blocks", [])):
            return Reply(400, b"invalid_blocks")
        for text in texts:
            self.mentions += _CONTROL.findall(text)
        shown = texts[-1]
        for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
            shown = shown.replace(entity, sign)
        self.messages.append(shown)
        self.tell(f"a message of {len(shown)} characters; {len(self.messages)} messages now")
        return Reply(200, b"ok")
