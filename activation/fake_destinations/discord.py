"""Discord's webhooks: five messages in two seconds, 2,000 characters, mentions unless they are forbidden, limits in headers."""

import re
from typing import Any

from activation.fake_destinations.vendor import Call, Reply, RollingLimit, Timepiece, Vendor

WEBHOOK_ID, TOKEN = "100000000000000001", "fake-discord-webhook-token"
PATH = f"/api/webhooks/{WEBHOOK_ID}/{TOKEN}"
MOST, SECONDS = 5, 2.0
_MENTION = re.compile(r"(?<!\\)(?:@everyone|@here|<(?:@[!&]?|#)\d+>)")
_FORMATTING = re.compile(r"(?<!\\)(?:\*\*|__|~~|\|\||`)")


class Discord(Vendor):
    """One channel."""

    def __init__(self, clock: Timepiece) -> None:
        super().__init__(clock)
        self.messages: list[str] = []
        self.mentions: list[str] = []
        self.formatting: list[str] = []
        self._limit = RollingLimit(clock, MOST, SECONDS)
        self._taken = 0

    def state(self) -> Any:
        """What was posted, in order, and what of it would have called somebody or changed the formatting."""
        return {"messages": self.messages, "mentions": self.mentions, "formatting": self.formatting}

    def answer(self, call: Call) -> Reply:
        """The message where ?wait=true asks for it, else nothing."""
        return self._refusal(call) or self._posted(call)

    def _refusal(self, call: Call) -> Reply | None:
        if call.method != "POST" or not call.path.startswith(f"/api/webhooks/{WEBHOOK_ID}/"):
            return Reply(404, {"message": "Unknown Webhook", "code": 10015})
        if call.path != PATH:
            return Reply(401, {"message": "Invalid Webhook Token", "code": 50027})
        if self._limit.is_met():
            headers = {"Retry-After": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "0.65"}
            words = {"message": "You are being rate limited.", "retry_after": 0.65, "global": False}
            return Reply(429, words, headers)
        content = call.json.get("content") or ""
        if not content:
            return Reply(400, {"message": "Cannot send an empty message", "code": 50006})
        if len(content.encode("utf-16-le")) // 2 > 2000:
            code = {"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer in length."}
            return Reply(
                400, {"message": "Invalid Form Body", "code": 50035, "errors": {"content": {"_errors": [code]}}}
            )
        return None

    def _posted(self, call: Call) -> Reply:
        body, content = call.json, call.json["content"]
        if body.get("allowed_mentions", {}).get("parse") != []:
            self.mentions += _MENTION.findall(content)
        self.formatting += _FORMATTING.findall(content)
        self.messages.append(content)
        self.tell(f"a message of {len(content)} characters; {len(self.messages)} messages now")
        if call.query.get("wait") != "true":
            return Reply(204, b"")
        return Reply(200, {"id": str(10**17 + len(self.messages)), "type": 0, "content": content})
