"""A signed webhook as Standard Webhooks describes it: several changes a request, HMAC-SHA256 over `id.timestamp.body`.

The receiver may answer row by row: `{"results": [{"idempotency_key", "status", "message", "id"}]}` with status accepted, refused or
retry. Another 2xx accepts all; a 4xx refuses the request, which is then halved until the rows that it is about are found.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import httpx
import pyarrow as pa
from pydantic import Field

from activation.destinations.calls import Answer, call, unusable
from activation.destinations.config import Address, DestinationConfig, SecretReference
from activation.destinations.tools import Tools
from activation.syncs.clock import Clock
from activation.syncs.contract import (
    Change,
    DestinationMisconfiguredError,
    DestinationUnavailableError,
    Outcome,
    Record,
)

_SECRET_PREFIX = "whsec_"
_SHORTEST_SECRET_BYTES = 24
"""As Standard Webhooks asks for."""
_GONE = frozenset({404, 405, 410})


class WebhookConfig(DestinationConfig):
    """`secrets`: what requests are signed with; a second one while it is being rotated."""

    type: Literal["webhook"]
    url: Address
    secrets: Annotated[tuple[SecretReference, ...], Field(min_length=1, max_length=5)]
    batch_size: Annotated[int, Field(ge=1, le=1000)] = 100


def open_webhook(config: WebhookConfig, tools: Tools) -> "Webhook":
    """The adapter. Raises DestinationMisconfiguredError where a secret is not set, or is none."""
    secrets = [signing_key(tools.secret(reference.env), reference.env) for reference in config.secrets]
    return Webhook(config, tools.client_for(config.url), secrets, audience=tools.audience, clock=tools.clock)


def signing_key(secret: str, name: str) -> bytes:
    """The bytes of a secret `whsec_<base64>`. Raises DestinationMisconfiguredError, which names the variable only."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_SECRET_PREFIX) or len(key) < _SHORTEST_SECRET_BYTES:
        raise DestinationMisconfiguredError(
            f"The environment variable {name} is no webhook secret; make one with "
            "python -c 'import base64, os; print(\"whsec_\" + base64.b64encode(os.urandom(32)).decode())'."
        )
    return key


def signatures(keys: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: one signature a secret, by spaces."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    made = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return " ".join(f"v1,{signature}" for signature in made)


class Webhook:
    """The adapter; see the module. `event_type` is the `type` of what it posts."""

    event_type = "audience.changes"

    def __init__(
        self, config: WebhookConfig, client: httpx.Client, keys: Sequence[bytes], *, audience: str, clock: Clock
    ) -> None:
        self._config, self._client, self._keys = config, client, keys
        self._audience, self._clock = audience, clock

    @property
    def batch_size(self) -> int:
        """Changes in one request."""
        return self._config.batch_size

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One record per customer, by customer id."""
        names = list(self._config.fields)
        columns = [members[column].to_pylist() for column in self._config.fields.values()]
        for customer, *values in zip(members["customer_id"].to_pylist(), *columns, strict=True):
            yield Record(customer, customer, dict(zip(names, values, strict=True)))

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """See the contract."""
        answer = self._post(changes)
        if answer.is_success:
            return self._outcomes(changes, answer)
        if answer.status in _GONE:
            raise DestinationMisconfiguredError(f"{self._config.name} answered {answer.status}: see to its url.")
        if len(changes) == 1:
            return [Outcome("refused", _words(answer.content) or f"answered {answer.status}")]
        half = len(changes) // 2
        first = self.send(changes[:half])
        try:
            return [*first, *self.send(changes[half:])]
        except DestinationUnavailableError as error:
            # of the first half some may have been taken
            raise DestinationUnavailableError(str(error), error.retry_after) from None

    def _post(self, changes: Sequence[Change]) -> Answer:
        timestamp = int(self._clock.now())
        content = {
            "type": self.event_type,
            "destination": self._config.name,
            "audience": self._audience,
            "changes": [_told(change) for change in changes],
        }
        body = json.dumps(content, default=_plain, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        message_id = _message_id(changes)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(self._keys, message_id, timestamp, body),
        }
        return call(
            self._client, self._config.name, "POST", self._config.url, clock=self._clock, content=body, headers=headers
        )

    def _outcomes(self, changes: Sequence[Change], answer: Answer) -> list[Outcome]:
        if not isinstance(answer.content, dict) or "results" not in answer.content:
            return [Outcome("accepted") for _ in changes]
        results = answer.content["results"]
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            raise unusable(self._config.name)
        by_key = {str(result.get("idempotency_key")): result for result in results}
        return [_outcome(by_key.get(change.idempotency_key)) for change in changes]


def _told(change: Change) -> dict[str, Any]:
    told = {
        "operation": change.operation,
        "customer_id": change.customer_id,
        "idempotency_key": change.idempotency_key,
        "sequence": change.sequence,
    }
    return told if change.operation == "remove" else told | {"fields": dict(change.payload)}


def _message_id(changes: Sequence[Change]) -> str:
    """The same for the same changes, so that a receiver which knows only of webhook-id sees a repetition."""
    keys = "\n".join(change.idempotency_key for change in changes)
    return changes[0].idempotency_key if len(changes) == 1 else hashlib.sha256(keys.encode()).hexdigest()[:40]


def _outcome(result: Mapping[str, Any] | None) -> Outcome:
    """A row that the answer leaves out was not confirmed."""
    if result is None:
        return Outcome("retry", "left out of the answer", may_be_applied=True)
    status = result.get("status")
    if status not in ("accepted", "refused", "retry"):
        return Outcome("retry", "answered with an unknown status", may_be_applied=True)
    remote_id = result.get("id")
    return Outcome(status, _words(result), str(remote_id) if remote_id is not None else None)


def _words(content: Any) -> str | None:
    message = content.get("message") if isinstance(content, dict) else None
    return message if isinstance(message, str) else None


def _plain(value: object) -> str:
    """Dates, instants (UTC) and decimals as text."""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
