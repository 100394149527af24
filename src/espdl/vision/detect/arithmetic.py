"""The arithmetic of decoding: thresholds, sigmoid, distances from bins, and the way to whole pixels (runtime spec 7.6).

Everything is binary32, as on the chip. Exponentials and logarithms are computed wider and rounded once, which is what a good ``expf``
gives; what the chip's own ``expf`` gives in the last place is not known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
_INT32 = np.iinfo(np.int32)
unbounded = np.errstate(over="ignore", invalid="ignore")
"""For functions on outputs of any scale, in which infinities and what is not a number may come up: neither is worth a warning."""


def exp32(values: Floats) -> Floats:
    """``expf``."""
    with np.errstate(over="ignore"):
        return np.exp(values.astype(np.float64)).astype(np.float32)


def sigmoid32(values: Floats) -> Floats:
    """``1 / (1 + expf(-x))``."""
    one = np.float32(1)
    return one / (one + exp32(-values))


def logit32(probability: float) -> np.float32:
    """``-logf(1.0 / p - 1)``: minus infinity for 0, plus infinity for 1."""
    given = np.float32(probability)
    with np.errstate(divide="ignore", over="ignore"):
        odds = np.float32(1.0 / np.float64(given) - 1)
        return np.float32(-np.log(np.float64(odds)))


def softmax32(values: Floats) -> Floats:
    """Softmax of the last axis: the largest value is taken away first, the sum is taken from the first entry to the last."""
    powers = exp32(values - values.max(axis=-1, keepdims=True))
    total = powers[..., :1].copy()
    for index in range(1, values.shape[-1]):
        total += powers[..., index : index + 1]
    return powers / total


def distances(bins: Floats) -> Floats:
    """``dfl``: the mean bin under the softmax of ``bins`` [..., number of bins], summed from the first to the last."""
    shares = softmax32(bins)
    mean = np.zeros(bins.shape[:-1], np.float32)
    for index in range(1, bins.shape[-1]):
        mean += np.float32(index) * shares[..., index]
    return mean


def whole(values: ArrayLike) -> NDArray[np.int64]:
    """``(int)``: towards zero, saturated to 32 bits; 0 for what is not a number."""
    return np.nan_to_num(np.clip(np.trunc(np.asarray(values)), _INT32.min, _INT32.max)).astype(np.int64)
