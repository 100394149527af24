"""Opening and closing masks [height, width] with a square."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


def opened(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Without what the square does not fit into."""
    return dilated(eroded(mask, side), side)


def closed(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """With what the square does not fit into beside it."""
    return eroded(dilated(mask, side), side)


def eroded(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """What lies outside the mask does not eat into it."""
    return ~dilated(~mask, side)


def dilated(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Whether any pixel of the square around each is set, its middle being ``side // 2``."""
    before, after = side // 2, side - 1 - side // 2
    for axis in (0, 1):
        width = [(before, after) if one == axis else (0, 0) for one in (0, 1)]
        mask = np.asarray(sliding_window_view(np.pad(mask, width), side, axis=axis).any(axis=-1), bool)
    return mask
