"""What a shop reads from Redis: profiles by any identifier, audiences and their members. See docs/redis-contract.md.

Every question is one Lua call: pointer, manifest and set (or identifier, redirect and hash) are read at one moment, so
an answer comes from one whole version also while the next one is being published.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import redis
from redis.commands.core import Script

from activation import keys, lookup_scripts, published_features
from activation.answers import AudienceDescription, Membership, MembersPage, Profile
from activation.errors import AudienceChangedError, FeaturesNotPublishedError, NotPublishedError, StoreUnavailableError
from activation.published_features import PublishedFeatures
from activation.published_values import instant, text
from activation.redis_failures import diagnosis
from identity.normalise import normalise

Normalise = Callable[[str, str, str], str | None]
_POSITION = re.compile(r"[+-]?[0-9]+")
_PREFIX = keys.audience_prefix("x")[:-1]


class Reader:
    """Reads what Weft published to Redis. Safe to share between threads; keeps no state. Each method raises
    StoreUnavailableError where Redis does not answer.

    `default_country` is the calling code of phone numbers written the national way, `normalise` what brings an
    identifier into the form it was published in (None = it is none of that type): both as the pipeline uses them.
    """

    def __init__(self, client: redis.Redis, *, default_country: str = "49", normalise: Normalise = normalise) -> None:
        self._normalise = normalise
        self._default_country = default_country
        self._find_profile = client.register_script(lookup_scripts.FIND_PROFILE)
        self._find_features = client.register_script(lookup_scripts.FIND_FEATURES)
        self._is_member = client.register_script(lookup_scripts.IS_MEMBER)
        self._describe = client.register_script(lookup_scripts.DESCRIBE_AUDIENCE)
        self._page = client.register_script(lookup_scripts.PAGE_OF_MEMBERS)
        self._names = client.register_script(lookup_scripts.AUDIENCE_NAMES)
        self._client = client

    def profile(self, identifier_type: str, value: str, *, now: datetime | None = None) -> Profile | None:
        """The customer an identifier leads to, or None where no customer has it; merged ids are followed.

        `now` (naive UTC) fills `age`. Raises NotPublishedError while profiles have never been published whole and this
        one is not there: "not yet published" is no "unknown customer"."""
        given = self._normalised(identifier_type, value)
        if given is None:
            return None
        kind = "profile" if identifier_type == keys.CUSTOMER_ID_TYPE else "identifier"
        found, flat, version, *confirmed = self._ask(
            self._find_profile,
            keys=[keys.identifier_key(identifier_type, given)],
            args=[
                kind,
                given,
                keys.PROFILE_PREFIX,
                keys.identifier_key(keys.CUSTOMER_ID_TYPE, ""),
                keys.PROFILES_MANIFEST,
            ],
        )
        if found is None:
            if version is None:
                raise NotPublishedError("Redis holds no complete publication of profiles; run the publication first.")
            return None
        return _profile(text(found), _pairs(flat), confirmed_as_of=confirmed, now=now)

    def features(
        self, asked: Sequence[tuple[str, str]], names: Sequence[str], *, now: datetime
    ) -> list[PublishedFeatures | None]:
        """The published features, in the order of `names`, of the customer that each (identifier type, value) leads to.

        All from one moment. None where no such customer is published, or one without features. Raises NotPublishedError where no
        features are published, or not those of these names.
        """
        given = [self._normalised(*each) for each in asked]
        found, manifest = self._ask(
            self._find_features,
            keys=[keys.identifier_key(kind, value or "") for (kind, _), value in zip(asked, given, strict=True)],
            args=[
                keys.PROFILE_PREFIX,
                keys.identifier_key(keys.CUSTOMER_ID_TYPE, ""),
                keys.PROFILES_MANIFEST,
                published_features.FIELD,
                *(_start(kind, value) for (kind, _), value in zip(asked, given, strict=True)),
            ],
        )
        published, *confirmed = manifest
        if published is None:
            raise FeaturesNotPublishedError(
                "Redis holds no features of customers; set WEFT_PUBLISH_FEATURES=1 and let a pass publish them."
            )
        digest = published_features.names_digest(names)
        if published_features.names_digest(json.loads(text(published))) != digest:
            raise FeaturesNotPublishedError(
                "The features in Redis are those of another version of Weft; the next publication brings these."
            )
        return [_features(each, digest, confirmed_as_of=confirmed, now=now) for each in found]

    def has_features(self) -> bool:
        """Whether features of customers are published."""
        try:
            return bool(self._client.hexists(keys.PROFILES_MANIFEST, "features"))
        except redis.RedisError as error:
            raise StoreUnavailableError(f"{diagnosis(self._client, error)}.") from error

    def audience_names(self) -> tuple[str, ...]:
        """The names of all published audiences, sorted."""
        return self._names_and_lost()[0]

    def lost_audiences(self) -> tuple[str, ...]:
        """The names of audiences that were published, and whose keys have expired or are gone; sorted."""
        return self._names_and_lost()[1]

    def _names_and_lost(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        names, lost = self._ask(self._names, keys=[keys.AUDIENCE_NAMES], args=[_PREFIX])
        return tuple(sorted(text(name) for name in names)), tuple(sorted(text(name) for name in lost))

    def audience(self, name: str, *, now: datetime | None = None) -> AudienceDescription:
        """Manifest, size, age and pin of an audience's current version. Raises NotPublishedError."""
        manifest, pinned, kept = _published(name, self._ask(self._describe, keys=[keys.audience_prefix(name)]))
        fields = _pairs(manifest)
        as_of = instant(fields["as_of"])
        confirmed = instant(fields["confirmed_as_of"]) if "confirmed_as_of" in fields else None
        age = None if now is None else now - max(as_of, confirmed or as_of)
        expires_after = timedelta(seconds=int(fields["expires_after"])) if "expires_after" in fields else None
        return AudienceDescription(
            name=name,
            version=int(fields["version"]),
            count=int(fields["count"]),
            checksum=fields["checksum"],
            as_of=as_of,
            definition_hash=fields["definition_hash"],
            build=int(fields["build"]),
            published_at=instant(fields["published_at"]),
            confirmed_as_of=confirmed,
            age=age,
            expires_after=expires_after,
            is_past_expiry=None if age is None else expires_after is not None and age > expires_after,
            pinned_version=int(text(pinned)) if pinned else None,
            kept_versions=tuple(int(text(version)) for version in kept),
        )

    def is_member(self, name: str, customer_id: str) -> bool:
        """Whether a customer is in an audience's current version. Raises NotPublishedError, as for an emptied Redis."""
        return self.membership(name, customer_id).is_member

    def membership(self, name: str, customer_id: str) -> Membership:
        """Whether a customer is in an audience, with the version that says so. Raises NotPublishedError as `is_member` does."""
        answer = self._ask(self._is_member, keys=[keys.audience_prefix(name)], args=[customer_id])
        found, version, *confirmed = _published(name, answer)
        return Membership(is_member=bool(found), version=int(text(version)), as_of=_newest(confirmed))

    def members(self, name: str, *, page_size: int = 1000) -> Iterator[str]:
        """Each member of the version that is current at the first page, once, in no order.

        Raises NotPublishedError; AudienceChangedError if that version is dropped before the last page (three newer
        publications meanwhile)."""
        return self.members_from(name, self.members_page(name, limit=page_size), page_size=page_size)

    def members_from(self, name: str, page: MembersPage, *, page_size: int = 1000) -> Iterator[str]:
        """Each member of a page and of those that follow it, once. Raises AudienceChangedError as `members` does."""
        seen: set[str] = set()
        while True:
            fresh = [customer_id for customer_id in page.customer_ids if customer_id not in seen]
            seen.update(fresh)
            yield from fresh
            if page.next_cursor is None:
                return
            page = self.members_page(name, cursor=page.next_cursor, limit=page_size)

    def members_page(self, name: str, *, cursor: str | None = None, limit: int = 1000) -> MembersPage:
        """About `limit` members, and the cursor for the next page of the same version.

        A member may come twice on different pages (Redis SSCAN), none is left out. Raises NotPublishedError,
        AudienceChangedError as `members` does, and ValueError for a cursor this method did not give."""
        version, checksum, position = _cursor_parts(cursor)
        answer = self._ask(self._page, keys=[keys.audience_prefix(name)], args=[version, checksum, position, limit])
        version, checksum, position, customer_ids, *confirmed = _published(name, answer)
        following = f"{text(version)}.{text(checksum)}.{text(position)}" if text(position) != "0" else None
        return MembersPage(
            version=int(text(version)),
            as_of=_newest(confirmed),
            customer_ids=tuple(text(each) for each in customer_ids),
            next_cursor=following,
        )

    def _ask(self, script: Script, *, keys: list[str], args: Sequence[str | int] = ()) -> list[Any]:
        try:
            answer: list[Any] = script(keys=keys, args=args)
        except redis.RedisError as error:
            raise StoreUnavailableError(f"{diagnosis(self._client, error)}.") from error
        return answer

    def _normalised(self, identifier_type: str, value: str) -> str | None:
        if identifier_type == keys.CUSTOMER_ID_TYPE:
            return value
        return self._normalise(identifier_type, value, self._default_country)


