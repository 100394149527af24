"""``Observer``: looks at values and chooses their exponent."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError

OBSERVERS: dict[str, type[Observer]] = {}
"""Every calibration algorithm by name. Filled by defining a subclass of :class:`Observer`."""


class Observer:
    """Sees the values of one tensor, batch after batch, in constant memory, then chooses its exponent.

    Args:
        bits: width of the integers.
        axis: the channel axis for one exponent per channel; None for one exponent.

    Raises:
        EspdlError: for a channel axis where the algorithm is per tensor only.
    """

    name: ClassVar[str] = ""
    per_channel: ClassVar[bool] = False

    def __init_subclass__(cls, *, name: str) -> None:
        super().__init_subclass__()
        cls.name = name
        OBSERVERS[name] = cls

    def __init__(self, bits: int, axis: int | None = None) -> None:
        if axis is not None and not self.per_channel:
            able = ", ".join(name for name, observer in OBSERVERS.items() if observer.per_channel)
            raise EspdlError(f"calibration algorithm {self.name!r} cannot give one exponent per channel", hint=f"use {able}")
        self.bits = bits
        self.axis = axis

    def observe(self, values: NDArray) -> None:
        """Takes finite values of one batch."""
        raise NotImplementedError

    def exponents(self) -> tuple[int, ...]:
        """The exponents chosen for all that was observed: one, or one per channel."""
        raise NotImplementedError


def create_observer(name: str, bits: int, axis: int | None = None) -> Observer:
    """The observer called ``name``; case does not matter. Raises :class:`EspdlError` with the list of names."""
    try:
        return OBSERVERS[name.lower()](bits, axis)
    except KeyError:
        raise EspdlError(f"there is no calibration algorithm {name!r}", hint="one of " + ", ".join(OBSERVERS)) from None


def as_rows(values: NDArray, axis: int | None) -> NDArray[np.float64]:
    """``values`` as [channels, rest]; one row where ``axis`` is None."""
    if axis is None:
        return values.reshape(1, -1)
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
