"""The steps of :class:`espdl.dl.base.step_kernels.StepKernels` in C++; what the C++ forms do not cover is left to the NumPy ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base import _native
from espdl.dl.base.kernels import Step
from espdl.dl.base.numpy_steps import NumpySteps
from espdl.dl.base.steps import BoundStep, InTurn, Joined, Relation, Taps, WindowAxis, flattened, merged_shapes
from espdl.dl.base.tables import table_step
from espdl.rounding import Rounding

_LARGEST_SHIFT = 30
_LOWEST_SHIFT = -62
_LARGEST_SCALE = 60
_INTEGERS = (np.dtype(np.int8), np.dtype(np.int16))
_RAW = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}

Four = tuple[int, int, int, int]
_Axis = tuple[int, int, int, int, int]


class NativeSteps(NumpySteps):
    """See :class:`espdl.dl.base.step_kernels.StepKernels`."""

    def join(self, steps: Sequence[Step]) -> Joined:
        pooled: list[Step] = []
        alone: list[Step] = []
        for is_native, group in itertools.groupby(flattened(steps), lambda step: isinstance(step, _native.Step)):
            members = list(group)
            if is_native:
                chain = _native.Chain([step for step in members if isinstance(step, _native.Step)])
                pooled.append(chain)
                alone.append(chain.alone)
            else:
                pooled += members
                alone += members
        return Joined(tuple(pooled), tuple(alone), all(isinstance(step, _native.Step) for step in pooled))

    def lookup_step(self, table: NDArray, x: NDArray, out: NDArray, rounding: Rounding) -> BoundStep:
        if not (_integers(x, out) and _in_place_or_apart(out, x)):
            return super().lookup_step(table, x, out, rounding)
        step_bits = table_step(table, x.itemsize).bit_length() - 1
        entries = np.ascontiguousarray(table, dtype=out.dtype).reshape(-1)
        run = _native.lookup_step(entries, x, out, step_bits, rounding is Rounding.HALF_EVEN)
        return self._table_step(run, entries, x, out, rounding)

    def sum_step(
        self, a: NDArray, b: NDArray, out: NDArray, *, subtract: bool = False, table: NDArray[np.int8] | None = None
    ) -> BoundStep:
        grid = _grid(a, b, out)
        if grid is None:
            return super().sum_step(a, b, out, subtract=subtract, table=table)
        run = _native.sum_step(a, b, out, *grid, subtract, table)
        return BoundStep(run, then_table=self._sum_then(a, b, out, subtract, table))

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
        grid = _grid(a, b, out)
        fits = abs(shift) <= _LARGEST_SCALE if in_float else _LOWEST_SHIFT <= shift <= _LARGEST_SHIFT
        if grid is None or not fits:
            return super().product_step(a, b, out, shift, rounding, in_float=in_float, table=table)
        run = _native.product_step(a, b, out, *grid, shift, rounding is Rounding.HALF_EVEN, in_float, table)
        return BoundStep(run, then_table=self._product_then(a, b, out, shift, rounding, in_float, table))

    def quotient_step(
        self, a: NDArray, b: NDArray, out: NDArray, shift: int, rounding: Rounding, *, by_reciprocal: bool = False
    ) -> BoundStep:
        grid = _grid(a, b, out)
        if grid is None or abs(shift) > _LARGEST_SCALE:
            return super().quotient_step(a, b, out, shift, rounding, by_reciprocal=by_reciprocal)
        return BoundStep(_native.quotient_step(a, b, out, *grid, shift, rounding is Rounding.HALF_EVEN, by_reciprocal))

    def compare_step(self, a: NDArray, b: NDArray, out: NDArray[np.bool_], relation: Relation) -> BoundStep:
        if not _in_place_or_apart(out, a):
            return self._from_copy(a, lambda copy: self.compare_step(copy, b, out, relation))
        if not _in_place_or_apart(out, b):
            return self._from_copy(b, lambda copy: self.compare_step(a, copy, out, relation))
        if not _integers(a, b) or a.dtype != b.dtype or not out.flags.c_contiguous:
            return super().compare_step(a, b, out, relation)
        grid = _broadcast(a, b, out)
        if grid is None:
            return super().compare_step(a, b, out, relation)
        return BoundStep(_native.compare_step(a, b, out.view(np.uint8), *grid, relation))

    def _from_copy(self, x: NDArray, step: Callable[[NDArray], BoundStep]) -> BoundStep:
        """The step that ``step`` makes of a copy of ``x``, taken at every call: for an output that lies across its input."""
        copy = np.empty_like(x)
        return BoundStep(InTurn([self.move_step([(copy, x)]), step(copy)]))

    def requantize_step(self, x: NDArray, out: NDArray, shift: int, rounding: Rounding) -> BoundStep:
        if not _in_place_or_apart(out, x):
            return self._from_copy(x, lambda copy: self.requantize_step(copy, out, shift, rounding))
        if not (_integers(x, out) and _LOWEST_SHIFT <= shift <= _LARGEST_SHIFT):
            return super().requantize_step(x, out, shift, rounding)
        return BoundStep(_native.requantize_step(x, out, shift, rounding is Rounding.HALF_EVEN))

    def prelu_step(self, x: NDArray, slope: NDArray, out: NDArray, shift: int, slope_shift: int, rounding: Rounding) -> BoundStep:
        slopes = np.ascontiguousarray(slope).reshape(-1)
        grid = _grid(x, slopes, out)
        shifts = (shift, slope_shift)
        if grid is None or min(shifts) < _LOWEST_SHIFT or max(shifts) > _LARGEST_SHIFT:
            return super().prelu_step(x, slope, out, shift, slope_shift, rounding)
        return BoundStep(_native.prelu_step(x, slopes, out, *grid, *shifts, rounding is Rounding.HALF_EVEN))

    def move_step(
        self,
        moves: Sequence[tuple[NDArray, NDArray]],
        fill: tuple[NDArray, NDArray] | None = None,
        *,
        in_order: bool = False,
    ) -> BoundStep:
        arrays = [array for move in moves for array in move] + list(fill or ())
        sources = [source for _, source in moves]
        overlap = any(np.may_share_memory(target, source) for target, source in moves)
        overlap |= not in_order and any(np.may_share_memory(target, source) for target, _ in moves for source in sources)
        overlap |= fill is not None and any(np.may_share_memory(fill[0], array) for array in (fill[1], *sources))
        if overlap or any(array.itemsize not in _RAW for array in arrays) or (fill and not fill[0].flags.c_contiguous):
            return super().move_step(moves, fill, in_order=in_order)
        made = [(_raw(target), _raw(source)) for target, source in moves if target.size]
        filled = None if fill is None else (_raw(fill[0]), _raw(fill[1].reshape(-1)[:1]))
        return BoundStep(_native.move_step(made, filled, in_order))

    def gather_step(self, x: NDArray, out: NDArray, index: Sequence[NDArray[np.intp]]) -> BoundStep:
        if np.may_share_memory(x, out):
            return self._from_copy(x, lambda copy: self.gather_step(copy, out, index))
        if x.itemsize not in _RAW or not (x.flags.c_contiguous and out.flags.c_contiguous):
            return super().gather_step(x, out, index)
        return BoundStep(_native.gather_step(_raw(x), _raw(out), [positions.tolist() for positions in index]))

    def max_pool_step(self, x: NDArray, out: NDArray, axes: Sequence[WindowAxis]) -> BoundStep:
        if np.may_share_memory(x, out):
            return self._from_copy(x, lambda copy: self.max_pool_step(copy, out, axes))
        if not _integers(x, out):
            return super().max_pool_step(x, out, axes)
        return BoundStep(_native.max_pool_step(x, out, *_rows_and_columns(x, axes), x.shape[-1]))

    def average_pool_step(
        self, x: NDArray, out: NDArray, axes: Sequence[WindowAxis], share: np.float32, shift: int, rounding: Rounding
    ) -> BoundStep:
        if np.may_share_memory(x, out):
            return self._from_copy(x, lambda copy: self.average_pool_step(copy, out, axes, share, shift, rounding))
        if not _integers(x, out) or abs(shift) > _LARGEST_SCALE:
            return super().average_pool_step(x, out, axes, share, shift, rounding)
        half_even = rounding is Rounding.HALF_EVEN
        run = _native.average_pool_step(x, out, *_rows_and_columns(x, axes), x.shape[-1], float(share), shift, half_even)
        return BoundStep(run)

    def mean_step(
        self, x: NDArray, out: NDArray, axes: Sequence[int], input_exponent: int, output_exponent: int, rounding: Rounding
    ) -> BoundStep:
        if np.may_share_memory(x, out):
            return self._from_copy(x, lambda copy: self.mean_step(copy, out, axes, input_exponent, output_exponent, rounding))
        reduced = [axis for axis in axes if x.shape[axis] != 1]
        first, last = min(reduced, default=0), max(reduced, default=-1) + 1
        kept_between = any(x.shape[axis] != 1 for axis in range(first, last) if axis not in axes)
        too_large = max(abs(input_exponent), abs(output_exponent)) > _LARGEST_SCALE
        if kept_between or too_large or not _integers(x, out):
            return super().mean_step(x, out, axes, input_exponent, output_exponent, rounding)
        extent = (prod(x.shape[:first]), prod(x.shape[first:last]), prod(x.shape[last:]))
        return BoundStep(_native.mean_step(x, out, extent, input_exponent, output_exponent, rounding is Rounding.HALF_EVEN))

    def interpolate_step(self, x: NDArray, out: NDArray, taps: Sequence[Taps], shift: int, rounding: Rounding) -> BoundStep:
        if np.may_share_memory(x, out):
            return self._from_copy(x, lambda copy: self.interpolate_step(copy, out, taps, shift, rounding))
        if not _integers(x, out) or abs(shift) > _LARGEST_SCALE or x.dtype != np.int8:
            return super().interpolate_step(x, out, taps, shift, rounding)
        rows, across = (None, taps[0]) if len(taps) == 1 else (taps[0], taps[1])
        height, width = (1, x.shape[1]) if rows is None else x.shape[1:3]
        half_even = rounding is Rounding.HALF_EVEN
        return BoundStep(
            _native.resize_step(x, out, height, width, x.shape[-1], *_lists(rows), *_lists(across), shift, half_even)
        )

    def quantize_step(self, x: NDArray, out: NDArray, exponent: int, rounding: Rounding) -> BoundStep:
        fits = x.dtype == np.float32 and x.flags.c_contiguous and _integers(out) and abs(exponent) <= _LARGEST_SCALE
        if not fits or (np.may_share_memory(x, out) and _address(x) != _address(out)):
            return super().quantize_step(x, out, exponent, rounding)
        return BoundStep(_native.quantize_step(x, out, exponent, rounding is Rounding.HALF_EVEN))

    def dequantize_step(self, x: NDArray, out: NDArray, exponent: int) -> BoundStep:
        if np.may_share_memory(x, out):
            return self._from_copy(x, lambda copy: self.dequantize_step(copy, out, exponent))
        fits = out.dtype == np.float32 and out.flags.c_contiguous and _integers(x) and abs(exponent) <= _LARGEST_SCALE
        if not fits:
            return super().dequantize_step(x, out, exponent)
        return BoundStep(_native.dequantize_step(x, out, exponent))

    def softmax_step(self, table: NDArray[np.float32], x: NDArray, out: NDArray) -> BoundStep:
        if np.may_share_memory(x, out):
            return self._from_copy(x, lambda copy: self.softmax_step(table, copy, out))
        if not _integers(x) or not out.flags.c_contiguous or x.ndim == 0:
            return super().softmax_step(table, x, out)
        return BoundStep(_native.softmax_step(np.ascontiguousarray(table, np.float32), x, out, x.shape[-1]))


def _integers(*arrays: NDArray) -> bool:
    """Whether all are contiguous arrays of int8 or int16 with elements."""
    return all(array.dtype in _INTEGERS and array.flags.c_contiguous and array.size for array in arrays)


def _in_place_or_apart(out: NDArray, x: NDArray) -> bool:
    """Whether ``out`` lies exactly on ``x``, element on element, or nowhere on it."""
    if not np.may_share_memory(x, out):
        return True
    return _address(x) == _address(out) and x.nbytes == out.nbytes and x.itemsize == out.itemsize


def _address(array: NDArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _raw(array: NDArray) -> NDArray:
    """The same elements as unsigned integers of their size."""
    return array.view(_RAW[array.itemsize])


def _grid(a: NDArray, b: NDArray, out: NDArray) -> tuple[Four, Four, Four] | None:
    """Extents of the merged axes and the steps of both operands on them; None where the C++ loops do not fit."""
    if not (_integers(a, b, out) and a.dtype == b.dtype == out.dtype):
        return None
    if not (_in_place_or_apart(out, a) and _in_place_or_apart(out, b)):
        return None
    return _broadcast(a, b, out)


def _broadcast(a: NDArray, b: NDArray, out: NDArray) -> tuple[Four, Four, Four] | None:
    first, second = merged_shapes(a.shape, b.shape)
    if len(first) > 4 or prod(map(max, first, second)) != out.size:
        return None
    extent = [1] * (4 - len(first)) + [max(pair) for pair in zip(first, second, strict=True)]
    return _four(extent), _steps(first), _steps(second)


def _steps(shape: Sequence[int]) -> Four:
    """Elements from one index to the next, 0 where the axis is repeated."""
    steps, size = [], 1
    for extent in reversed(shape):
        steps.append(size if extent > 1 else 0)
        size *= extent
    return _four([0] * (4 - len(steps)) + steps[::-1])


def _four(values: Sequence[int]) -> Four:
    a, b, c, d = values
    return a, b, c, d


def _rows_and_columns(x: NDArray, axes: Sequence[WindowAxis]) -> tuple[_Axis, _Axis]:
    """The windows on two axes: length, kernel, stride, pads before, outputs. One axis alone is a row."""
    described = [
        (length, axis.kernel, axis.stride, axis.before, axis.outputs(length))
        for length, axis in zip(x.shape[1:-1], axes, strict=True)
    ]
    rows, across = [(1, 1, 1, 0, 1)] * (2 - len(described)) + described
    return rows, across


def _lists(taps: Taps | None) -> tuple[list[int], list[int], list[float], list[float]]:
    if taps is None:
        return [], [], [], []
    return taps.low.tolist(), taps.high.tolist(), taps.ratio.tolist(), (1 - taps.ratio).tolist()
