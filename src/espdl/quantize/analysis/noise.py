"""What noise is measured in (quantizer spec 14), and its mean over samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError

Measure = Callable[[NDArray, NDArray], float]

_SMALLEST = 1e-7


def snr(got: NDArray, exact: NDArray) -> float:
    """Noise to signal power, ``sum (got - exact)**2 / (sum exact**2 + 1e-7)``: smaller is better, 0 is equal."""
    signal = _flat(exact)
    return _power(_flat(got) - signal) / (_power(signal) + _SMALLEST)


def mse(got: NDArray, exact: NDArray) -> float:
    """Mean of ``(got - exact)**2``."""
    error = _flat(got) - _flat(exact)
    return _power(error) / max(error.size, 1)


def cosine(got: NDArray, exact: NDArray) -> float:
    """Cosine of the angle between the two: 1 is best. Where either is all zero, 1 if both are, else 0."""
    a, b = _flat(got), _flat(exact)
    lengths = (_power(a) * _power(b)) ** 0.5
    if lengths == 0:
        return 1.0 if not a.any() and not b.any() else 0.0
    return float((a * b).sum()) / lengths


def _flat(array: NDArray) -> NDArray[np.float64]:
    return np.asarray(array, np.float64).reshape(-1)


def _power(values: NDArray[np.float64]) -> float:
    """Sum of squares. Not by BLAS: its threads get in the way of those that run samples."""
    return float(np.square(values).sum())


MEASURES: Mapping[str, Measure] = {"snr": snr, "mse": mse, "cosine": cosine}
"""By the name that analysis functions take as ``method``."""


def measure_of(method: str) -> Measure:
    """A measure by name. Raises :class:`EspdlError` for one that does not exist."""
    try:
        return MEASURES[method.lower()]
    except KeyError:
        raise EspdlError(f"there is no measure {method!r}", hint="one of " + ", ".join(MEASURES)) from None


class Means:
    """A running mean by name."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value
        self._counts[name] = self._counts.get(name, 0) + 1

    def __call__(self) -> dict[str, float]:
        """The means so far."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}
