"""``ExponentInfo``: the power-of-two exponent of a tensor (guide 4.1, runtime spec 2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError


class ExponentInfo:
    """Power-of-two exponent of a tensor: ``real = integer * 2**exponent``.

    One integer for the whole tensor, or one per output channel. A list of no entry means 0, of one entry per tensor. Immutable.
    """

    __slots__ = ("_exponent", "_exponents")
    _exponent: int
    _exponents: tuple[int, ...]

    def __init__(self, exponent: int | Sequence[int] | NDArray[np.integer] | ExponentInfo = 0) -> None:
        if isinstance(exponent, ExponentInfo):
            self._exponents, self._exponent = exponent._exponents, exponent._exponent
            return
        values = (int(exponent),) if isinstance(exponent, (int, np.integer)) else tuple(map(int, exponent))
        self._exponents = values if len(values) > 1 else ()
        self._exponent = 0 if self._exponents or not values else values[0]

    def get(self, ch: int = -1) -> int:
        """Exponent of channel ``ch``; the per-tensor one (0 when there is none) when ``ch`` is negative or the exponent is per tensor.

        Raises :class:`EspdlError` for a channel that does not exist.
        """
        if not self._exponents or ch < 0:
            return self._exponent
        if ch >= len(self._exponents):
            raise EspdlError(f"there is no exponent for channel {ch}", why=f"the tensor has {len(self._exponents)} channels")
        return self._exponents[ch]

    def is_per_channel(self) -> bool:
        """Whether there is one exponent per channel."""
        return bool(self._exponents)

    def channel_size(self) -> int:
        """Number of channels; 1 when per tensor."""
        return len(self._exponents) or 1

    def extreme(self) -> int:
        """The exponent of the largest magnitude."""
        return max(self._exponents, key=abs) if self._exponents else self._exponent

    def data(self) -> NDArray[np.int32]:
        """All exponents, shape [channel_size]."""
        return np.array(self._exponents or (self._exponent,), dtype=np.int32)

    def __int__(self) -> int:
        return self._exponent

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (int, np.integer)):
            return not self._exponents and self._exponent == other
        if not isinstance(other, ExponentInfo):
            return NotImplemented
        return self._exponents == other._exponents and self._exponent == other._exponent

    def __hash__(self) -> int:
        return hash(self._exponents or self._exponent)  # equal to an int, so hashed like one

    def __repr__(self) -> str:
        return f"ExponentInfo({list(self._exponents) if self._exponents else self._exponent})"
