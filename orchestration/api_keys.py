"""Keys in the operator state: who may send events, as what source, and who may ask the API. A key is shown once; only its hash is kept."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from activation.api.settings import SCOPES as API_SCOPES
from orchestration.errors import ApiKeyError
from orchestration.state_tables import metadata

PREFIX = "weft_"
SCOPES = ("events", "upload", *API_SCOPES)
"""What a key may allow: to send events, to upload files, and what the API asks for."""
ID_LENGTH = 12
_SHORTEST_ID = 4

# One row per key that was ever made. A revoked key stays, so that what it was for can be told. The name is from when keys only wrote.
write_keys = sa.Table(
    "write_keys",
    metadata,
    sa.Column("key_hash", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("limit_per_second", sa.Integer),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("revoked_at", sa.DateTime),
)


@dataclass(frozen=True)
class ApiKey:
    """One key without the key. `source` is what its events get, or who asks with it; `limit_per_second` (events) is null where only
    the collector's own limits hold."""

    key_hash: str
    name: str
    source: str
    scopes: frozenset[str]
    limit_per_second: int | None
    created_at: datetime
    revoked_at: datetime | None

    @property
    def id(self) -> str:
        """What people call the key by; nobody can send with it."""
        return self.key_hash[:ID_LENGTH]


def hashed(key: str) -> str:
    """sha256 of a key in hex, which is what is looked up. Keys are random and long, so that a salt would add nothing."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class ApiKeys:
    """The keys of this installation."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def create(
        self,
        *,
        source: str,
        now: datetime,
        name: str = "",
        scopes: Collection[str] = ("events",),
        limit_per_second: int | None = None,
    ) -> tuple[str, ApiKey]:
        """Make a key; this is the only time that it can be seen. Raises ApiKeyError."""
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise ApiKeyError(f"There is no scope '{unknown[0] if unknown else ''}'; use {', '.join(SCOPES)}.")
        if not source.strip():
            raise ApiKeyError("A key needs a source, the name that its events get, such as shop.")
        key = PREFIX + secrets.token_urlsafe(32)
        made = ApiKey(hashed(key), name or source, source, frozenset(scopes), limit_per_second, now, None)
        row = {**made.__dict__, "scopes": " ".join(sorted(made.scopes))}
        with self._engine.begin() as connection:
            connection.execute(write_keys.insert().values(row))
        return key, made

    def list(self) -> list[ApiKey]:
        """All keys, by source, the newest first."""
        query = sa.select(write_keys).order_by(
            write_keys.c.source, write_keys.c.created_at.desc(), write_keys.c.key_hash
        )
        with self._engine.begin() as connection:
            return [_key(row) for row in connection.execute(query).mappings()]

    def live(self) -> dict[str, ApiKey]:
        """Keys that were not revoked, by their hash."""
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(write_keys).where(write_keys.c.revoked_at.is_(None))).mappings().all()
        return {row["key_hash"]: _key(row) for row in rows}

    def revoke(self, id_or_key: str, *, now: datetime) -> ApiKey:
        """Refuse a key from now on, named by its id (or the beginning of it), or by itself where it leaked. Raises ApiKeyError."""
        wanted = hashed(id_or_key) if id_or_key.startswith(PREFIX) else id_or_key
        found = [key for key in self.list() if key.key_hash.startswith(wanted)]
        if len(wanted) < _SHORTEST_ID or len(found) != 1:
            which = "several keys have" if len(found) > 1 else "no key has"
            raise ApiKeyError(f"Name one key by its id: {which} this one; `weft keys list` shows them.")
        with self._engine.begin() as connection:
            named = write_keys.c.key_hash == found[0].key_hash
            connection.execute(
                write_keys.update().where(named, write_keys.c.revoked_at.is_(None)).values(revoked_at=now)
            )
        return found[0]


def _key(row: sa.RowMapping) -> ApiKey:
    return ApiKey(**{**row, "scopes": frozenset(row["scopes"].split())})
