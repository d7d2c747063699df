"""Meta Custom Audiences: hashed identifiers added to, and taken out of, a customer list (Marketing API, /{audience}/users).

Meta says how many entries it could not use and shows samples of some. A sample that names a row refuses that row; of the rest nobody
knows which they are, so every row of that request is accepted with those words, and none is said to be the one.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import httpx
import pyarrow as pa
from pydantic import Field

from activation.destinations.advertising import AdvertisingConfig, Members, Outcomes, send_in_turn
from activation.destinations.calls import Answer, ask, raise_for_status, unusable
from activation.destinations.config import Address, SecretReference
from activation.destinations.identifiers import chunks
from activation.destinations.tools import Tools
from activation.syncs.clock import Clock
from activation.syncs.contract import (
    Change,
    DestinationMisconfiguredError,
    DestinationUnavailableError,
    Outcome,
    Record,
)

MOST_USERS = 10_000
"""In one request; more are refused."""
_RATE_LIMITS = frozenset({4, 17, 32, 613, *range(80000, 80015)})
_TOKEN = frozenset({102, 190, 450, 452, 459, 463, 467})
_TERMS_OR_RIGHTS = frozenset({10, *range(200, 300), 2650, 2654, 2655})
_PASSING = frozenset({1, 2})
_MINUTE = 60


class MetaConfig(AdvertisingConfig):
    """`access_token` of a system user with ads_management; `app_secret` adds the proof that the request comes from the app."""

    type: Literal["meta"]
    access_token: SecretReference
    app_secret: SecretReference | None = None
    api_version: Annotated[str, Field(pattern=r"^v[0-9]{1,3}\.[0-9]$")] = "v25.0"
    api_url: Address = "https://graph.facebook.com"
    most_request_bytes: Annotated[int, Field(ge=10_000, le=20_000_000)] = 2_000_000

    normalisation: Literal["meta-1"] = "meta-1"

    finding: ClassVar[frozenset[str]] = frozenset({"EMAIL", "PHONE", "MADID"})


def open_meta(config: MetaConfig, tools: Tools) -> "Meta":
    """The adapter. Raises DestinationMisconfiguredError where a secret is not set or the audience has no id."""
    token = tools.secret(config.access_token.env)
    app_secret = tools.secret(config.app_secret.env) if config.app_secret else None
    audience_id = config.audience_id(tools.audience)
    return Meta(config, tools.client_for(config.api_url), token, app_secret, audience_id=audience_id, clock=tools.clock)


class Meta:
    """The adapter; see the module."""

    def __init__(
        self,
        config: MetaConfig,
        client: httpx.Client,
        token: str,
        app_secret: str | None,
        *,
        audience_id: str,
        clock: Clock,
    ) -> None:
        self._config, self._client, self._clock = config, client, clock
        self._path = f"/{config.api_version}/{audience_id}/users"
        self._signed = {"access_token": token}
        if app_secret:
            self._signed["appsecret_proof"] = hmac.new(app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        self._members = Members(config, audience_id, finding=config.finding, naming=config.finding | {"EXTERN_ID"})
        self._schema = list(config.fields)

    @property
    def batch_size(self) -> int:
        """Users in one request."""
        return MOST_USERS

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One per customer with an e-mail address, a phone number or a device id."""
        return self._members.records(members)

    def stand(self, keys: Callable[[], pa.ChunkedArray]) -> None:
        """See `SharesIdentifiers`."""
        self._members.stand(keys)

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Removals first; see `send_in_turn`."""
        return send_in_turn(
            changes, self._members, remove=partial(self._tell, "DELETE"), add=partial(self._tell, "POST")
        )

    def _tell(self, method: str, identifiers: Mapping[int, dict[str, str]], outcomes: Outcomes) -> None:
        schema = (
            self._schema if method == "POST" else sorted({field for named in identifiers.values() for field in named})
        )
        data = {row: [named.get(field, "") for field in schema] for row, named in identifiers.items()}
        sizes = {row: sum(len(value) + 12 for value in values) for row, values in data.items()}
        pieces = chunks(list(data), sizes, MOST_USERS, self._config.most_request_bytes)
        session = _session_id(method, self._path, data) if len(pieces) > 1 else None
        for number, rows in enumerate(pieces, start=1):
            form = {**self._signed, "payload": json.dumps({"schema": schema, "data": [data[row] for row in rows]})}
            if session is not None:
                of = {"session_id": session, "batch_seq": number, "last_batch_flag": number == len(pieces)}
                form["session"] = json.dumps({**of, "estimated_num_total": len(data)})
            answer = ask(self._client, self._config.name, method, self._path, data=form)
            self._check(answer)
            self._take(answer, rows, data, outcomes)

    def _check(self, answer: Answer) -> None:
        """Raise what an answer means that took nothing."""
        name, error = self._config.name, _error(answer.content)
        code = error.get("code")
        if answer.is_success and not error:
            return
        if code in _RATE_LIMITS:
            wait = _regain_access(answer.headers) or answer.retry_after(self._clock.now())
            raise DestinationUnavailableError(
                f"{name} wants fewer requests (Meta's code {code}).", wait, may_be_applied=False
            )
        if code in _PASSING or error.get("is_transient") is True:
            raise DestinationUnavailableError(f"{name} has a passing fault (Meta's code {code}).")
        if code in _TOKEN:
            variable = self._config.access_token.env
            raise DestinationMisconfiguredError(
                f"{name}: Meta does not take the access token (code {code}); put a new one into {variable}."
            )
        if code in _TERMS_OR_RIGHTS:
            raise DestinationMisconfiguredError(
                f"{name}: Meta does not allow it{_told(error)}; accept the terms of custom audiences, and give the token "
                "ads_management of the ad account."
            )
        if isinstance(code, int):
            raise DestinationMisconfiguredError(
                f"{name}: Meta cannot take the request{_told(error)}; see to audience_ids."
            )
        raise_for_status(answer, name, self._clock)
        raise unusable(name)

    def _take(self, answer: Answer, rows: list[int], data: Mapping[int, list[str]], outcomes: Outcomes) -> None:
        told = answer.content
        received, invalid = (
            (told.get(name) for name in ("num_received", "num_invalid_entries"))
            if isinstance(told, dict)
            else (None, None)
        )
        if not isinstance(received, int) or not isinstance(invalid, int) or received < len(rows):
            raise unusable(self._config.name)
        if invalid >= len(rows):
            outcomes.tell(rows, Outcome("refused", f"Meta could use none of {len(rows)} entries"))
            return
        samples = told.get("invalid_entry_samples")
        refused = _named(samples if isinstance(samples, dict) else {}, rows, data)
        rest = [row for row in rows if row not in refused]
        unnamed = invalid - len(refused)
        words = f"Meta could not use {unnamed} of {len(rows)} entries and did not say which" if unnamed > 0 else None
        outcomes.tell(rest, Outcome("accepted", words))
        for row, why in refused.items():
            outcomes.tell([row], Outcome("refused", why))


def _named(samples: Mapping[str, Any], rows: Sequence[int], data: Mapping[int, list[str]]) -> dict[int, str]:
    """Rows that a sample names: by a value that no other row of the request has, or by all of them."""
    if not samples:
        return {}
    by_entry: dict[str, set[int]] = {}
    for row in rows:
        for entry in (*filter(None, data[row]), json.dumps(data[row], separators=(",", ":"))):
            by_entry.setdefault(entry, set()).add(row)
    found: dict[int, str] = {}
    for entry, why in samples.items():
        named = by_entry.get(re.sub(r"\s", "", entry), set())
        for row in named if len(named) == 1 else ():
            found[row] = (
                f"Meta could not use it: {why}" if isinstance(why, str) and why != entry else "Meta could not use it"
            )
    return found


def _error(content: Any) -> Mapping[str, Any]:
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, dict) else {}


def _told(error: Mapping[str, Any]) -> str:
    """Its numbers and its title, a sentence that is the same for everybody; never its message, which may repeat what was sent."""
    title = error.get("error_user_title")
    plain = isinstance(title, str) and re.fullmatch(r"[A-Za-z][A-Za-z ,.'()-]{2,80}", title)
    subcode = error.get("error_subcode")
    numbers = f"code {error.get('code')}" + (f", subcode {subcode}" if isinstance(subcode, int) else "")
    return f" ({numbers}: {title})" if plain else f" ({numbers})"


def _regain_access(headers: httpx.Headers) -> float | None:
    """Seconds after which Meta lets the account in again; its header says minutes, by business."""
    try:
        usage = json.loads(headers.get("x-business-use-case-usage", "{}"))
        entries = [entry for listed in usage.values() for entry in listed]
        minutes = max((float(entry.get("estimated_time_to_regain_access", 0)) for entry in entries), default=0.0)
    except (ValueError, TypeError, AttributeError):
        return None
    return minutes * _MINUTE or None


def _session_id(method: str, path: str, data: Mapping[int, list[str]]) -> int:
    """The same for the same content, so that a repeated upload is the same session."""
    content = json.dumps([method, path, list(data.values())]).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:7], "big") or 1
