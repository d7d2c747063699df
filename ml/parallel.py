"""Rows in parts, several at once: for work on rows that do not depend on each other, where threads change no bit."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from ml.schema import FloatArray, batches

# Small enough for one thread of LightGBM (THREADS_TO_PREDICT_FROM), so that all of the work is spread and not its trees alone.
PART_ROWS: Final = 32_768
MOST_THREADS: Final = 4


def by_parts(work: Callable[[FloatArray], FloatArray], values: FloatArray) -> FloatArray:
    """One number per row of `values` by `work`, which gets some rows at a time and lets go of Python's lock for most of it."""
    found = np.empty(len(values))

    def one(part: slice) -> None:
        found[part] = work(values[part])

    parts = list(batches(len(values), size=PART_ROWS))
    if len(parts) < 2:
        for part in parts:
            one(part)
        return found
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        for done in [threads.submit(one, part) for part in parts]:
            done.result()
    return found
