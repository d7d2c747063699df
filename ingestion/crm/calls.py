"""Calls to a vendor's JSON API: paced, tried again with back-off, never louder than Retry-After allows, and bounded in size.

No error says anything of an answer's content but the vendor's own code words, and nothing of what was sent.
"""

import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

import httpx

TRIES = 6
FIRST_WAIT_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 120.0
"""A vendor that wants a longer rest than this gets it: the pull ends and goes on another time."""
PAGE_LIMIT_BYTES = 64 << 20
PASSING = frozenset({408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_CODE_WORD = re.compile(r"^[A-Za-z][A-Za-z0-9_]{2,60}$")
_CODE_KEYS = ("policyName", "category", "errorCode", "error")


class CrmError(ValueError):
    """A pull cannot go on; one sentence without anything of a contact and without a secret."""


class CrmLaterError(CrmError):
    """The vendor wants no request before `not_before` (seconds since 1970); what was pulled so far stands."""

    def __init__(self, sentence: str, not_before: float) -> None:
        super().__init__(sentence)
        self.not_before = not_before


@dataclass(frozen=True)
class Clock:
    """Seconds since 1970, and how to wait."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Answer:
    """A vendor's answer, read whole; `content` is parsed JSON, None where it is not JSON."""

    status: int
    headers: httpx.Headers
    content: Any

    @property
    def is_success(self) -> bool:
        """2xx with JSON in it."""
        return 200 <= self.status < 300 and self.content is not None

    @property
    def codes(self) -> list[str]:
        """The vendor's own code words for what went wrong, never its sentences."""
        errors = self.content if isinstance(self.content, list) else [self.content]
        found = [error.get(key) for error in errors if isinstance(error, dict) for key in _CODE_KEYS]
        return [code for code in found if isinstance(code, str) and _CODE_WORD.match(code)]

    def says(self, words: str) -> bool:
        """Whether the vendor's own message holds these words."""
        errors = self.content if isinstance(self.content, list) else [self.content]
        return any(words in str(error.get("message", "")) for error in errors if isinstance(error, dict))

    def date(self, otherwise: float) -> float:
        """The vendor's clock, seconds since 1970."""
        try:
            return parsedate_to_datetime(self.headers["date"]).timestamp()
        except (KeyError, ValueError, OverflowError):
            return otherwise

    def retry_after(self, now: float) -> float | None:
        """Seconds to wait, as the vendor says: a number or a date."""
        given = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", given):
            return float(given)
        try:
            return max(0.0, parsedate_to_datetime(given).timestamp() - now) if given else None
        except (ValueError, OverflowError):
            return None


class Remedy(Enum):
    """What helps against an answer that is no success."""

    TRY_AGAIN = "try again"
    RENEW = "a new access token"
    COME_LATER = "another time"
    NONE = "none"


def usual_remedy(answer: Answer) -> tuple[Remedy, float | None]:
    """The remedy, and the seconds to wait where the vendor's headers do not say."""
    if answer.status == 401:
        return Remedy.RENEW, None
    is_broken = 200 <= answer.status < 300
    return (Remedy.TRY_AGAIN if answer.status == 429 or answer.status in PASSING or is_broken else Remedy.NONE), None


@dataclass
class Caller:
    """One vendor's API as a pull calls it. `spacing` is the least time between two requests, in seconds.

    `renew` brings new headers where the vendor no longer takes those of before; `on_refused` says in a sentence what a person
    has to do where it takes none.
    """

    client: httpx.Client
    name: str
    clock: Clock = field(default_factory=Clock)
    headers: dict[str, str] = field(default_factory=dict)
    remedy: Callable[[Answer], tuple[Remedy, float | None]] = usual_remedy
    renew: Callable[[], Mapping[str, str]] | None = None
    refused: str = "see what the token may read"
    spacing: float = 0.0
    requests: int = 0
    _last: float = 0.0

    def call(self, method: str, path: str, **parts: Any) -> Answer:
        """A successful answer to one request; `parts` are httpx's params, json, data, headers. Raises CrmError, CrmLaterError."""
        is_renewed = False
        backoff = FIRST_WAIT_SECONDS
        why = ""
        for attempt in range(TRIES):
            if attempt:
                backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)
            answer, why = self._sent(method, path, parts)
            if answer and answer.is_success:
                return answer
            remedy, wait = self.remedy(answer) if answer else (Remedy.TRY_AGAIN, None)
            if remedy is Remedy.RENEW and self.renew and not is_renewed:
                self.headers.update(self.renew())
                is_renewed = True
                continue
            if remedy in (Remedy.NONE, Remedy.RENEW):
                raise CrmError(f"{self.name} {why}: {self.refused}.")
            now = self.clock.now()
            asked = answer.retry_after(now) if answer else None
            wait = asked if asked is not None else wait
            if remedy is Remedy.COME_LATER or (wait or 0) > LONGEST_WAIT_SECONDS:
                rest = wait if wait is not None else 3600.0
                until = datetime.fromtimestamp(now + rest, UTC)
                raise CrmLaterError(
                    f"{self.name} {why} and wants no request before {until:%Y-%m-%d %H:%M} UTC; the next pull goes on "
                    "where this one stopped.",
                    now + rest,
                )
            if attempt + 1 < TRIES:
                # jitter: two installations that were refused together do not come back together
                self.clock.sleep(max(wait or 0.0, backoff * random.uniform(0.8, 1.2)))
        raise CrmError(f"{self.name} {why}, {TRIES} times in a row; the next pull goes on where this one stopped.")

    def _sent(self, method: str, path: str, parts: Mapping[str, Any]) -> tuple[Answer | None, str]:
        """One request: its answer where there was one, and in words what happened."""
        pause = self._last + self.spacing - self.clock.now()
        if 0 < pause <= self.spacing:
            self.clock.sleep(pause)
        self._last = self.clock.now()
        self.requests += 1
        headers = {"Accept": "application/json", **self.headers, **parts.get("headers", {})}
        try:
            with self.client.stream(method, path, **{**parts, "headers": headers}) as response:
                body = self._read(response)
        except httpx.TransportError as error:
            return None, f"did not answer ({type(error).__name__})"
        except httpx.InvalidURL:
            raise CrmError(f"{self.name} cannot be called: its URL is not valid.") from None
        answer = Answer(response.status_code, response.headers, _parsed(body))
        if 200 <= answer.status < 300:
            return answer, "answered with something that is not JSON"
        codes = f" ({', '.join(answer.codes)})" if answer.codes else ""
        return answer, f"answered {answer.status}{codes}"

    def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > PAGE_LIMIT_BYTES:
                raise CrmError(f"{self.name} answered with a page of more than {PAGE_LIMIT_BYTES >> 20} MiB.")
        return bytes(body)


def _parsed(body: bytes) -> Any:
    """JSON, with all that the standard library takes: one odd value must not cost a page its other contacts."""
    try:
        return json.loads(body, parse_int=_number)
    except (ValueError, RecursionError):
        return None


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) <= 400 else digits
