"""Whether one array is another one in a different order, scale or reading of its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from espdl.report.inspection import AXES

_LANES = (16, 8)
_MOST_AXES = 5


def rearrangement(one: NDArray, two: NDArray) -> str:
    """How the elements of ``one`` would have to be moved to be ``two``, in words; empty where no simple movement does it."""
    if one.size != two.size or one.size < 2 or one.dtype != two.dtype:
        return ""
    wanted = two.reshape(-1)
    if np.array_equal(one.reshape(-1), wanted):
        return (
            f"the same elements in the same order, with shape {list(two.shape)} instead of {list(one.shape)}"
            if one.shape != two.shape
            else ""
        )
    if not np.array_equal(np.sort(one, axis=None), np.sort(two, axis=None)):
        return _other_reading(one, two)
    return next((text for text, moved in _movements(one) if np.array_equal(moved.reshape(-1), wanted)), "")


def _movements(one: NDArray) -> Iterator[tuple[str, NDArray]]:
    rank = one.ndim
    if rank in AXES:
        name, order = AXES[rank]
        onnx = name[0] + name[-1] + name[1:-1]
        yield f"it lies in the order {onnx} of ONNX, not in {name}", one.transpose(np.argsort(order))
        yield f"it was turned from {onnx} to {name} twice", one.transpose(order)
    if 2 <= rank <= _MOST_AXES:
        for axes in permutations(range(rank)):
            if list(axes) != sorted(axes):
                yield f"its axes are in the order {list(axes)}", one.transpose(axes)
    if rank:
        yield (
            "its channels are in reverse order (RGB and BGR)" if one.shape[-1] == 3 else "its last axis is reversed",
            one[..., ::-1],
        )
    if rank in AXES and one.shape[1] == 3:
        yield "its second axis is reversed (RGB and BGR in the order of ONNX)", one[:, ::-1]
    for lanes in _LANES:
        if rank and one.shape[-1] % lanes == 0 and one.shape[-1] > lanes:
            blocks = one.reshape(-1, one.shape[-1] // lanes, lanes)
            yield f"its channels lie in blocks of {lanes}, one block after the other", blocks.transpose(1, 0, 2)


def _other_reading(one: NDArray, two: NDArray) -> str:
    if one.dtype.itemsize > 1 and np.array_equal(one.byteswap().reshape(-1), two.reshape(-1)):
        return "its bytes are in the other order (big-endian)"
    if one.shape == two.shape and one.ndim in AXES and not np.array_equal(one, two):
        flipped = [axis for axis in range(1, one.ndim) if np.array_equal(np.flip(one, axis), two)]
        if flipped:
            return f"it is flipped along axis {flipped[0]}"
    return ""


USUAL_FACTORS = tuple(f for size in (2, 4, 8, 16, 32, 64, 128, 255, 256, 127.5) for f in (size, 1 / size))
USUAL_ADDENDS = (0.0, -1.0, -0.5, 0.5, 1.0)
"""By which pictures are scaled and moved, or are not by mistake."""


def scaling(
    one: NDArray[np.float64], two: NDArray[np.float64], step: float, limits: tuple[float, float]
) -> tuple[float, float] | None:
    """Factor and addend that make ``one`` to ``two`` within ``step`` everywhere; None where there are none, or it is the identity.

    The usual ones are tried; others are found on the elements between the extremes of ``two``: those at its ends may be saturated.

    Args:
        limits: smallest and largest value that ``two`` can have.
    """
    if one.size == two.size and one.size >= 8 and np.ptp(two) > 2 * step:
        for factor in USUAL_FACTORS:
            for addend in USUAL_ADDENDS:
                error = np.abs(np.clip(factor * one + addend, *limits) - two.reshape(one.shape))
                if error.max() <= step:
                    return factor, addend
    x, y = one.reshape(-1), two.reshape(-1)
    if x.size != y.size or x.size < 8:
        return None
    low, high = y.min(), y.max()
    inner = (y > low) & (y < high)
    if inner.sum() < 4 or np.ptp(x[inner]) == 0:
        return None
    factor, addend = np.polyfit(x[inner], y[inner], 1)
    error = np.abs(np.clip(factor * x + addend, low, high) - y)
    if error.max() > 1.5 * step or abs(factor) < 1e-6:
        return None
    if abs(factor - 1) * np.abs(x).max() < step and abs(addend) < step:
        return None
    return float(factor), float(addend)
