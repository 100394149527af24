"""The steps of :class:`espdl.dl.base.step_kernels.StepKernels` in NumPy: the specification that other backends are held to."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.kernels import Step
from espdl.dl.base.steps import BoundStep, Joined, Relation, Taps, ThenTable, WindowAxis, flattened, interpolate, slide
from espdl.dl.base.tables import lookup, shift_round_saturate
from espdl.rounding import Rounding, dequantize, quantize, round_float, saturate, shift_and_round


class NumpySteps:
    """See :class:`espdl.dl.base.step_kernels.StepKernels`."""

    def join(self, steps: Sequence[Step]) -> Joined:
        bare = tuple(flattened(steps))
        return Joined(bare, bare)

    def lookup_step(self, table: NDArray, x: NDArray, out: NDArray, rounding: Rounding) -> BoundStep:
        def step() -> None:
            lookup(table, x, out, rounding)

        return self._table_step(step, table, x, out, rounding)

    def _table_step(self, run: Step, table: NDArray, x: NDArray, out: NDArray, rounding: Rounding) -> BoundStep:
        """``run`` with what may be known of a look-up: one of int8 values followed by another is a look-up too."""
        if not x.dtype == out.dtype == np.int8:
            return BoundStep(run)
        entries = np.ascontiguousarray(table, np.int8).reshape(-1)

        def then_table(then: NDArray[np.int8], to: NDArray[np.int8]) -> BoundStep:
            return self.lookup_step(composed(entries, then), x, to.reshape(out.shape), rounding)

        return BoundStep(run, table=entries, source=x, then_table=then_table)

    def sum_step(
        self, a: NDArray, b: NDArray, out: NDArray, *, subtract: bool = False, table: NDArray[np.int8] | None = None
    ) -> BoundStep:
        operation, dtype = np.subtract if subtract else np.add, np.dtype(np.int16 if out.dtype == np.int8 else np.int32)
        limits = np.iinfo(out.dtype)
        wide = np.empty(out.shape, dtype=dtype)

        def step() -> None:
            operation(a, b, out=wide, dtype=dtype)
            np.clip(wide, limits.min, limits.max, out=wide)
            np.copyto(out, wide, casting="unsafe")
            look_up_in_place(table, out)

        return BoundStep(step, then_table=self._sum_then(a, b, out, subtract, table))

    def _sum_then(self, a: NDArray, b: NDArray, out: NDArray, subtract: bool, table: NDArray | None) -> ThenTable | None:
        if out.dtype != np.int8:
            return None
        return lambda then, to: self.sum_step(a, b, to.reshape(out.shape), subtract=subtract, table=composed(table, then))

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
        product = np.empty(out.shape, dtype=np.float32 if in_float else np.int32)
        shifts = np.array([shift], dtype=np.int64)

        def step() -> None:
            np.multiply(a, b, out=product, dtype=product.dtype)
            if in_float:
                out[...] = quantize(product, shift, out.dtype, rounding)
            else:
                shift_round_saturate(product, shifts, rounding, out)
            look_up_in_place(table, out)

        return BoundStep(step, then_table=self._product_then(a, b, out, shift, rounding, in_float, table))

    def _product_then(
        self, a: NDArray, b: NDArray, out: NDArray, shift: int, rounding: Rounding, in_float: bool, table: NDArray | None
    ) -> ThenTable | None:
        if out.dtype != np.int8:
            return None

        def then_table(then: NDArray[np.int8], to: NDArray[np.int8]) -> BoundStep:
            target = to.reshape(out.shape)
            return self.product_step(a, b, target, shift, rounding, in_float=in_float, table=composed(table, then))

        return then_table

    def quotient_step(
        self, a: NDArray, b: NDArray, out: NDArray, shift: int, rounding: Rounding, *, by_reciprocal: bool = False
    ) -> BoundStep:
        limits = np.iinfo(out.dtype)

        def step() -> None:
            with np.errstate(all="ignore"):
                if by_reciprocal:
                    quotient = a.astype(np.float32) * (np.ldexp(np.float32(1), shift) / b.astype(np.float32))
                else:
                    quotient = np.ldexp(a.astype(np.float32), shift) / b.astype(np.float32)
                result = saturate(round_float(quotient, rounding), out.dtype)
            by_zero = np.where(a > 0, limits.max, limits.min)
            out[...] = np.where(a == 0, 0, np.where(b == 0, by_zero, result))

        return BoundStep(step)

    def compare_step(self, a: NDArray, b: NDArray, out: NDArray[np.bool_], relation: Relation) -> BoundStep:
        compare = getattr(np, relation)
        return BoundStep(lambda: compare(a, b, out=out))

    def requantize_step(self, x: NDArray, out: NDArray, shift: int, rounding: Rounding) -> BoundStep:
        wide = np.empty(out.shape, dtype=np.int32)
        shifts = np.array([shift], dtype=np.int64)

        def step() -> None:
            np.copyto(wide, x.reshape(wide.shape))
            shift_round_saturate(wide, shifts, rounding, out)

        return BoundStep(step)

    def prelu_step(self, x: NDArray, slope: NDArray, out: NDArray, shift: int, slope_shift: int, rounding: Rounding) -> BoundStep:
        def step() -> None:
            wide = x.astype(np.int32)
            positive = shift_and_round(wide, shift, rounding)
            negative = shift_and_round(wide * slope.ravel().astype(np.int32), slope_shift, rounding)
            out[...] = saturate(np.where(wide >= 0, positive, negative), out.dtype)

        return BoundStep(step)

    def move_step(
        self,
        moves: Sequence[tuple[NDArray, NDArray]],
        fill: tuple[NDArray, NDArray] | None = None,
        *,
        in_order: bool = False,
    ) -> BoundStep:
        def step() -> None:
            if fill is not None:
                fill[0][...] = fill[1].reshape(-1)[0]
            for target, source in moves:
                np.copyto(target, source)

        return BoundStep(step)

    def gather_step(self, x: NDArray, out: NDArray, index: Sequence[NDArray[np.intp]]) -> BoundStep:
        places = np.ix_(*index)

        def step() -> None:
            np.copyto(out, x[places])

        return BoundStep(step)

    def max_pool_step(self, x: NDArray, out: NDArray, axes: Sequence[WindowAxis]) -> BoundStep:
        lowest = int(np.iinfo(out.dtype).min)

        def step() -> None:
            np.copyto(out, slide(x, axes, np.maximum, lowest))

        return BoundStep(step)

    def average_pool_step(
        self, x: NDArray, out: NDArray, axes: Sequence[WindowAxis], share: np.float32, shift: int, rounding: Rounding
    ) -> BoundStep:
        def step() -> None:
            total = slide(x, axes, np.add, 0, np.dtype(np.int32)).astype(np.float32)
            # The chip multiplies by fl32(2**(ei - eo) / area): powers of two do not change how a binary32 product rounds.
            out[...] = quantize(total * share, shift, out.dtype, rounding)

        return BoundStep(step)

    def mean_step(
        self, x: NDArray, out: NDArray, axes: Sequence[int], input_exponent: int, output_exponent: int, rounding: Rounding
    ) -> BoundStep:
        kept = [i for i in range(x.ndim) if i not in axes]
        count = prod(x.shape[i] for i in axes)
        accumulator = np.int32 if x.dtype == np.int8 else np.int64

        def step() -> None:
            rows = x.transpose(*kept, *axes).reshape(-1, count)
            mean = dequantize(rows.sum(axis=1, dtype=accumulator), input_exponent) / np.float32(count)
            out[...] = quantize(mean, output_exponent, out.dtype, rounding).reshape(out.shape)

        return BoundStep(step)

    def interpolate_step(self, x: NDArray, out: NDArray, taps: Sequence[Taps], shift: int, rounding: Rounding) -> BoundStep:
        def step() -> None:
            out[...] = quantize(interpolate(x.astype(np.float32), taps), shift, out.dtype, rounding)

        return BoundStep(step)

    def quantize_step(self, x: NDArray, out: NDArray, exponent: int, rounding: Rounding) -> BoundStep:
        def step() -> None:
            out[...] = quantize(x, exponent, out.dtype, rounding).reshape(out.shape)

        return BoundStep(step)

    def dequantize_step(self, x: NDArray, out: NDArray, exponent: int) -> BoundStep:
        def step() -> None:
            out[...] = dequantize(x, exponent).reshape(out.shape)

        return BoundStep(step)

    def softmax_step(self, table: NDArray[np.float32], x: NDArray, out: NDArray) -> BoundStep:
        def step() -> None:
            exponentials = table[x.view(np.uint8)]
            out[...] = exponentials / np.add.accumulate(exponentials, axis=-1, dtype=np.float32)[..., -1:]

        return BoundStep(step)


def composed(first: NDArray[np.int8] | None, then: NDArray[np.int8]) -> NDArray[np.int8]:
    """The table of looking up in ``first``, if there is one, and the result in ``then``."""
    return then if first is None else then[first.astype(np.intp) + 128]


def look_up_in_place(table: NDArray[np.int8] | None, values: NDArray) -> None:
    """Replaces int8 values by their entries; nothing without a table."""
    if table is not None:
        values[...] = table[values.astype(np.intp) + 128]
