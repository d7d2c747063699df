"""Keyed hashes: whether content changed can be told from them, what it is cannot, nor can it be guessed without the key."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


class Fingerprints:
    """The hashes of one sync; `secret` is the installation's own, and two syncs of it have nothing in common."""

    def __init__(self, secret: str, sync: str) -> None:
        self._key = hashlib.blake2b(f"weft sync\n{sync}\n{secret}".encode(), digest_size=32).digest()

    def content(self, payload: Mapping[str, Any]) -> str:
        """128 bits of what would be sent."""
        text = json.dumps(payload, sort_keys=True, default=str, ensure_ascii=True, separators=(",", ":"))
        return self._hex(b"content", text)

    def idempotency_key(self, record_key: str, sequence: int) -> str:
        """The same for every try of one change, and never that of another."""
        return self._hex(b"key", f"{sequence}\n{record_key}")

    def shown(self, record_key: str) -> str:
        """A record's name where anybody may read it, such as in Dagster."""
        return self.record(record_key)[:12]

    def record(self, record_key: str) -> str:
        """A record's name where more people read it than the ledger."""
        return self._hex(b"shown", record_key)

    def sources(self, members: pa.Table, code: str) -> np.ndarray:
        """64 bits (int64, never 0) per row of all columns; `code` stands for what makes records of them."""
        found = np.zeros(len(members), dtype=np.uint64)
        for name in sorted(members.column_names):
            column_key = hashlib.blake2b(f"{code}\n{name}".encode(), key=self._key, digest_size=8).hexdigest()
            # SipHash with a key of sixteen bytes
            hashed = pd.util.hash_array(_texts(members[name]), hash_key=column_key, categorize=False)
            nulls = members[name].is_null().to_numpy(zero_copy_only=False)
            hashed[nulls] = np.uint64(int(column_key, 16) | 1)
            found = found * np.uint64(0x9E3779B97F4A7C15) + hashed
            found ^= found >> np.uint64(29)
        signed = found.view(np.int64)
        signed[signed == 0] = 1
        return signed

    def _hex(self, purpose: bytes, text: str) -> str:
        digest = hashlib.blake2b(text.encode(), key=self._key, digest_size=16, person=purpose)
        return digest.hexdigest()


def _texts(column: pa.ChunkedArray) -> np.ndarray:
    """A column as Python texts, without nulls."""
    try:
        texts = pc.cast(column, pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        texts = pa.chunked_array([pa.array([str(value) for value in column.to_pylist()], pa.string())])
    return np.asarray(pc.fill_null(texts, "").to_numpy(zero_copy_only=False), dtype=object)
