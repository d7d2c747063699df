"""The members of the audience version last published, in one Arrow file beside the warehouse: what a difference is
taken to without reading the set back. It counts only while Redis's manifest and the size of its set say the same."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from activation.fingerprint import Hashes, checksum, string_hashes
from activation.keys import CONTRACT_VERSION
from activation.set_difference import Mask
from activation.snapshot_file import open_snapshot, stage_snapshot

_MEMBER, _HASH = "member", "hash"


@dataclass(frozen=True, kw_only=True)
class HeldMembers:
    """Members of a set in Redis with their fingerprints; `checked_until` is where looking through the set stopped."""

    members: pa.Array
    hashes: Hashes
    checked_until: int

    def chosen(self, rows: Mask) -> pa.Array | None:
        """Members of these rows, or None where the file's names are not those that were written."""
        members = self.members.filter(pa.array(rows))
        return members if np.array_equal(string_hashes(members), self.hashes[rows]) else None


def stage_members(
    path: Path, members: pa.Array, hashes: Hashes, *, name: str, version: int, checked_until: int, token: str
) -> Path:
    """Write the snapshot beside its place; see snapshot_file.stage_snapshot."""
    marks = {
        "contract": str(CONTRACT_VERSION),
        "audience": name,
        "version": str(version),
        "checksum": checksum(hashes),
        "checked_until": str(checked_until),
    }
    table = pa.table({_MEMBER: members, _HASH: hashes})
    return stage_snapshot(path, table, marks, what=f"audience {name!r}", token=token)


def held_members(path: Path, *, name: str, version: int, manifest_checksum: str) -> HeldMembers | None:
    """The members as published, or None where the file is not of that audience, version and checksum."""
    expected = {
        "contract": str(CONTRACT_VERSION),
        "audience": name,
        "version": str(version),
        "checksum": manifest_checksum,
    }
    opened = open_snapshot(path, expected)
    if opened is None:
        return None
    table, marks = opened
    hashes = table[_HASH].to_numpy()
    if checksum(hashes) != manifest_checksum:
        return None
    members = table[_MEMBER].combine_chunks()
    return HeldMembers(members=members, hashes=hashes, checked_until=int(marks["checked_until"]))
