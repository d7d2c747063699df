"""The grammar of `crm.yml`: which CRMs contacts are pulled from. A secret stands there only as the name of an environment variable.

`fields` says in which of the vendor's fields identifiers, traits and consent stand; what is left out keeps the vendor's default.
"""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ingestion.crm.calls import CrmError


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | bool | int) else value


def _words(value: object) -> object:
    return [str(word).strip().lower() for word in value] if isinstance(value, list) else value


def _is_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("write https://host, without a user")
    if parts.query or parts.fragment:
        raise ValueError("write it without a query")
    return url.rstrip("/")


Path_ = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$")]
Address = Annotated[str, AfterValidator(_is_address)]
Paths = Annotated[tuple[Path_, ...], BeforeValidator(_listed)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words), BeforeValidator(_listed)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConsentField(_Strict):
    """Words of one field that give or refuse consent, whatever their case; other words say nothing."""

    field: Path_
    given: Words = ()
    refused: Words = ()


Consents = Annotated[
    tuple[ConsentField, ...], BeforeValidator(lambda value: [value] if isinstance(value, dict) else value)
]


class Fields(_Strict):
    """Where things stand in a contact. Of several fields for one identifier the first that holds something counts."""

    user_id: Paths = ()
    email: Paths = ()
    phone: Paths = ()
    loyalty_id: Paths = ()
    traits: dict[str, Path_] = {}
    consent: dict[str, Consents] = {}

    @property
    def identifier_paths(self) -> tuple[str, ...]:
        """Every field that identifiers are read from."""
        return (*self.user_id, *self.email, *self.phone, *self.loyalty_id)

    @property
    def all_paths(self) -> tuple[str, ...]:
        """Every field that is read, once each."""
        consents = (each.field for fields in self.consent.values() for each in fields)
        return tuple(dict.fromkeys((*self.identifier_paths, *self.traits.values(), *consents)))


class _Source(_Strict):
    name: Name
    secret: Variable
    allow_private_address: bool = False
    extra: tuple[Path_, ...] = ()
    """Further fields that are asked for and kept in the payload."""


HUBSPOT_FIELDS: dict[str, Any] = {
    "email": "email",
    "phone": ["mobilephone", "phone"],
    "traits": {
        "first_name": "firstname", "last_name": "lastname", "company": "company", "city": "city", "country": "country",
        "lifecycle_stage": "lifecyclestage", "created_at": "createdate",
    },
    # a marketing contact is one that may be written to at all; being one is no consent
    "consent": {"advertising": [
        {"field": "hs_email_optout", "refused": ["true"]}, {"field": "hs_marketable_status", "refused": ["false"]},
    ]},
}  # fmt: skip
SALESFORCE_FIELDS: dict[str, Any] = {
    "email": "Email",
    "phone": ["MobilePhone", "Phone"],
    "traits": {"first_name": "FirstName", "last_name": "LastName", "created_at": "CreatedDate"},
    "consent": {"advertising": {"field": "HasOptedOutOfEmail", "refused": ["true"]}},
}


class HubSpotSource(_Source):
    """Contacts of a HubSpot account; `secret` names the variable with a private app's token."""

    kind: Literal["hubspot"]
    url: Address = "https://api.hubapi.com"
    page_size: Annotated[int, Field(ge=1, le=100)] = 100
    requests_per_second: Annotated[float, Field(gt=0, le=100)] = 4
    fields: Fields = Fields.model_validate(HUBSPOT_FIELDS)


class SalesforceSource(_Source):
    """Contacts (or leads) of a Salesforce org; `secret` names the variable with the connected app's secret.

    With `refresh_token` (a variable's name as well) that grant is used, else the client credentials grant.
    """

    kind: Literal["salesforce"]
    url: Address
    client_id: Annotated[str, Field(min_length=1)]
    refresh_token: Variable | None = None
    object: Identifier = "Contact"
    version: Annotated[str, Field(pattern=r"^v\d{2}\.0$")] = "v62.0"
    page_size: Annotated[int, Field(ge=200, le=2000)] = 2000
    fields: Fields = Fields.model_validate(SALESFORCE_FIELDS)

    @model_validator(mode="after")
    def _fields_are_names(self) -> "SalesforceSource":
        for path in (*self.fields.all_paths, *self.extra):
            TypeAdapter(Identifier).validate_python(path)
        return self


