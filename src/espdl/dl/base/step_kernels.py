"""What a backend offers besides multiply-accumulate: steps bound to arrays, for the other operators that run often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.steps import BoundStep, Joined, Relation, Taps, WindowAxis
from espdl.rounding import Rounding

if TYPE_CHECKING:
    from espdl.dl.base.kernels import Step


class StepKernels(Protocol):
    """Every method checks and prepares once and returns the step that does the work on these very arrays at every call.

    Arrays are C-contiguous, of int8 or int16, unless said otherwise. ``out`` may be one of the inputs where the operation is
    element-wise and that input is not broadcast. All backends give the same bits.
    """

    def join(self, steps: Sequence[Step]) -> Joined:
        """Makes as few calls as possible of steps that run one after the other."""
        ...

    def lookup_step(self, table: NDArray, x: NDArray, out: NDArray, rounding: Rounding) -> BoundStep:
        """``out = table[x]``; see :meth:`espdl.dl.base.Kernels.lookup`."""
        ...

    def sum_step(
        self, a: NDArray, b: NDArray, out: NDArray, *, subtract: bool = False, table: NDArray[np.int8] | None = None
    ) -> BoundStep:
        """``saturate(a + b)`` or ``saturate(a - b)``, broadcast (spec 3.1); with a table of 256 entries that of int8 results."""
        ...

    def product_step(
        self,
        a: NDArray,
        b: NDArray,
        out: NDArray,
        shift: int,
        rounding: Rounding,
        *,
        in_float: bool = False,
        table: NDArray[np.int8] | None = None,
    ) -> BoundStep:
        """``saturate(round(a * b / 2**shift))``, broadcast, of the exact product or of the binary32 one (spec 3.1)."""
        ...

    def quotient_step(
        self, a: NDArray, b: NDArray, out: NDArray, shift: int, rounding: Rounding, *, by_reciprocal: bool = False
    ) -> BoundStep:
        """``saturate(round(a * 2**shift / b))`` in binary32, broadcast; or ``a * fl32(2**shift / b)`` (spec 3.1.1).

        0 / b is 0, and a / 0 the end of the type's range that a points to.
        """
        ...

    def compare_step(self, a: NDArray, b: NDArray, out: NDArray[np.bool_], relation: Relation) -> BoundStep:
        """Whether ``a`` and ``b``, broadcast, are in that relation (spec 3.1)."""
        ...

    def requantize_step(self, x: NDArray, out: NDArray, shift: int, rounding: Rounding) -> BoundStep:
        """``saturate(round(x / 2**shift))`` between types of any width; equal number of elements."""
        ...

    def prelu_step(self, x: NDArray, slope: NDArray, out: NDArray, shift: int, slope_shift: int, rounding: Rounding) -> BoundStep:
        """``x / 2**shift`` where x is not negative, else ``x * slope / 2**slope_shift``; rounded, saturated.

        ``slope`` is flat: one value, or one per entry of the last axis.
        """
        ...

    def move_step(
        self,
        moves: Sequence[tuple[NDArray, NDArray]],
        fill: tuple[NDArray, NDArray] | None = None,
        *,
        in_order: bool = False,
    ) -> BoundStep:
        """Copies values as they are, of any type.

        Args:
            moves: (target, source) views of equal shape and type, of any strides.
            fill: an array to fill first, and the one value for it, read at every call.
            in_order: whether a later move reads what an earlier one wrote.
        """
        ...

    def gather_step(self, x: NDArray, out: NDArray, index: Sequence[NDArray[np.intp]]) -> BoundStep:
        """``out = x[np.ix_(*index)]``, of any type: one list of positions per axis."""
        ...

    def max_pool_step(self, x: NDArray, out: NDArray, axes: Sequence[WindowAxis]) -> BoundStep:
        """Maximum over windows of [1, spatial axes, C]; a window that lies on pads only gives the lowest value (spec 3.10)."""
        ...

    def average_pool_step(
        self, x: NDArray, out: NDArray, axes: Sequence[WindowAxis], share: np.float32, shift: int, rounding: Rounding
    ) -> BoundStep:
        """``saturate(round(fl32(sum * share) / 2**shift))`` of the sums over windows, pads counting as 0 (spec 3.10)."""
        ...

    def mean_step(
        self, x: NDArray, out: NDArray, axes: Sequence[int], input_exponent: int, output_exponent: int, rounding: Rounding
    ) -> BoundStep:
        """Mean over ``axes``: the exact sum as binary32 real value, divided by the count, quantized (spec 3.9)."""
        ...

    def interpolate_step(self, x: NDArray, out: NDArray, taps: Sequence[Taps], shift: int, rounding: Rounding) -> BoundStep:
        """Linear resizing of the spatial axes of int8 [1, spatial axes, C] in binary32, divided by ``2**shift`` (spec 3.11)."""
        ...

    def quantize_step(self, x: NDArray, out: NDArray, exponent: int, rounding: Rounding) -> BoundStep:
        """``saturate(round(x / 2**exponent))`` of as many float32 values; ``out`` may begin where ``x`` does (spec 2.2)."""
        ...

    def dequantize_step(self, x: NDArray, out: NDArray, exponent: int) -> BoundStep:
        """``x * 2**exponent`` as float32; equal number of elements (spec 2.2)."""
        ...

    def softmax_step(self, table: NDArray[np.float32], x: NDArray, out: NDArray) -> BoundStep:
        """``e / sum(e)`` along the last axis of int8 values, ``e`` looked up by bit pattern; the sum in binary32, front to back."""
        ...
