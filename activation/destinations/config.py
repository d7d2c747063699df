"""What `destinations.yml` says of one destination, whatever its type. A secret stands there only as `{env: NAME}`."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Column = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
"""A column of the profiles."""


def _is_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("write https://host/path, without a user")
    if parts.fragment:
        raise ValueError("write it without a fragment")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_is_address)]
"""A URL without a user in it. That it is encrypted and leads to the internet is seen to where it is called."""


class Strict(BaseModel):
    """A part of the configuration: frozen, and a key that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretReference(Strict):
    """The name of the environment variable that holds a secret; the value is asked of `Tools.secret`."""

    env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


class DestinationConfig(Strict):
    """One destination. A type adds what it needs in a subclass of its own.

    `purposes`: a customer is sent only with consent to every one of them (docs/syncs.md), besides that of the audience.
    `fields`: what the destination calls a value, and the column of the profiles that it comes from.
    """

    name: Name
    type: str
    purposes: Annotated[tuple[Name, ...], Field(min_length=1)]
    audiences: tuple[Name, ...] = ()
    """Audiences that are sent here, besides those whose own YAML names this destination."""
    fields: dict[Annotated[str, Field(min_length=1, max_length=200)], Column] = {}
    rate_per_second: Annotated[float, Field(gt=0, le=1000)] = 10.0
    """Requests per second, at most; of this destination, whatever the number of audiences."""
    every: Annotated[int, Field(ge=1, le=44_640)] = 60
    """Minutes after which it is looked at again even if nothing was noticed."""
    budget_seconds: Annotated[float, Field(gt=0, le=21_600)] = 600.0
    """What one run may take; what is left then is sent by the next."""
    allow_private_address: bool = False
    """Whether it may be in a private network, and be called without encryption."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the profiles that records are made of, once each. A type that needs others adds them."""
        return tuple(dict.fromkeys(self.fields.values()))