class Paging(_Strict):
    """How a REST API hands out its pages.

    cursor: the answer holds at `next` what goes into `parameter` of the next request (or the whole URL of the next page);
    page and offset: `parameter` counts pages from `first`, or contacts; link: the header Link names the next page; none: one page.
    """

    style: Literal["cursor", "page", "offset", "link", "none"]
    parameter: str = ""
    next: str = ""
    first: int = 1
    size_parameter: str = ""
    size: Annotated[int, Field(ge=1, le=10_000)] = 100

    @model_validator(mode="after")
    def _is_whole(self) -> "Paging":
        if self.style in ("page", "offset") and not self.parameter:
            raise ValueError(f"paging by {self.style} needs 'parameter', the query parameter that counts")
        if self.style == "cursor" and not self.next:
            raise ValueError("paging by cursor needs 'next', where the answer holds the next cursor")
        return self


class ChangedSince(_Strict):
    """The query parameter that asks for what was modified since an instant."""

    parameter: Annotated[str, Field(min_length=1)]
    format: Literal["iso", "seconds", "milliseconds"] = "iso"


class RestSource(_Source):
    """Contacts of any JSON API. `secret` names the variable that is sent as `auth` says.

    Without `changed_since` every pull reads all contacts; what has not changed is not landed again.
    """

    kind: Literal["rest"]
    url: Address
    path: Annotated[str, Field(pattern=r"^/")]
    parameters: dict[str, str | int] = {}
    auth: Annotated[str, Field(pattern=r"^(bearer|basic:[^:\s]+|header:[A-Za-z0-9-]+)$")] = "bearer"
    paging: Paging = Paging(style="none")
    changed_since: ChangedSince | None = None
    items: str = ""
    id: Path_ = "id"
    modified: Path_
    deleted: Path_ | None = None
    requests_per_second: Annotated[float, Field(gt=0, le=100)] = 10
    fields: Fields


Source = HubSpotSource | SalesforceSource | RestSource
_KINDS: dict[object, type[HubSpotSource | SalesforceSource | RestSource]] = {
    "hubspot": HubSpotSource, "salesforce": SalesforceSource, "rest": RestSource,
}  # fmt: skip
_DEFAULTS = {"hubspot": HUBSPOT_FIELDS, "salesforce": SALESFORCE_FIELDS}


def load_sources(path: Path) -> tuple[Source, ...]:
    """The sources of a crm.yml, none where there is no such file. Raises CrmError with one sentence that holds no value of it."""
    if not path.exists():
        return ()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise CrmError(f"{path.name} cannot be read ({type(error).__name__}); see docs/crm.md.") from None
    listed = content.get("sources") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise CrmError(f"{path.name} needs a list `sources`; see docs/crm.md.")
    sources = tuple(_source(each, path.name) for each in listed)
    names = [source.name for source in sources]
    if twice := [name for name in names if names.count(name) > 1]:
        raise CrmError(f"{path.name} names the source {twice[0]} twice.")
    return sources


def _source(given: dict[str, Any], file: str) -> Source:
    kind = _KINDS.get(given.get("kind"))
    named = given.get("name") if isinstance(given.get("name"), str) else "a source"
    if kind is None:
        raise CrmError(f"{file}: {named} has no `kind`; name hubspot, salesforce or rest.")
    defaults = _DEFAULTS.get(str(given.get("kind")))
    if defaults and isinstance(given.get("fields"), dict):
        given = given | {"fields": defaults | given["fields"]}
    try:
        source = kind.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "it"
        why = first["msg"].removeprefix("Value error, ")
        raise CrmError(f"{file}: {named}: {field}: {why[0].lower()}{why[1:]}.") from None
    if source.url.startswith("http:") and not source.allow_private_address:
        raise CrmError(f"{file}: {source.name}: its token would travel unencrypted; write https.")
    return source
