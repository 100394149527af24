"""Float sums and roots as the chip's loops compute them: one element after the other, in binary32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

quietly = np.errstate(all="ignore")
"""Decorator: infinities and NaN come out of float operators without a warning, as on the chip."""

_NEWTON_PRECISION = 1e-5
_NEWTON_LIMIT = 256


def sequential_sum(values: NDArray[Any], dtype: np.dtype | type = np.float32) -> NDArray[Any]:
    """Sum over the last axis, from its first element to its last, every partial sum rounded to ``dtype``.

    ``np.sum`` adds in pairs and would round differently.
    """
    if values.shape[-1] == 0:
        return np.zeros(values.shape[:-1], dtype=dtype)
    return np.add.accumulate(values, axis=-1, dtype=dtype)[..., -1]


def sequential_product(values: NDArray[Any], dtype: np.dtype | type = np.float32) -> NDArray[Any]:
    """Product over the last axis, from its first element to its last, every partial product rounded to ``dtype``."""
    if values.shape[-1] == 0:
        return np.ones(values.shape[:-1], dtype=dtype)
    return np.multiply.accumulate(values, axis=-1, dtype=dtype)[..., -1]


def sqrt_newton(values: NDArray[Any]) -> NDArray[np.float32]:
    """Square root by Newton's iteration in binary32, stopped when a step is at most 1e-5 (runtime spec 3.8).

    Small arguments come out too large: the rule must be followed to the letter. Where the chip would never stop (NaN, infinity, or two
    neighbours taking turns) the last iterate is returned.
    """
    x = np.asarray(values, dtype=np.float32)
    root = x.copy()
    active = x != 0
    with np.errstate(all="ignore"):
        for _ in range(_NEWTON_LIMIT):
            if not active.any():
                break
            following = (root + x / root) * np.float32(0.5)
            step = np.abs(following - root)
            root = np.where(active, following, root)
            active &= step > _NEWTON_PRECISION
    return root
