"""HubSpot contacts: an audience is a property of the contact. Who leaves keeps the contact, with the property false.

API: developers.hubspot.com, CRM v3 `contacts/batch/upsert` and `batch/update`; 100 rows a request. HubSpot answers 207 with the rows
that failed, or 400 for all of them: then the request is halved until the rows that it is about are found.
"""

import json
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

MOST_ROWS = 100
ANSWER_BYTES = 4 << 20
CONTACTS = "/crm/v3/objects/contacts"
DAY_LIMIT_WAIT = 3600.0
"""Seconds; HubSpot does not say how long the account's midnight is away."""
Property = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]


class HubSpotConfig(DestinationConfig):
    """`id_property`: what names a contact, `email` or a property with unique values; it takes its value from `id_column`.

    `membership`: a single-checkbox property; `{audience}` in it is the audience's name. `key_property`: a unique text property for
    Weft's own key of the record, with which also a contact is found whose id HubSpot never got to tell.
    """

    type: Literal["hubspot"]
    token: SecretReference
    url: Address = "https://api.hubapi.com"
    id_property: Property = "email"
    id_column: Column = "email"
    membership: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\{audience\}[a-z0-9_]*)?$")] = "weft_{audience}"
    key_property: Property | None = None
    fields: dict[Property, Column] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _once_each(self) -> "HubSpotConfig":
        taken = {self.id_property, self.key_property, self.membership} & set(self.fields)
        if taken:
            raise ValueError(f"fields may not set {', '.join(sorted(map(str, taken)))}: Weft writes it by itself")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """What `fields` needs, and what names the contact."""
        return tuple(dict.fromkeys((self.id_column, *super().columns)))


def open_hubspot(config: HubSpotConfig, tools: Tools) -> "HubSpot":
    """The adapter. Raises DestinationMisconfiguredError where the token is not set."""
    return HubSpot(
        config, tools.client_for(config.url), tools.secret(config.token.env), audience=tools.audience, clock=tools.clock
    )


