"""Multiply-accumulate operators of the native backend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Accumulator, Overflow
from espdl.dl.base import _native
from espdl.dl.base.kernels import LaneOverflows, LaneRule, MacFilter, Step, Window
from espdl.dl.base.lanes import lane_limits, unproved, weight_sums
from espdl.dl.base.patches import check_padding
from espdl.dl.base.steps import InTurn
from espdl.errors import EspdlError
from espdl.rounding import Rounding

_INT8 = np.dtype(np.int8)


def _can_guard(filter: MacFilter, doubtful: Sequence[LaneRule]) -> bool:
    """Whether these are the accumulators of the guard, which is fastest: they saturate after each product of two int8 values, and exact
    sums fit 32 bits."""
    if filter.depthwise or filter.input_dtype != _INT8 or filter.weights.dtype != _INT8:
        return False
    bias = 0.0 if filter.bias is None else np.abs(filter.bias.astype(np.float64))
    return bool((weight_sums(filter) * 128.0 + bias < 2.0**31).all()) and all(
        rule.accumulator.overflow is Overflow.SATURATE and rule.accumulator.bits < 32 and rule.accumulator.every == 1
        for rule in doubtful
    )


def _lanes(filter: MacFilter, doubtful: Sequence[LaneRule]) -> list[tuple[int, int, int, bool]]:
    """Low, high, products taken at a time and whether it wraps, of the accumulator of each output; empty where none is doubtful."""
    if not doubtful:
        return []
    plain = Accumulator(64, Overflow.WRAP)
    accumulators = [plain] * filter.channels
    for rule in doubtful:
        accumulators[rule.start : rule.stop] = [rule.accumulator] * (rule.stop - rule.start)
    return [(*lane_limits(a), a.every, a.overflow is Overflow.WRAP) for a in accumulators]


class NativeMac:
    """A convolution; see :class:`espdl.dl.base.MacKernel`."""

    def __init__(self, filter: MacFilter, window: Window) -> None:
        self.filter = filter
        self.window = window
        self._last: _native.MacStep | None = None
        doubtful = unproved(filter)
        is_guarded = bool(doubtful) and _can_guard(filter, doubtful)
        limits = np.empty((2, filter.channels if is_guarded else 0), np.int64)
        limits[0], limits[1] = -(2**31), 2**31 - 1
        for rule in doubtful if is_guarded else ():
            limits[:, rule.start : rule.stop] = np.array(lane_limits(rule.accumulator))[:, None]
        low, high = limits.tolist()
        self.mac = _native.Mac(
            np.ascontiguousarray(filter.weights),
            filter.depthwise,
            [] if filter.bias is None else filter.bias.tolist(),
            filter.shift.tolist(),
            filter.rounding is Rounding.HALF_EVEN,
            filter.relu,
            filter.input_dtype == _INT8,
            filter.output_dtype == _INT8,
            low,
            high,
            [] if is_guarded else _lanes(filter, doubtful),
        )

    @property
    def lane_overflows(self) -> LaneOverflows:
        """Of the last call of the step that was bound last."""
        counts = self._last.overflows() if self._last else []
        return LaneOverflows(sum(counts), tuple(index for index, count in enumerate(counts) if count))

    def step(self, x: NDArray, out: NDArray) -> Step:
        return self._bound(x, out, None)

    def table_step(self, x: NDArray, out: NDArray, table: NDArray[np.int8]) -> Step:
        return self._bound(x, out, np.ascontiguousarray(table).reshape(-1))

    def _bound(self, x: NDArray, out: NDArray, table: NDArray[np.int8] | None) -> Step:
        height, width, channels = x.shape[-3:]
        expected = self.filter.weights.shape[-1 if self.filter.depthwise else 2]
        if channels != expected:
            raise EspdlError(f"the filter reads {expected} channels, the input has {channels}")
        window = self.window
        extent = window.output_extent(height, width, self.filter.kernel)
        check_padding((height, width, channels), window, out.size)
        shares = np.may_share_memory(x, out)
        source = np.empty_like(x) if shares else x
        origin = (window.pads[0], window.pads[2])
        run = _native.MacStep(
            self.mac, source, out, (*window.strides, *window.dilations, *origin), (height, width), extent, table
        )
        self._last = run
        if not shares:
            return run
        copy = _native.move_step([(source.reshape(-1).view(np.uint8), x.reshape(-1).view(np.uint8))], None, False)
        return InTurn([copy, run])

    def __call__(self, x: NDArray, out: NDArray) -> None:
        self.step(x, out)()


class NativeLinear:
    """A linear operator: rows as the pixels of an image of one line under a 1 x 1 filter."""

    def __init__(self, filter: MacFilter) -> None:
        self._mac = NativeMac(filter, Window())
        self.table_step = self._with_table

    @property
    def lane_overflows(self) -> LaneOverflows:
        return self._mac.lane_overflows

    def step(self, x: NDArray, out: NDArray) -> Step:
        return self._mac.step(x.reshape(1, -1, x.shape[-1]), out)

    def _with_table(self, x: NDArray, out: NDArray, table: NDArray[np.int8]) -> Step:
        return self._mac.table_step(x.reshape(1, -1, x.shape[-1]), out, table)

    def __call__(self, x: NDArray, out: NDArray) -> None:
        self.step(x, out)()
