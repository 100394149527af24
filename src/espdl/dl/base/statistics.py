"""What is measured of rows of real numbers, in NumPy: the specification other backends are held to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def row_ends(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """See :meth:`espdl.dl.base.Kernels.row_ends`."""
    return np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)


def tap_moments(
    rows: NDArray[np.float32], places: NDArray[np.int32], sums: NDArray[np.float64], products: NDArray[np.float64]
) -> None:
    """See :meth:`espdl.dl.base.Kernels.tap_moments`."""
    for some in places.T:
        met = np.where(some < 0, 0.0, rows[:, np.maximum(some, 0)].astype(np.float64))
        sums += met
        products += met[:, :, None] * met[:, None, :]
