"""Which keys of profiles and identifiers a publication sends and removes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import redis

from activation import keys
from activation.profile_rows import Fingerprinted, KeyRows
from activation.profile_snapshot import Difference, difference, held_keys

Mode = Literal["diff", "whole", "nothing"]
_KEYS_PER_SCAN = 10_000


@dataclass(frozen=True, kw_only=True)
class ProfilesPlan:
    """What is sent and removed of both kinds; `is_store_empty` = Redis holds no profile, so none needs replacing."""

    mode: Mode
    profiles: Difference
    identifiers: Difference
    is_store_empty: bool


def is_complete(manifest: dict[str, str], snapshot: Path) -> bool:
    """Whether Redis says that its profiles are whole, and there is a snapshot to compare with."""
    return manifest.get("state") == "complete" and bool(manifest.get("writer")) and snapshot.exists()


def difference_to_snapshot(
    manifest: dict[str, str], snapshot: Path, people: Fingerprinted, names: Fingerprinted
) -> ProfilesPlan | None:
    """The difference to what the snapshot remembers; None where Redis's manifest does not vouch for the snapshot."""
    version, checksum = manifest.get("version", ""), manifest.get("checksum", "")
    held = held_keys(snapshot, version=version, manifest_checksum=checksum)
    if held is None:
        return None
    profiles, identifiers = difference(people, held[0]), difference(names, held[1])
    if profiles is None or identifiers is None:
        return None
    is_same = not any(len(keys) for part in (profiles, identifiers) for keys in (part.send, part.vanished))
    mode: Mode = "nothing" if is_same else "diff"
    return ProfilesPlan(mode=mode, profiles=profiles, identifiers=identifiers, is_store_empty=False)


def everything(connection: redis.Redis, people: KeyRows, names: KeyRows) -> ProfilesPlan:
    """Send every row, and remove each profile or identifier that Redis holds and nobody wants."""
    held = _held_names(connection)
    profiles, identifiers = (
        Difference(send=pa.array(np.arange(len(rows.names))), vanished=_names_not_in(held[rows.prefix], rows.names))
        for rows in (people, names)
    )
    is_empty = not len(held[keys.PROFILE_PREFIX])
    return ProfilesPlan(mode="whole", profiles=profiles, identifiers=identifiers, is_store_empty=is_empty)


def _held_names(connection: redis.Redis) -> dict[str, pa.Array]:
    """By prefix: the names (keys without prefix) of all profiles and identifiers Redis holds, in any state."""
    found: dict[str, list[bytes]] = {keys.PROFILE_PREFIX: [], keys.IDENTIFIER_PREFIX: []}
    for key in connection.scan_iter(match=keys.ALL_KEYS_PATTERN, count=_KEYS_PER_SCAN):
        for prefix, held in found.items():
            if key.startswith(prefix.encode()):
                held.append(key[len(prefix) :])
    return {prefix: pa.array(held, pa.binary()).unique() for prefix, held in found.items()}


def _names_not_in(held: pa.Array, wanted: pa.Array) -> pa.Array:
    return held.filter(pc.invert(pc.is_in(held, value_set=wanted)))
