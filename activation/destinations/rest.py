"""Any JSON API that takes one record by its key, or a list of them: method, path and body are written in destinations.yml.

`{key}` in a path is the customer id. In a body, a string that is `{name}` alone is replaced by the value (a number stays a number),
within a longer string by its text; the names are those of `fields`, `key` and `audience`.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx
import pyarrow as pa
from pydantic import Field, JsonValue, model_validator

from activation.destinations.calls import Answer, call, several, unusable
from activation.destinations.config import Address, DestinationConfig, SecretReference, Strict
from activation.destinations.tools import Tools
from activation.destinations.values import rows, text_value
from activation.syncs.clock import Clock
from activation.syncs.contract import Change, DestinationMisconfiguredError, Outcome, Record

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TOKEN = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")
Dotted = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]
HeaderName = Annotated[str, Field(pattern=_TOKEN.pattern)]
ANSWER_BYTES = 4 << 20


class Auth(Strict):
    """A header with a secret: `value` is what stands in it, `{secret}` included."""

    header: HeaderName = "Authorization"
    value: Annotated[str, Field(pattern=r"^[^\r\n]*\{secret\}[^\r\n]*$")] = "Bearer {secret}"
    secret: SecretReference


class RestRequest(Strict):
    """How one operation is asked for. With `list_in`, `body` is one row and the rows stand in a list there; without it a request is
    one record's."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[str, Field(pattern=r"^/[^\s?#]*$")]
    body: JsonValue = None
    list_in: Dotted | None = None
    gone: tuple[Annotated[int, Field(ge=400, le=499)], ...] = ()
    """Statuses that mean the record is not there, which is what a removal wants."""

    @model_validator(mode="after")
    def _fits(self) -> "RestRequest":
        if self.list_in and (self.body is None or "{" in self.path):
            raise ValueError("list_in needs a body for a row, and a path without {key}")
        if set(_PLACEHOLDER.findall(self.path)) - {"key", "remote_id"}:
            raise ValueError("a path takes {key} and {remote_id} only: paths are written to logs")
        return self


class RestResults(Strict):
    """Where the answer to a list says what became of each row. Rows without `key` are taken in the order they were sent."""

    at: Dotted
    key: Dotted | None = None
    is_accepted: Dotted
    words: Dotted | None = None


class RestConfig(DestinationConfig):
    """One API. `remote_id`: where the answer for a record (or a row of it) has the id that the API gave it."""

    type: Literal["rest"]
    url: Address
    auth: Auth | None = None
    upsert: RestRequest
    remove: RestRequest
    idempotency_header: HeaderName | None = None
    batch_size: Annotated[int, Field(ge=1, le=1000)] = 100
    results: RestResults | None = None
    remote_id: Dotted | None = None

    @model_validator(mode="after")
    def _known(self) -> "RestConfig":
        own = {"key", "audience", "remote_id"}
        if taken := own & set(self.fields):
            raise ValueError(f"fields may not be called {', '.join(sorted(taken))}")
        for name, request, known in (("upsert", self.upsert, own | set(self.fields)), ("remove", self.remove, own)):
            if unknown := sorted(set(_names(request.body)) - known):
                raise ValueError(f"{name}: the body's {{{unknown[0]}}} is none of {', '.join(sorted(known))}")
        return self


def open_rest(config: RestConfig, tools: Tools) -> "Rest":
    """The adapter. Raises DestinationMisconfiguredError where the secret is not set, or cannot stand in a header."""
    headers = {}
    if config.auth:
        secret = tools.secret(config.auth.secret.env)
        if not secret.isascii() or not secret.isprintable():
            raise DestinationMisconfiguredError(
                f"The environment variable {config.auth.secret.env} holds what no header can hold."
            )
        headers[config.auth.header] = config.auth.value.replace("{secret}", secret)
    return Rest(config, tools.client_for(config.url), headers, audience=tools.audience, clock=tools.clock)


