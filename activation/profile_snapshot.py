"""What the last publication of profiles left in Redis: every key with its fingerprint, in one Arrow file.

It counts only while Redis's own manifest says the same."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from activation.fingerprint import Hashes, checksum, string_hashes
from activation.keys import CONTRACT_VERSION
from activation.profile_rows import Fingerprinted
from activation.set_difference import not_shared
from activation.snapshot_file import open_snapshot, stage_snapshot

_NAME, _NAME_HASH, _FINGERPRINT = "name", "name_hash", "fingerprint"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Which rows must be sent (row numbers) and which keys must go (names without prefix)."""

    send: pa.Array
    vanished: pa.Array


@dataclass(frozen=True, kw_only=True)
class HeldKeys:
    """The keys of one kind that Redis holds, as the snapshot remembers them."""

    names: pa.ChunkedArray
    name_hashes: Hashes
    fingerprints: Hashes


def total_checksum(*kinds: Fingerprinted) -> str:
    """Order-independent checksum over all keys and values published."""
    return checksum(np.concatenate([kind.fingerprints for kind in kinds]))


def stage_keys(path: Path, kinds: tuple[Fingerprinted, Fingerprinted], *, version: int, token: str) -> Path:
    """Write the snapshot of both kinds beside its place; see snapshot_file.stage_snapshot."""
    columns = {
        _NAME: pa.chunked_array([kind.rows.names for kind in kinds]),
        _NAME_HASH: pa.chunked_array([pa.array(kind.rows.name_hashes) for kind in kinds]),
        _FINGERPRINT: pa.chunked_array([pa.array(kind.fingerprints) for kind in kinds]),
    }
    marks = {
        "contract": str(CONTRACT_VERSION),
        "version": str(version),
        "checksum": total_checksum(*kinds),
        "names": checksum(np.concatenate([kind.rows.name_hashes for kind in kinds])),
        "profiles": str(len(kinds[0].rows.names)),
    }
    return stage_snapshot(path, pa.table(columns), marks, what="profiles", token=token)


def held_keys(path: Path, *, version: str, manifest_checksum: str) -> tuple[HeldKeys, HeldKeys] | None:
    """Profiles and identifiers as published, or None where the file is not of that version and checksum."""
    expected = {"contract": str(CONTRACT_VERSION), "version": version, "checksum": manifest_checksum}
    opened = open_snapshot(path, expected)
    if opened is None:
        return None
    table, marks = opened
    name_hashes, fingerprints = table[_NAME_HASH].to_numpy(), table[_FINGERPRINT].to_numpy()
    if (checksum(fingerprints), checksum(name_hashes)) != (manifest_checksum, marks["names"]):
        return None
    border = int(marks["profiles"])
    profiles, identifiers = (
        HeldKeys(names=table[_NAME][part], name_hashes=name_hashes[part], fingerprints=fingerprints[part])
        for part in (slice(None, border), slice(border, None))
    )
    return profiles, identifiers


def difference(new: Fingerprinted, held: HeldKeys) -> Difference | None:
    """What has to be sent and removed so that Redis, which holds `held`, holds `new`; None where the snapshot's names are
    not those that were written."""
    is_changed, is_gone = not_shared(new.fingerprints, held.fingerprints)
    gone = np.flatnonzero(is_gone)
    vanished = gone[~np.isin(held.name_hashes[gone], new.rows.name_hashes[is_changed])]
    names = held.names.take(pa.array(vanished)).combine_chunks()
    if not np.array_equal(string_hashes(names), held.name_hashes[vanished]):
        return None
    return Difference(send=pa.array(np.flatnonzero(is_changed)), vanished=names)
