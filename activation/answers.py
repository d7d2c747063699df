"""What the reader answers."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One customer as published. `fields` are texts (docs/redis-contract.md says how each type is written)."""

    customer_id: str
    fields: dict[str, str]
    audiences: tuple[str, ...]
    version: int
    """Publication that last changed this profile."""
    as_of: datetime
    """Instant (naive UTC) up to which events are in this profile: no later publication found it changed."""
    age: timedelta | None
    """`now - as_of`, where `now` was given."""


@dataclass(frozen=True, kw_only=True)
class AudienceDescription:
    """The version of an audience that readers see."""

    name: str
    version: int
    count: int
    checksum: str
    as_of: datetime
    definition_hash: str
    build: int
    published_at: datetime
    confirmed_as_of: datetime | None
    """Instant up to which a later build found this version unchanged."""
    age: timedelta | None
    """Time since `as_of`, or since `confirmed_as_of` where that is newer."""
    expires_after: timedelta | None
    """Life time of the audience's keys since it was last published or confirmed; None = they stay."""
    is_past_expiry: bool | None
    """Whether `age` is beyond `expires_after`; None where `now` was not given."""
    pinned_version: int | None
    kept_versions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Membership:
    """Whether a customer is in an audience, the version that says so, and the instant up to which that is confirmed."""

    is_member: bool
    version: int
    as_of: datetime


@dataclass(frozen=True, kw_only=True)
class MembersPage:
    """Some members of one version, confirmed up to `as_of`; `next_cursor` is None on the last page."""

    version: int
    as_of: datetime
    customer_ids: tuple[str, ...]
    next_cursor: str | None
