"""``Observer``: looks at values and chooses their exponent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError


@dataclass(frozen=True)
class View:
    """How the network sees errors of a tensor.

    Attributes:
        weights: float64 [size of axis 1], what a squared error in each channel does to the outputs; None where all count the same.
        function: what alone reads the tensor, element by element: errors count behind it; None for the tensor itself.
        whole: nothing that was seen may be cut off, as the largest values are the answer.
    """

    weights: NDArray[np.float64] | None = None
    function: Callable[[NDArray], NDArray] | None = None
    whole: bool = False


OBSERVERS: dict[str, type[Observer]] = {}
"""Every calibration algorithm by name. Filled by defining a subclass of :class:`Observer`; one without a name is a part of another."""


class Observer(ABC):
    """Sees the values of one tensor, batch after batch, in constant memory, then chooses its exponent.

    Args:
        bits: width of the integers.
        axis: the channel axis for one exponent per channel; None for one exponent.

    Raises:
        EspdlError: for a channel axis where the algorithm is per tensor only.
    """

    name: ClassVar[str] = ""
    per_channel: ClassVar[bool] = False
    joint: ClassVar[bool] = False
    """Whether one observer weighs all tensors that share an exponent against each other; else each has its own, and the largest counts."""

    surveyed: ClassVar[bool] = False
    """Whether some values of each channel are enough (:meth:`observe_some`)."""

    def __init_subclass__(cls, *, name: str) -> None:
        super().__init_subclass__()
        cls.name = name
        if name:
            OBSERVERS[name] = cls

    def __init__(self, bits: int, axis: int | None = None) -> None:
        if axis is not None and not self.per_channel:
            able = ", ".join(name for name, observer in OBSERVERS.items() if observer.per_channel)
            raise EspdlError(f"calibration algorithm {self.name!r} cannot give one exponent per channel", hint=f"use {able}")
        self.bits = bits
        self.axis = axis

    @abstractmethod
    def observe(self, values: NDArray) -> None:
        """Takes finite values of one batch."""

    def observe_some(self, some: NDArray, ends: NDArray, count: int) -> None:
        """Takes part of a tensor's values in the place of all; only where ``surveyed``.

        Args:
            some: [size of axis 1, any number], values at even distances.
            ends: [size of axis 1, 2], the smallest and the largest of all.
            count: of all values of each channel.

        Raises:
            EspdlError: for an algorithm that needs all values.
        """
        raise EspdlError(f"calibration algorithm {self.name!r} needs all values of a tensor")

    def part(self, view: View) -> Observer:
        """What observes one of the tensors that share the exponent. Algorithms that treat all values alike see them all themselves."""
        return self

    def exponents(self) -> tuple[int, ...]:
        """The exponents chosen for all that was observed: one, or one per channel.

        Raises:
            EspdlError: for a part of another observer, which alone chooses.
        """
        raise EspdlError("what observes one tensor of several chooses no exponent", hint="ask the observer that it is a part of")


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