class HubSpot:
    """The adapter; see the module."""

    batch_size = MOST_ROWS

    def __init__(self, config: HubSpotConfig, client: httpx.Client, token: str, *, audience: str, clock: Clock) -> None:
        self._config, self._client, self._clock = config, client, clock
        self._headers = {"Authorization": f"Bearer {token}"}
        self._membership = config.membership.replace("{audience}", audience)
        self._is_partly_done = False

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One record per contact. A changed e-mail is another contact: the one before loses the audience."""
        config = self._config
        ids = members[config.id_column].to_pylist()
        for (customer, values), named in zip(rows(members, config.fields), ids, strict=True):
            id_ = text_value(named).strip()
            if not id_:
                continue
            id_ = id_.lower() if config.id_property == "email" else id_
            properties = {name: text_value(value) for name, value in values.items()}
            yield Record(record_key(config.id_column, id_), customer, {config.id_property: id_, **properties})

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """See the contract. Upserts and removals go in a request each."""
        self._is_partly_done = False
        with several(lambda: self._is_partly_done):
            return self._send(changes)

    def _send(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        inputs: dict[str, list[tuple[int, dict[str, Any]]]] = {"upsert": [], "update": [], "by_key": []}
        for position, change in enumerate(changes):
            path, row = self._input(change)
            if row is None:
                outcomes[position] = Outcome("refused", "HubSpot never told this contact's id; see key_property")
            else:
                inputs[path].append((position, row))
        for path, chosen in inputs.items():
            if chosen:
                positions, sent = zip(*chosen, strict=True)
                whole = [changes[position] for position in positions]
                found = self._sent("upsert" if path == "upsert" else "update", whole, list(sent))
                outcomes.update(zip(positions, found, strict=True))
        return [outcomes[position] for position in range(len(changes))]

    def _input(self, change: Change) -> tuple[str, dict[str, Any] | None]:
        config = self._config
        if change.operation == "upsert":
            properties = {**change.payload, self._membership: "true"}
            id_ = properties.pop(config.id_property)
            if config.key_property:
                properties[config.key_property] = change.key
            return "upsert", {"id": id_, "idProperty": config.id_property, "properties": properties}
        properties = {self._membership: "false"}
        if change.remote_id:
            return "update", {"id": change.remote_id, "properties": properties}
        known = config.key_property or (config.id_property if config.id_column == "customer_id" else None)
        return "by_key", {"id": change.key, "idProperty": known, "properties": properties} if known else None

    def _sent(self, what: str, changes: list[Change], inputs: list[dict[str, Any]]) -> list[Outcome]:
        traced = [{**each, "objectWriteTraceId": str(number)} for number, each in enumerate(inputs)]
        answer = ask(
            self._client, self._config.name, "POST", f"{CONTACTS}/batch/{what}",
            limit=ANSWER_BYTES, headers=self._headers, json={"inputs": traced},
        )  # fmt: skip
        self._raise_for(answer)
        if answer.is_success:
            self._is_partly_done = True
            return self._outcomes(answer, changes, inputs)
        self._raise_for_properties(answer, inputs)
        if len(changes) == 1:
            return [Outcome("refused", _words(answer.content) or f"answered {answer.status}")]
        half = len(changes) // 2
        return [
            *self._sent(what, changes[:half], inputs[:half]),
            *self._sent(what, changes[half:], inputs[half:]),
        ]

    def _raise_for(self, answer: Answer) -> None:
        name, content = self._config.name, answer.content if isinstance(answer.content, dict) else {}
        if answer.status == 429:
            is_day = content.get("policyName") == "DAILY"
            wait = answer.retry_after(self._clock.now())
            raise DestinationUnavailableError(
                f"{name}: the limit of {'the day' if is_day else 'ten seconds'} is reached (429).",
                wait if wait is not None else DAY_LIMIT_WAIT if is_day else 10.0,
                may_be_applied=False,
            )
        if answer.status == 403:
            raise DestinationMisconfiguredError(
                f"{name} answered 403: the token needs the scopes crm.objects.contacts.read and .write."
            )
        raise_for_status(answer, name, self._clock)

    def _raise_for_properties(self, answer: Answer, inputs: Sequence[Mapping[str, Any]]) -> None:
        """A property that is not there concerns every row, and a person has to make it."""
        problems = _problems(answer.content)
        missing = {problem.get("name") for problem in problems if problem.get("error") == "PROPERTY_DOESNT_EXIST"}
        ours = sorted({name for each in inputs for name in each["properties"] if name in missing})
        if ours:
            kind = "a single checkbox" if self._membership in ours else "of the type that its column has"
            raise DestinationMisconfiguredError(
                f"{self._config.name}: HubSpot has no contact property {' and no '.join(ours)}; create it ({kind}), or take it out "
                "of destinations.yml."
            )
        if "non-unique" in _message(answer.content):
            named = self._config.key_property or self._config.id_property
            raise DestinationMisconfiguredError(
                f"{self._config.name}: the contact property {named} does not require unique values; choose one that does."
            )

    def _outcomes(
        self, answer: Answer, changes: Sequence[Change], inputs: Sequence[Mapping[str, Any]]
    ) -> list[Outcome]:
        content = answer.content
        if not isinstance(content, dict) or not isinstance(content.get("results"), list):
            raise unusable(self._config.name)
        accepted: dict[int, Outcome] = {}
        by_name = {_named(each): position for position, each in enumerate(inputs)}
        for result in _objects(content["results"]):
            position = _traced(result.get("objectWriteTraceId"), len(inputs))
            if position is None:
                position = self._position(result, by_name)
            if position is not None:
                accepted[position] = Outcome("accepted", remote_id=str(result["id"]) if result.get("id") else None)
        failed = _failures(content.get("errors"), inputs)
        outcomes = []
        for position, change in enumerate(changes):
            if position in accepted:
                outcomes.append(accepted[position])
            elif position not in failed:
                outcomes.append(Outcome("retry", "left out of the answer", may_be_applied=True))
            elif change.operation == "remove" and failed[position].startswith("OBJECT_NOT_FOUND"):
                outcomes.append(Outcome("accepted", "the contact is not there any more"))
            else:
                outcomes.append(Outcome("refused", failed[position]))
        return outcomes

    def _position(self, result: Mapping[str, Any], by_name: Mapping[tuple[Any, str], int]) -> int | None:
        """Which input a result without a trace belongs to."""
        properties = result.get("properties")
        held = properties if isinstance(properties, dict) else {}
        candidates: list[tuple[Any, str]] = [(None, str(result.get("id")))]
        candidates += [
            (name, str(held.get(name)).lower()) for name in (self._config.id_property, self._config.key_property)
        ]
        return next((by_name[each] for each in candidates if each in by_name), None)


def _named(each: Mapping[str, Any]) -> tuple[Any, str]:
    return each.get("idProperty"), str(each["id"]).lower()


def _objects(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _traced(trace: Any, count: int) -> int | None:
    is_ours = isinstance(trace, str) and trace.isascii() and trace.isdigit() and len(trace) < 4 and int(trace) < count
    return int(trace) if is_ours else None


def _failures(errors: Any, inputs: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Position of a row that failed: why. An error names its rows by trace id, or by their ids."""
    by_id = {str(each["id"]): position for position, each in enumerate(inputs)}
    failed: dict[int, str] = {}
    for error in _objects(errors):
        given = error.get("context")
        context = given if isinstance(given, dict) else {}
        traces = [_traced(trace, len(inputs)) for trace in _list(context.get("objectWriteTraceId"))]
        ids = [by_id.get(str(id_)) for id_ in _list(context.get("ids")) + _list(context.get("id"))]
        for position in (*traces, *ids):
            if position is not None:
                failed[position] = _words(error) or "refused"
    return failed


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _message(content: Any) -> str:
    message = content.get("message") if isinstance(content, dict) else None
    return message if isinstance(message, str) else ""


def _words(content: Any) -> str:
    """HubSpot's code words and its sentence."""
    if not isinstance(content, dict):
        return ""
    codes = [str(content.get("category") or "")]
    codes += [str(each.get("code")) for each in _objects(content.get("errors")) if each.get("code")]
    problems = _problems(content)
    codes += [f"{problem.get('error')} ({problem.get('name')})" for problem in problems]
    message = "" if problems else _message(content)
    return ": ".join(filter(None, (" ".join(filter(None, codes)), message)))


def _problems(content: Any) -> list[dict[str, Any]]:
    """The list that HubSpot writes into its sentence: `Property values were not valid: [{…}]`."""
    _, found, text = _message(content).partition("Property values were not valid: ")
    try:
        return _objects(json.loads(text)) if found else []
    except (ValueError, RecursionError):
        return []
