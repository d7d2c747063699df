"""Which fingerprints two sets do not share, by sorting: several times faster than a hash table for millions of them."""

import numpy as np
import numpy.typing as npt

from activation.fingerprint import Hashes

Mask = npt.NDArray[np.bool_]
_FLAG_BITS = np.uint64(22)


def not_shared(left: Hashes, right: Hashes) -> tuple[Mask, Mask]:
    """For each side, which of its rows the other side lacks. Within a side each fingerprint stands once."""
    together = np.sort(np.concatenate([left, right]))
    edges = np.concatenate([[True], together[1:] != together[:-1], [True]]) if len(together) else np.ones(1, bool)
    single = together[edges[1:] & edges[:-1]]
    return is_in(left, single), is_in(right, single)


def has_repeats(hashes: Hashes) -> bool:
    """Whether a fingerprint stands more than once."""
    ordered = np.sort(hashes)
    return bool(np.any(ordered[1:] == ordered[:-1]))


def is_in(hashes: Hashes, few: Hashes) -> Mask:
    """Which fingerprints are in a small set: a table of flags sorts out nearly all rows that are not in it."""
    flags = np.zeros(1 << int(_FLAG_BITS), bool)
    flags[few >> (np.uint64(64) - _FLAG_BITS)] = True
    found: Mask = flags[hashes >> (np.uint64(64) - _FLAG_BITS)]
    candidates = np.flatnonzero(found)
    found[candidates] = np.isin(hashes[candidates], few)
    return found
