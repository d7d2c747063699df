"""Google Customer Match through the Data Manager API: members ingested into, and removed from, a list of contact information.

A request is taken whole or not at all. What Google says of single rows (violations with their index) refuses those, and the others are
sent again without them; what it says of the list or the account stops the sync.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import httpx
import pyarrow as pa
from pydantic import model_validator

from activation.destinations.advertising import (
    AdvertisingConfig,
    Members,
    Outcomes,
    VendorId,
    identifiers_sent,
    send_in_turn,
)
from activation.destinations.calls import Answer, ask, raise_for_status, unusable
from activation.destinations.config import Address, SecretReference
from activation.destinations.google_errors import by_row, error_of, reasons_of, refused_rows, retry_delay
from activation.destinations.google_token import AccessToken, Grant, parted, refresh_grant, service_account_grant
from activation.destinations.hashing import is_postal_code_of
from activation.destinations.tools import Tools
from activation.syncs.clock import Clock
from activation.syncs.contract import (
    Change,
    DestinationMisconfiguredError,
    DestinationUnavailableError,
    Outcome,
    Record,
)

MOST_MEMBERS = 10_000
"""In one request; more are refused."""
ANSWER_BYTES = 2 << 20
"""Of an answer, which says of each row what is wrong with it."""
MOST_ROUNDS = 50
"""Requests for what is left of one, when each finds other rows to refuse."""
_IDENTIFIERS = frozenset({"email", "phone", "address"})
_ADDRESS = ("given_name", "family_name", "region_code", "postal_code")


class GoogleConfig(AdvertisingConfig):
    """`account_id` owns the list; `login_account_id` is the manager account whose credentials these are, where it is another.

    Credentials: `refresh_token` with `client_id` and `client_secret`, or `service_account`.
    """

    type: Literal["google"]
    account_id: VendorId
    login_account_id: VendorId | None = None
    account_type: Literal["GOOGLE_ADS", "DISPLAY_VIDEO_ADVERTISER", "DISPLAY_VIDEO_PARTNER"] = "GOOGLE_ADS"
    accepted_terms: Literal["customer-match"]
    """Says that somebody of yours accepted Google's terms for Customer Match."""
    refresh_token: SecretReference | None = None
    client_id: SecretReference | None = None
    client_secret: SecretReference | None = None
    service_account: SecretReference | None = None
    normalisation: Literal["google-1", "google-2"] = "google-2"
    api_url: Address = "https://datamanager.googleapis.com"
    token_url: Address = "https://oauth2.googleapis.com/token"

    finding: ClassVar[frozenset[str]] = frozenset({"email", "phone", "family_name"})

    @model_validator(mode="after")
    def _is_whole(self) -> "GoogleConfig":
        given = [self.refresh_token, self.client_id, self.client_secret]
        if (self.service_account is None) == (None in given) or (self.service_account and any(given)):
            raise ValueError("credentials are refresh_token with client_id and client_secret, or service_account")
        if 0 < len(set(_ADDRESS) & set(self.fields)) < len(_ADDRESS):
            raise ValueError(f"an address is {', '.join(_ADDRESS)}: give all four of them in fields, or none")
        return self


def open_google(config: GoogleConfig, tools: Tools) -> "Google":
    """The adapter. Raises DestinationMisconfiguredError where a secret is not set or the audience has no id."""
    audience_id = config.audience_id(tools.audience)
    base, path = parted(config.token_url)
    token = AccessToken(tools.client_for(base), path, _grant(config, tools), name=config.name, clock=tools.clock)
    return Google(config, tools.client_for(config.api_url), token, audience_id=audience_id, clock=tools.clock)


def _grant(config: GoogleConfig, tools: Tools) -> Grant:
    if config.service_account:
        return service_account_grant(tools.secret(config.service_account.env), config.service_account.env)
    references = (config.client_id, config.client_secret, config.refresh_token)
    return refresh_grant(*(tools.secret(reference.env) for reference in references if reference))


