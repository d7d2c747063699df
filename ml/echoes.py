"""Features that only echo another one in the rows at hand, such as a window that is longer than the history.

Where a shop is half a year old, the revenue of 180 days is that of a lifetime. A fit may then lean on either; a quarter later they
part, and what leant on the echo is off for everybody (on CDNOW by a sixth of the total). So the later of both is hidden.
"""

from typing import Final

import numpy as np

from ml.schema import FEATURES, FloatArray

EQUAL_ROWS: Final = 0.9
SAMPLED_ROWS: Final = 20_000


def echoes(values: FloatArray) -> tuple[str, ...]:
    """Names of features of the matrix that equal an earlier one of the same unit in 90 % of the rows where either is not 0."""
    sample = np.nan_to_num(values[:: max(1, -(-len(values) // SAMPLED_ROWS))])
    found: list[str] = []
    for later, feature in enumerate(FEATURES):
        for earlier in range(later):
            if FEATURES[earlier].unit == feature.unit and FEATURES[earlier].name not in found:
                one, other = sample[:, earlier], sample[:, later]
                said = (one != 0) | (other != 0)
                if said.any() and np.isclose(one[said], other[said]).mean() >= EQUAL_ROWS:
                    found.append(feature.name)
                    break
    return tuple(found)


def without(values: FloatArray, hidden: tuple[str, ...]) -> FloatArray:
    """The matrix with the hidden features unknown throughout, so that nothing can lean on them."""
    if not hidden:
        return values
    shown = values.copy()
    shown[:, [column for column, feature in enumerate(FEATURES) if feature.name in hidden]] = np.nan
    return shown
