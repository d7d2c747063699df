"""One request to a destination: its answer bounded in size, its failure told as the sync engine wants it.

Nothing that was sent, and nothing of an answer that an adapter did not ask for, gets into an error.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from activation.syncs.clock import Clock
from activation.syncs.contract import DestinationMisconfiguredError, DestinationUnavailableError

ANSWER_LIMIT_BYTES = 64 << 10
"""What is read of an answer, unless the vendor is known to say more; the rest is left."""


@dataclass(frozen=True)
class Answer:
    """What a destination answered; `content` is parsed JSON, None where it is not JSON (or was cut at the limit)."""

    status: int
    headers: httpx.Headers
    body: bytes
    content: Any

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    def retry_after(self, now: float) -> float | None:
        """Seconds to wait as the header says, a number or a date."""
        given = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", given):
            return float(given)
        try:
            return max(0.0, parsedate_to_datetime(given).timestamp() - now) if given else None
        except (ValueError, OverflowError):
            return None


def call(client: httpx.Client, name: str, method: str, path: str, *, clock: Clock, **parts: Any) -> Answer:
    """The answer to one request that the destination took or refused as it is: 2xx, or 4xx for what was sent (400, 409, 422 …).

    `name` is the destination's own; `parts` are httpx's (json, content, data, params, headers).
    Raises DestinationUnavailableError for no answer, 3xx, 408, 425, 429 and 5xx; DestinationMisconfiguredError for 401 and 403.
    """
    answer = ask(client, name, method, path, **parts)
    raise_for_status(answer, name, clock)
    return answer


def ask(
    client: httpx.Client, name: str, method: str, path: str, *, limit: int = ANSWER_LIMIT_BYTES, **parts: Any
) -> Answer:
    """As `call`, for a vendor whose statuses mean something of their own: every answer there is, the first `limit` bytes of it."""
    # what comes compressed could be a thousand times as long
    headers = {"Accept": "application/json", **parts.pop("headers", {}), "Accept-Encoding": "identity"}
    # httpx ends a base URL with a slash, also behind a query; a URL that is called as it is must not get one
    path = path or str(client.base_url).rstrip("/")
    try:
        with client.stream(method, path, headers=headers, **parts) as response:
            body = _read(response, limit)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        # nothing was sent yet
        raise DestinationUnavailableError(
            f"{name} cannot be reached ({type(error).__name__}).", may_be_applied=False
        ) from None
    except (httpx.TransportError, httpx.StreamError) as error:
        raise DestinationUnavailableError(f"{name} did not answer ({type(error).__name__}).") from None
    except httpx.InvalidURL:
        raise DestinationMisconfiguredError(f"{name} cannot be called: its URL is not valid.") from None
    return Answer(response.status_code, response.headers, body, _parsed(body))


def raise_for_status(answer: Answer, name: str, clock: Clock) -> None:
    """What `call` does with a status."""
    wait = answer.retry_after(clock.now())
    if answer.status == 429:
        raise DestinationUnavailableError(f"{name} wants fewer requests (429).", wait, may_be_applied=False)
    if answer.status in (408, 425) or answer.status >= 500:
        raise DestinationUnavailableError(f"{name} answered {answer.status}.", wait)
    if answer.status in (401, 403):
        raise DestinationMisconfiguredError(f"{name} answered {answer.status}: see to its secret and what it may do.")
    if 300 <= answer.status < 400:
        raise DestinationUnavailableError(
            f"{name} answered {answer.status}, a redirect, which is not followed; write the address that it leads to.",
            may_be_applied=False,
        )


@contextmanager
def several(is_partly_done: Callable[[], bool]) -> Iterator[None]:
    """Around a `send` of more than one request: where one fails after another was carried out, what was applied is open."""
    try:
        yield
    except DestinationUnavailableError as error:
        if is_partly_done():
            raise DestinationUnavailableError(str(error), error.retry_after) from None
        raise
    except DestinationMisconfiguredError as error:
        if is_partly_done():
            raise DestinationUnavailableError(str(error)) from None
        raise


def unusable(name: str) -> DestinationUnavailableError:
    """For a 2xx whose body does not say what became of what was sent."""
    return DestinationUnavailableError(f"{name} answered with something else than expected.")


def _read(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    for chunk in response.iter_raw(64 << 10):
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