class Google:
    """The adapter; see the module."""

    def __init__(
        self, config: GoogleConfig, client: httpx.Client, token: AccessToken, *, audience_id: str, clock: Clock
    ) -> None:
        self._config, self._client, self._token, self._clock = config, client, token, clock
        account = {"accountType": config.account_type}
        destination = {
            "operatingAccount": {**account, "accountId": config.account_id},
            "productDestinationId": audience_id,
        }
        if config.login_account_id:
            destination["loginAccount"] = {**account, "accountId": config.login_account_id}
        self._common = {"destinations": [destination], "encoding": "HEX"}
        self._members = Members(config, audience_id, finding=_IDENTIFIERS, naming=_IDENTIFIERS, folded=_folded)

    @property
    def batch_size(self) -> int:
        """Members in one request."""
        return MOST_MEMBERS

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One per customer with an e-mail address, a phone number or a whole address."""
        return self._members.records(members)

    def stand(self, keys: Callable[[], pa.ChunkedArray]) -> None:
        """See `SharesIdentifiers`."""
        self._members.stand(keys)

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Removals first; see `send_in_turn`."""
        return send_in_turn(
            changes, self._members, remove=partial(self._tell, "remove"), add=partial(self._tell, "ingest")
        )

    def check(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """What `send` would say of additions, asked of Google without anything being changed (validateOnly)."""
        outcomes = Outcomes(changes)
        additions = {
            row: identifiers_sent(change) for row, change in enumerate(changes) if change.operation == "upsert"
        }
        self._tell("ingest", additions, outcomes, validate_only=True)
        return outcomes.all(Outcome("accepted", "a removal is not asked about"))

    def _tell(
        self, verb: str, identifiers: Mapping[int, dict[str, str]], outcomes: Outcomes, *, validate_only: bool = False
    ) -> None:
        waiting = [list(identifiers)] if identifiers else []
        rounds = 0
        while waiting:
            rows = waiting.pop()
            rounds += 1
            if rounds > MOST_ROUNDS:
                outcomes.tell(rows, Outcome("retry", f"Google refused others of the same request {MOST_ROUNDS} times"))
                continue
            answer = self._post(verb, [_member(identifiers[row]) for row in rows], validate_only=validate_only)
            if answer.is_success:
                self._accept(answer, rows, outcomes)
            elif answer.status == 400 and answer.content is None and len(rows) > 1:
                # so much was wrong that the answer was too long to be read
                waiting += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
            else:
                refused = self._refused(answer, rows)
                for row, words in refused.items():
                    outcomes.tell([row], Outcome("refused", words))
                waiting += [rest] if (rest := [row for row in rows if row not in refused]) else []

    def _post(self, verb: str, members: list[dict[str, Any]], *, validate_only: bool) -> Answer:
        body = {**self._common, "audienceMembers": members, "validateOnly": validate_only}
        if verb == "ingest":
            # the gate lets nobody pass without consent to both purposes, which the configuration asks for
            body["consent"] = {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"}
            body["termsOfService"] = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
        answer = self._ask(verb, body)
        if answer.status == 401:
            self._token.forget()
            answer = self._ask(verb, body)
        return answer

    def _ask(self, verb: str, body: dict[str, Any]) -> Answer:
        headers = {"Authorization": f"Bearer {self._token.value()}"}
        path = f"/v1/audienceMembers:{verb}"
        return ask(self._client, self._config.name, "POST", path, limit=ANSWER_BYTES, json=body, headers=headers)

    def _accept(self, answer: Answer, rows: list[int], outcomes: Outcomes) -> None:
        request_id = answer.content.get("requestId") if isinstance(answer.content, dict) else None
        if not isinstance(request_id, str):
            raise unusable(self._config.name)
        warned = by_row(answer.content.get("fieldWarnings"), rows)
        # the request is all that Google calls by a name: its diagnostics are asked for by it
        outcomes.tell(rows, Outcome("accepted", remote_id=request_id))
        for row, (reason, words) in warned.items():
            outcomes.tell([row], Outcome("accepted", f"Google did not use all of it: {words or reason}", request_id))

    def _refused(self, answer: Answer, rows: list[int]) -> dict[int, str]:
        """The rows of a refused request that Google names. Raises where it is not about rows."""
        name, error = self._config.name, error_of(answer.content)
        status, reasons = str(error.get("status", "")), reasons_of(error)
        if answer.status == 400 and (named := refused_rows(error, rows)):
            return named
        if answer.status in (409, 429) or status in ("ABORTED", "RESOURCE_EXHAUSTED"):
            wait = retry_delay(error) or answer.retry_after(self._clock.now())
            raise DestinationUnavailableError(f"{name}: Google wants it later ({status}).", wait, may_be_applied=False)
        if "TERMS_AND_CONDITIONS_NOT_SIGNED" in reasons:
            raise DestinationMisconfiguredError(
                f"{name}: accept the terms of Customer Match in the Google Ads account first."
            )
        if 400 <= answer.status < 500 and answer.status not in (408, 425):
            told = ", ".join(sorted(reasons)) or status or str(answer.status)
            raise DestinationMisconfiguredError(
                f"{name}: Google does not take it ({told}); see to its credentials, account_id, login_account_id and audience_ids."
            )
        raise_for_status(answer, name, self._clock)
        raise unusable(name)


def _folded(identifiers: dict[str, str]) -> dict[str, str]:
    """The four parts of an address as one identifier; without them where it is not whole, as Google takes all four or none."""
    parts = [identifiers.get(part, "") for part in _ADDRESS]
    folded = {field: value for field, value in identifiers.items() if field not in _ADDRESS}
    if all(parts) and is_postal_code_of(parts[2], parts[3]):
        folded["address"] = "/".join(parts)
    return folded


def _member(identifiers: Mapping[str, str]) -> dict[str, Any]:
    told: list[dict[str, Any]] = []
    if "email" in identifiers:
        told.append({"emailAddress": identifiers["email"]})
    if "phone" in identifiers:
        told.append({"phoneNumber": identifiers["phone"]})
    if "address" in identifiers:
        names = ("givenName", "familyName", "regionCode", "postalCode")
        told.append({"address": dict(zip(names, identifiers["address"].split("/"), strict=True))})
    return {"userData": {"userIdentifiers": told}}