class Rest:
    """The adapter; see the module."""

    def __init__(
        self, config: RestConfig, client: httpx.Client, headers: Mapping[str, str], *, audience: str, clock: Clock
    ) -> None:
        self._config, self._client, self._headers = config, client, headers
        self._audience, self._clock = audience, clock
        self._is_partly_done = False

    @property
    def batch_size(self) -> int:
        """One, unless both operations take a list."""
        return self._config.batch_size if self._config.upsert.list_in and self._config.remove.list_in else 1

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One record per customer, by customer id."""
        for customer, values in rows(members, self._config.fields):
            yield Record(customer, customer, values)

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """See the contract."""
        self._is_partly_done = False
        with several(lambda: self._is_partly_done):
            return self._send(changes)

    def _send(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        for request, operation in ((self._config.upsert, "upsert"), (self._config.remove, "remove")):
            chosen = [position for position, change in enumerate(changes) if change.operation == operation]
            if chosen:
                sent = [changes[position] for position in chosen]
                found = self._list(request, sent) if request.list_in else [self._one(request, each) for each in sent]
                outcomes.update(zip(chosen, found, strict=True))
        return [outcomes[position] for position in range(len(changes))]

    def _one(self, request: RestRequest, change: Change) -> Outcome:
        if "{remote_id}" in request.path and not change.remote_id:
            return Outcome("refused", f"{self._config.name} never told this record's id")
        named = {"key": change.key, "remote_id": change.remote_id or ""}
        path = _PLACEHOLDER.sub(lambda found: quote(named[found[1]], safe=""), request.path)
        answer = self._asked(request, path, self._body(request, change), change.idempotency_key)
        return self._outcome(request, change, answer)

    def _outcome(self, request: RestRequest, change: Change, answer: Answer) -> Outcome:
        if answer.is_success:
            return Outcome("accepted", remote_id=_text(_at(answer.content, self._config.remote_id)))
        if change.operation == "remove" and answer.status in request.gone:
            return Outcome("accepted", "it was not there")
        return Outcome("refused", f"answered {answer.status}")

    def _list(self, request: RestRequest, changes: Sequence[Change]) -> list[Outcome]:
        assert request.list_in
        body: Any = [self._body(request, change) for change in changes]
        for part in reversed(request.list_in.split(".")):
            body = {part: body}
        keys = [change.idempotency_key for change in changes]
        answer = self._asked(request, request.path, body, keys[0] if len(keys) == 1 else _joined(keys))
        if answer.is_success:
            return self._row_outcomes(changes, answer)
        if len(changes) == 1:
            return [self._outcome(request, changes[0], answer)]
        half = len(changes) // 2
        return [*self._list(request, changes[:half]), *self._list(request, changes[half:])]

    def _row_outcomes(self, changes: Sequence[Change], answer: Answer) -> list[Outcome]:
        results = self._config.results
        if results is None:
            return [Outcome("accepted") for _ in changes]
        told = _at(answer.content, results.at)
        if not isinstance(told, list) or (results.key is None and len(told) != len(changes)):
            raise unusable(self._config.name)
        if results.key is None:
            return [self._row(row) for row in told]
        by_key = {str(_at(row, results.key)): row for row in told}
        return [self._row(by_key.get(change.key)) for change in changes]

    def _row(self, row: Any) -> Outcome:
        results = self._config.results
        assert results
        if row is None:
            return Outcome("retry", "left out of the answer", may_be_applied=True)
        if _at(row, results.is_accepted) in (True, "true", "ok", "success"):
            return Outcome("accepted", remote_id=_text(_at(row, self._config.remote_id)))
        return Outcome("refused", _text(_at(row, results.words)) or "refused without a reason")

    def _asked(self, request: RestRequest, path: str, body: Any, idempotency_key: str) -> Answer:
        headers = dict(self._headers)
        if self._config.idempotency_header:
            headers[self._config.idempotency_header] = idempotency_key
        content = {} if body is None else {"json": body}
        answer = call(
            self._client, self._config.name, request.method, path,
            clock=self._clock, limit=ANSWER_BYTES, headers=headers, **content,
        )  # fmt: skip
        self._is_partly_done = self._is_partly_done or answer.is_success
        if answer.status in (404, 405, 410) and answer.status not in request.gone and "{" not in request.path:
            raise DestinationMisconfiguredError(
                f"{self._config.name} answered {answer.status}: see to its url and path."
            )
        return answer

    def _body(self, request: RestRequest, change: Change) -> Any:
        own = {"key": change.key, "audience": self._audience, "remote_id": change.remote_id}
        return _filled(request.body, {**change.payload, **own})


def _names(body: Any) -> Iterator[str]:
    if isinstance(body, str):
        yield from _PLACEHOLDER.findall(body)
    for part in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        yield from _names(part)


def _filled(body: Any, values: Mapping[str, Any]) -> Any:
    """A template with its values; what a value holds is not looked at again."""
    if isinstance(body, dict):
        return {name: _filled(part, values) for name, part in body.items()}
    if isinstance(body, list):
        return [_filled(part, values) for part in body]
    if not isinstance(body, str):
        return body
    alone = _PLACEHOLDER.fullmatch(body)
    if alone:
        return values[alone[1]]
    return _PLACEHOLDER.sub(lambda found: text_value(values[found[1]]), body)


def _at(content: Any, dotted: str | None) -> Any:
    for part in dotted.split(".") if dotted else ():
        content = content.get(part) if isinstance(content, dict) else None
    return content if dotted else None


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _joined(keys: Sequence[str]) -> str:
    """One key for the same rows in the same order."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:40]
