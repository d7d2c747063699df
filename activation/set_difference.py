"""Which fingerprints two sets do not share, by sorting: several times faster than a hash table for millions of them."""

import numpy as np
import numpy.typing as npt

from activation.fingerprint import Hashes

Mask = npt.NDArray[np.bool_]


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
    unused_bits = np.uint64(64 - min(max(len(few).bit_length() + 6, 12), 22))
    flags = np.zeros(1 << (64 - int(unused_bits)), bool)
    flags[few >> unused_bits] = True
    found: Mask = flags[hashes >> unused_bits]
    candidates = np.flatnonzero(found)
    found[candidates] = np.isin(hashes[candidates], few)
    return found
