"""The Redis key contract, version 2: the only place that spells a key. `docs/redis-contract.md` is its prose.

=====================================  ======  ==================================================================
key                                    type    holds
=====================================  ======  ==================================================================
weft:profile:{customer_id}             hash    the customer's fields as text, `audiences`, `_version`, `_as_of`
weft:id:{type}:{value}                 string  customer_id; type `customer_id` maps a merged id to the living one
weft:profiles:manifest                 hash    version, count, checksum, as_of, build, state, published_at, ...
weft:audiences                         set     the names of all published audiences
weft:audience:{name}:current           string  the pointer: the version readers see
weft:audience:{name}:v{n}              set     customer ids of version n; absent when the version is empty
weft:audience:{name}:v{n}:minus        set     of an older version kept as a difference: members of its base it lacks
weft:audience:{name}:v{n}:plus         set     ... and members it has that its base lacks (both count, so plus wins)
weft:audience:{name}:v{n}:manifest     hash    version, count, checksum, as_of, definition_hash, build, published_at;
                                               of a version kept as a difference also base, minus, plus (sizes);
                                               once a newer build confirmed it confirmed_as_of, confirmed_at,
                                               confirmation; where keys expire expires_after (seconds)
weft:audience:{name}:versions          zset    versions kept, scored by version
weft:audience:{name}:pinned            string  version a rollback pinned; absent otherwise
weft:audience:{name}:staging           zset    staging keys of unfinished publications, scored by build
weft:audience:{name}:staging:{b}:{t}   set     a version being built by the publisher of build b with token t;
                                               a difference has `:added` and `:removed` after it
=====================================  ======  ==================================================================

No key has a TTL, but for those of an audience that asks for one with expires_after. The keys of one audience do not share
a hash slot: the contract is for one primary, not Redis Cluster.
"""

import re

CONTRACT_VERSION = 2
ALL_KEYS_PATTERN = "weft:*"
PROFILE_PREFIX = "weft:profile:"
IDENTIFIER_PREFIX = "weft:id:"
PROFILES_MANIFEST = "weft:profiles:manifest"
AUDIENCE_NAMES = "weft:audiences"
CUSTOMER_ID_TYPE = "customer_id"

# A name or type with a colon could spell another audience's or identifier's key.
_AUDIENCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def is_audience_name(name: str) -> bool:
    """Whether `name` may name an audience: letters, digits, `_`, `.` and `-`, at most 128."""
    return _AUDIENCE_NAME.fullmatch(name) is not None


def is_identifier_type(identifier_type: str) -> bool:
    """Whether `identifier_type` may stand in a key: letters, digits, `_`, `.` and `-`, at most 64."""
    return _IDENTIFIER_TYPE.fullmatch(identifier_type) is not None


def profile_key(customer_id: str) -> str:
    """Hash of one customer."""
    return f"{PROFILE_PREFIX}{customer_id}"


def identifier_key(identifier_type: str, value: str) -> str:
    """String that maps one normalised identifier to its customer id. Raises ValueError for a type no key can hold."""
    if not is_identifier_type(identifier_type):
        raise ValueError(f"{identifier_type!r} cannot be an identifier type: use letters, digits, '_', '.' and '-'.")
    return f"{IDENTIFIER_PREFIX}{identifier_type}:{value}"


def audience_prefix(name: str) -> str:
    """What all keys of one audience start with. Raises ValueError for a name no key can hold."""
    if not is_audience_name(name):
        raise ValueError(f"{name!r} cannot be an audience name: use letters, digits, '_', '.' and '-', at most 128.")
    return f"weft:audience:{name}"


def audience_set_key(name: str, version: int) -> str:
    """Set of customer ids of one audience version."""
    return f"{audience_prefix(name)}:v{version}"


def audience_manifest_key(name: str, version: int) -> str:
    """Hash that describes one audience version."""
    return f"{audience_set_key(name, version)}:manifest"


def audience_pointer_key(name: str) -> str:
    """String with the version that readers see."""
    return f"{audience_prefix(name)}:current"


def audience_pin_key(name: str) -> str:
    """String with the version a rollback pinned."""
    return f"{audience_prefix(name)}:pinned"


def audience_versions_key(name: str) -> str:
    """Sorted set of the versions kept."""
    return f"{audience_prefix(name)}:versions"


def audience_staging_registry_key(name: str) -> str:
    """Sorted set that names the staging keys of unfinished publications, scored by build."""
    return f"{audience_prefix(name)}:staging"


def audience_staging_key(name: str, build: int, token: str) -> str:
    """Set in which the publisher of `build` builds its version before the switch."""
    return f"{audience_staging_registry_key(name)}:{build}:{token}"
