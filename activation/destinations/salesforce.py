"""Salesforce records, by an external id: an audience is a checkbox of the record. Who leaves keeps the record, with it false.

API: sObject Collections, `PATCH composite/sobjects/<object>/<external id>` to upsert and `PATCH composite/sobjects` to update by id;
200 rows a request, each with its own result (allOrNone=false).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import httpx
import pyarrow as pa
from pydantic import Field, model_validator

from activation.destinations.calls import Answer, ask, raise_for_status, several, unusable
from activation.destinations.config import Address, Column, DestinationConfig, SecretReference
from activation.destinations.tools import Tools
from activation.destinations.values import record_key, rows, text_value
from activation.syncs.clock import Clock
from activation.syncs.contract import (
    Change,
    DestinationMisconfiguredError,
    DestinationUnavailableError,
    Outcome,
    Record,
)

MOST_ROWS = 200
ANSWER_BYTES = 1 << 20
DAY_LIMIT_WAIT = 3600.0
"""Seconds; the limit is of the last 24 hours, so that it frees itself little by little."""
PASSING = frozenset({"UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "TXN_SECURITY_METERING_ERROR"})
NAMED = frozenset({"Contact", "Lead"})
"""Objects that cannot be made without a name."""
GONE = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"})
ApiName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]


class SalesforceConfig(DestinationConfig):
    """`external_id`: a field marked as External ID and unique; it takes its value from `id_column`. `membership`: a checkbox.

    Client credentials, or, with `refresh_token`, that grant. `url` is where the org lives (My Domain).
    """

    type: Literal["salesforce"]
    url: Address
    client_id: Annotated[str, Field(min_length=1, max_length=300)]
    client_secret: SecretReference
    refresh_token: SecretReference | None = None
    object: ApiName = "Contact"
    external_id: ApiName = "Weft_Id__c"
    id_column: Column = "customer_id"
    membership: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\{audience\}[A-Za-z0-9_]*)?$")]
    version: Annotated[str, Field(pattern=r"^v\d{2,3}\.0$")] = "v62.0"
    fields: dict[ApiName, Column] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _once_each(self) -> "SalesforceConfig":
        taken = {self.external_id, self.membership} & set(self.fields)
        if taken:
            raise ValueError(f"fields may not set {', '.join(sorted(taken))}: Weft writes it by itself")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """What `fields` needs, and what names the record."""
        named = () if self.id_column == "customer_id" else (self.id_column,)
        return tuple(dict.fromkeys((*named, *super().columns)))


def open_salesforce(config: SalesforceConfig, tools: Tools) -> "Salesforce":
    """The adapter; it logs in with the first request. Raises DestinationMisconfiguredError where a secret is not set."""
    refresh_token = tools.secret(config.refresh_token.env) if config.refresh_token else None
    return Salesforce(
        config,
        tools.client_for(config.url),
        secret=tools.secret(config.client_secret.env),
        refresh_token=refresh_token,
        audience=tools.audience,
        clock=tools.clock,
    )


class Salesforce:
    """The adapter; see the module."""

    batch_size = MOST_ROWS

    def __init__(
        self,
        config: SalesforceConfig,
        client: httpx.Client,
        *,
        secret: str,
        refresh_token: str | None,
        audience: str,
        clock: Clock,
    ) -> None:
        self._config, self._client, self._clock = config, client, clock
        self._secret, self._refresh_token = secret, refresh_token
        self._membership = config.membership.replace("{audience}", audience)
        self._token: str | None = None
        self._is_partly_done = False

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One record per value of the external id."""
        config = self._config
        ids = members[config.id_column].to_pylist()
        for (customer, values), named in zip(rows(members, config.fields), ids, strict=True):
            id_ = text_value(named).strip()
            if id_:
                yield Record(record_key(config.id_column, id_), customer, {config.external_id: id_, **values})

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """See the contract. Upserts and removals go in a request each."""
        self._is_partly_done = False
        with several(lambda: self._is_partly_done):
            return self._send(changes)

    def _send(self, changes: Sequence[Change]) -> list[Outcome]:
        config = self._config
        outcomes: dict[int, Outcome] = {}
        upserts: list[tuple[int, dict[str, Any]]] = []
        updates: list[tuple[int, dict[str, Any]]] = []
        kind = {"attributes": {"type": config.object}}
        for position, change in enumerate(changes):
            if change.operation == "upsert":
                upserts.append((position, {**kind, **change.payload, self._membership: True}))
            elif change.remote_id:
                updates.append((position, {**kind, "id": change.remote_id, self._membership: False}))
            elif config.id_column == "customer_id" and config.object in NAMED:
                # a required field is missing on purpose: a record that was never made is not made to be left
                upserts.append((position, {**kind, config.external_id: change.key, self._membership: False}))
            else:
                outcomes[position] = Outcome("refused", "Salesforce never told this record's id")
        for path, chosen in ((f"/{config.object}/{config.external_id}", upserts), ("", updates)):
            if chosen:
                positions, records = zip(*chosen, strict=True)
                whole = [changes[position] for position in positions]
                outcomes.update(zip(positions, self._sent(path, whole, list(records)), strict=True))
        return [outcomes[position] for position in range(len(changes))]

    def _sent(self, path: str, changes: list[Change], records: list[dict[str, Any]]) -> list[Outcome]:
        path = f"/services/data/{self._config.version}/composite/sobjects{path}"
        content = {"allOrNone": False, "records": records}
        answer = self._asked(path, content)
        if answer.status == 401:
            self._token = None  # a session ends after a while; a new one is asked for once
            answer = self._asked(path, content)
        self._raise_for(answer, records)
        self._is_partly_done = True
        results = answer.content
        if not isinstance(results, list) or len(results) != len(changes):
            raise unusable(self._config.name)
        return [_outcome(change, result) for change, result in zip(changes, results, strict=True)]

    def _asked(self, path: str, content: Mapping[str, Any]) -> Answer:
        if self._token is None:
            self._token = self._log_in()
        headers = {"Authorization": f"Bearer {self._token}"}
        return ask(
            self._client, self._config.name, "PATCH", path, limit=ANSWER_BYTES, headers=headers, json=dict(content)
        )

    def _log_in(self) -> str:
        """A session. The answer's `instance_url` is not followed: `url` is where this org lives."""
        config = self._config
        grant = {"grant_type": "client_credentials"}
        if self._refresh_token:
            grant = {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
        data = {**grant, "client_id": config.client_id, "client_secret": self._secret}
        answer = ask(self._client, config.name, "POST", "/services/oauth2/token", data=data)
        if answer.status in (400, 401, 403):
            words = answer.content.get("error") if isinstance(answer.content, dict) else None
            code = f" ({words})" if words in ("invalid_client", "invalid_client_id", "invalid_grant") else ""
            raise DestinationMisconfiguredError(
                f"{config.name}: Salesforce gives no session{code}; see the connected app, client_id and the variable "
                f"{config.client_secret.env}{f' or {config.refresh_token.env}' if config.refresh_token else ''}."
            )
        raise_for_status(answer, config.name, self._clock)
        token = answer.content.get("access_token") if isinstance(answer.content, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise unusable(config.name)
        return token

    def _raise_for(self, answer: Answer, records: Sequence[Mapping[str, Any]]) -> None:
        """What an answer says about the whole request; rows have their own results."""
        config, name = self._config, self._config.name
        if answer.is_success:
            return
        errors = (
            [error for error in answer.content if isinstance(error, dict)] if isinstance(answer.content, list) else []
        )
        codes = {str(error.get("errorCode")) for error in errors}
        message = " ".join(str(error.get("message")) for error in errors)
        if "REQUEST_LIMIT_EXCEEDED" in codes:
            is_concurrent = "ConcurrentRequests" in message
            wait = answer.retry_after(self._clock.now()) or (5.0 if is_concurrent else DAY_LIMIT_WAIT)
            which = "too many requests at once" if is_concurrent else "the org's requests of this day are used up"
            raise DestinationUnavailableError(f"{name}: {which} (403).", wait, may_be_applied=False)
        if PASSING & codes:
            raise DestinationUnavailableError(f"{name} answered {', '.join(sorted(PASSING & codes))}.")
        if answer.status == 401:
            raise DestinationMisconfiguredError(f"{name}: Salesforce refuses the session that it has just given.")
        raise_for_status(answer, name, self._clock)
        ours = sorted({field for record in records for field in record if f"'{field}'" in message})
        if "INVALID_FIELD" in codes and ours:
            raise DestinationMisconfiguredError(
                f"{name}: Salesforce has no field {ours[0]} on {config.object} that this user may write; create it, or take it out of "
                "destinations.yml."
            )
        if answer.status == 404:
            raise DestinationMisconfiguredError(
                f"{name}: Salesforce has no {config.object} with the external id {config.external_id}; see object and external_id."
            )
        told = ", ".join(sorted(code for code in codes if code.isupper() and code.isascii())) or "no reason"
        raise DestinationMisconfiguredError(f"{name}: Salesforce refuses the whole request ({answer.status}, {told}).")


def _outcome(change: Change, result: Any) -> Outcome:
    if not isinstance(result, dict):
        return Outcome("retry", "left out of the answer", may_be_applied=True)
    if result.get("success") is True:
        return Outcome("accepted", remote_id=str(result["id"]) if result.get("id") else change.remote_id)
    errors = [error for error in result.get("errors") or [] if isinstance(error, dict)]
    codes = [str(error.get("statusCode")) for error in errors]
    words = "; ".join(_told(error) for error in errors) or "refused without a reason"
    if change.operation == "remove" and (GONE & set(codes) or codes == ["REQUIRED_FIELD_MISSING"]):
        return Outcome("accepted", "the record is not there")
    is_passing = bool(codes) and set(codes) <= PASSING
    return Outcome("retry" if is_passing else "refused", words)


def _told(error: Mapping[str, Any]) -> str:
    fields = error.get("fields")
    named = f" ({', '.join(map(str, fields))})" if isinstance(fields, list) and fields else ""
    return f"{error.get('statusCode')}{named}: {error.get('message')}"
