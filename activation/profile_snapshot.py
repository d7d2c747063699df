"""What the last publication of profiles left in Redis: every key with its fingerprint, in one Parquet file.

The file holds identifiers, so only its owner may read it. It counts only while Redis's own manifest says the same."""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from activation.errors import PublicationError
from activation.fingerprint import Hashes, checksum
from activation.keys import CONTRACT_VERSION
from activation.profile_rows import Fingerprinted
from activation.set_difference import not_shared

_ABANDONED_AFTER_SECONDS = 86_400
_NAME, _NAME_HASH, _FINGERPRINT = "name", "name_hash", "fingerprint"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Which rows must be sent (row numbers) and which keys must go (names without prefix)."""

    send: pa.Array
    vanished: pa.Array


@dataclass(frozen=True, kw_only=True)
class HeldKeys:
    """The keys of one kind that Redis holds: rows `start` onwards of the snapshot file."""

    file: pq.ParquetFile
    start: int
    name_hashes: Hashes
    fingerprints: Hashes

    def names(self, rows: npt.NDArray[np.int64]) -> pa.Array:
        """Names of these rows; the one column that is large is read only when a key has to go."""
        if not len(rows):
            return pa.array([], pa.binary())
        return self.file.read([_NAME])[_NAME].take(pa.array(rows + self.start)).combine_chunks()


def total_checksum(*kinds: Fingerprinted) -> str:
    """Order-independent checksum over all keys and values published."""
    return checksum(np.concatenate([kind.fingerprints for kind in kinds]))


def stage_snapshot(path: Path, kinds: tuple[Fingerprinted, Fingerprinted], *, version: int, token: str) -> Path:
    """Write the snapshot beside its place and put it on disk; os.replace makes it count.

    Raises PublicationError where the disk does not take it."""
    columns = {
        _NAME: pa.chunked_array([kind.rows.names for kind in kinds]),
        _NAME_HASH: np.concatenate([kind.rows.name_hashes for kind in kinds]),
        _FINGERPRINT: np.concatenate([kind.fingerprints for kind in kinds]),
    }
    marks = {
        "contract": str(CONTRACT_VERSION),
        "version": str(version),
        "checksum": total_checksum(*kinds),
        "profiles": str(len(kinds[0].rows.names)),
    }
    staged = path.with_name(f"{path.name}.{token}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        with open(os.open(staged, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            table = pa.table(columns).replace_schema_metadata(marks)
            # Ids and fingerprints do not compress; plain pages are several times faster to write and read.
            pq.write_table(table, file, compression="none", use_dictionary=False, write_statistics=False)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            staged.unlink()
        raise PublicationError(
            f"Publishing profiles failed: {path.parent} cannot be written ({error.strerror}); "
            "make room there and publish again."
        ) from error
    return staged


def _remove_abandoned(path: Path) -> None:
    """Delete what crashed publications left; a live one is younger than this by far."""
    for abandoned in path.parent.glob(f"{path.name}.*.unfinished"):
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_AFTER_SECONDS:
            abandoned.unlink(missing_ok=True)


def read_snapshot(path: Path, *, version: str, manifest_checksum: str) -> tuple[HeldKeys, HeldKeys] | None:
    """Profiles and identifiers as published, or None where the file is not of that version and checksum."""
    try:
        file = pq.ParquetFile(path)
        hashes = file.read([_NAME_HASH, _FINGERPRINT])
    except (OSError, pa.ArrowException):
        return None
    marks = {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
    expected = {"contract": str(CONTRACT_VERSION), "version": version, "checksum": manifest_checksum}
    name_hashes, fingerprints = hashes[_NAME_HASH].to_numpy(), hashes[_FINGERPRINT].to_numpy()
    if any(marks.get(key) != value for key, value in expected.items()) or checksum(fingerprints) != manifest_checksum:
        return None
    border = int(marks["profiles"])
    profiles = HeldKeys(file=file, start=0, name_hashes=name_hashes[:border], fingerprints=fingerprints[:border])
    identifiers = HeldKeys(
        file=file, start=border, name_hashes=name_hashes[border:], fingerprints=fingerprints[border:]
    )
    return profiles, identifiers


def difference(new: Fingerprinted, held: HeldKeys) -> Difference:
    """What has to be sent and removed so that Redis, which holds `held`, holds `new`."""
    is_changed, is_gone = not_shared(new.fingerprints, held.fingerprints)
    gone = np.flatnonzero(is_gone)
    vanished = gone[~np.isin(held.name_hashes[gone], new.rows.name_hashes[is_changed])]
    return Difference(send=pa.array(np.flatnonzero(is_changed)), vanished=held.names(vanished))