def _profile(
    customer_id: str, fields: dict[str, str], *, confirmed_as_of: Sequence[bytes | str | None], now: datetime | None
) -> Profile:
    version, written_as_of = int(fields.pop("_version")), instant(fields.pop("_as_of"))
    fields.pop(published_features.FIELD, None)
    as_of = max(written_as_of, _newest(confirmed_as_of)) if any(confirmed_as_of) else written_as_of
    return Profile(
        customer_id=customer_id,
        audiences=tuple(json.loads(fields.pop("audiences", "[]"))),
        fields=fields,
        version=version,
        as_of=as_of,
        age=None if now is None else now - as_of,
    )


def _start(kind: str, value: str | None) -> str:
    """Where the search for a customer begins: `=` and its id, `?` an identifier, `!` nowhere, since the value is none of its type."""
    if value is None:
        return "!"
    return f"={value}" if kind == keys.CUSTOMER_ID_TYPE else "?"


def _features(
    found: list[Any], digest: str, *, confirmed_as_of: Sequence[bytes | str | None], now: datetime
) -> PublishedFeatures | None:
    if not found:
        return None
    customer_id, features, written_as_of = found
    read = published_features.read_features(text(features), digest)
    if read is None:
        return None
    as_of = _newest([written_as_of, *confirmed_as_of])
    return PublishedFeatures(
        customer_id=text(customer_id), as_of_date=read[0], values=read[1], as_of=as_of, age=now - as_of
    )


def _newest(instants: Sequence[bytes | str | None]) -> datetime:
    return max(instant(text(each)) for each in instants if each)


def _published(name: str, answer: list[Any]) -> list[Any]:
    state, *rest = answer
    if text(state) == "unpublished":
        raise NotPublishedError(f"Redis holds no whole version of audience {name!r}; publish it first.")
    if text(state) == "changed":
        raise AudienceChangedError(f"The version of audience {name!r} being read is no longer kept; start again.")
    return rest


def _pairs(flat: list[bytes | str]) -> dict[str, str]:
    texts = [text(each) for each in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _cursor_parts(cursor: str | None) -> tuple[str, str, str]:
    if cursor is None:
        return "", "", "0"
    parts = cursor.split(".")
    if len(parts) != 3 or not parts[0].isdigit() or not _POSITION.fullmatch(parts[2]):
        raise ValueError("This cursor is not one that members_page gave; start again without a cursor.")
    return parts[0], parts[1], parts[2]
