"""Comparing two tensors element by element (runtime spec 2.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Difference:
    """How a tensor differs from the expected one. False when it does not.

    Attributes:
        size: number of elements compared.
        reason: in words; empty when equal within the tolerance.
        count: elements outside the tolerance.
        index: flat index of the first of them; -1 when there is none or type, shape or exponent differ.
        coordinates: of that element.
        expected, got: its values.
        max_abs: largest absolute difference of all elements; infinite when a NaN meets a number.
    """

    size: int
    reason: str = ""
    count: int = 0
    index: int = -1
    coordinates: tuple[int, ...] = ()
    expected: float = 0.0
    got: float = 0.0
    max_abs: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.reason)

    def __str__(self) -> str:
        return self.reason or "equal"


def compare_arrays(got: NDArray, expected: NDArray, epsilon: float) -> Difference:
    """Compares two arrays of equal shape and type: an element is wrong when ``|got - expected| > epsilon``; NaN equals NaN only."""
    if got.size == 0:
        return Difference(0)
    distances = _distances(got, expected)
    wrong = distances > epsilon
    count = int(np.count_nonzero(wrong))
    max_abs = float(distances.max())
    if not count:
        return Difference(got.size, max_abs=max_abs)
    index = int(np.argmax(wrong.reshape(-1)))
    coordinates = tuple(int(i) for i in np.unravel_index(index, got.shape))
    value, wanted = got.reshape(-1)[index], expected.reshape(-1)[index]
    reason = f"{count} of {got.size} values differ by up to {max_abs:g}, the first at {list(coordinates)}: expected {wanted}, got {value}"
    return Difference(got.size, reason, count, index, coordinates, float(wanted), float(value), max_abs)


def _distances(got: NDArray, expected: NDArray) -> NDArray:
    if got.dtype.kind != "f":
        if got.dtype.itemsize < 8:
            return np.abs(got.astype(np.int64) - expected.astype(np.int64))
        larger, smaller = np.maximum(got, expected), np.minimum(got, expected)
        return larger.astype(np.uint64) - smaller.astype(np.uint64)  # modulo 2**64, so right for int64 too
    with np.errstate(invalid="ignore"):
        distances = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    distances[got == expected] = 0.0  # infinities
    nan, expected_nan = np.isnan(got), np.isnan(expected)
    distances[nan & expected_nan] = 0.0
    distances[nan ^ expected_nan] = np.inf
    return distances
