"""A record at an advertising vendor: the identifiers that stand for a customer there, and its key, from which it can be removed.

The key is the identifiers as they are sent, so that a removal needs nothing of the person, and so that another e-mail is another
record. Vendors keep people, not records: a removal that named an identifier which another record still needs would take that one out
as well, so it names only those that no member holds any more.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from urllib.parse import quote, unquote

import numpy as np

_HASH_BYTES = 16


def key_of(identifiers: Mapping[str, str]) -> str:
    """`EMAIL=62a1…;PHONE=e323…`, by field; the same for the same identifiers, whatever their order."""
    return ";".join(f"{field}={quote(identifiers[field], safe='')}" for field in sorted(identifiers))


def identifiers_of(key: str) -> dict[str, str]:
    """What `key_of` was given."""
    return {field: unquote(value) for field, _, value in (part.partition("=") for part in key.split(";"))}


class HeldIdentifiers:
    """The identifiers of all members of one sync; 16 bytes each, as two million of them have to fit."""

    def __init__(self) -> None:
        self._found = bytearray()
        self._sorted: np.ndarray | None = None

    def add(self, identifiers: Mapping[str, str]) -> None:
        """Those of one more member."""
        for field, value in identifiers.items():
            self._found += _digest(field, value)
        self._sorted = None

    def without_held(self, identifiers: Mapping[str, str]) -> dict[str, str]:
        """Those that no member holds."""
        return {field: value for field, value in identifiers.items() if not self._holds(field, value)}

    def _holds(self, field: str, value: str) -> bool:
        if self._sorted is None:
            self._sorted = np.sort(np.frombuffer(bytes(self._found), dtype=f"S{_HASH_BYTES}"))
        wanted = np.frombuffer(_digest(field, value), dtype=f"S{_HASH_BYTES}")
        place = int(np.searchsorted(self._sorted, wanted)[0])
        return place < len(self._sorted) and bool(self._sorted[place] == wanted[0])


def _digest(field: str, value: str) -> bytes:
    return blake2b(f"{field}={value}".encode(), digest_size=_HASH_BYTES).digest()


def chunks(rows: Sequence[int], sizes: Mapping[int, int], most_rows: int, most_bytes: int) -> list[list[int]]:
    """`rows` in their order, in pieces of at most so many and so many bytes; a row that is too large alone is alone."""
    pieces: list[list[int]] = []
    size = 0
    for row in rows:
        if not pieces or len(pieces[-1]) >= most_rows or size + sizes[row] > most_bytes:
            pieces.append([])
            size = 0
        pieces[-1].append(row)
        size += sizes[row]
    return pieces
