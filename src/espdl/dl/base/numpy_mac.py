"""Convolution and linear operators in NumPy: exact sums by proof, at the speed of the float matrix product (DESIGN: prove before you pay).

``sum|w| * max|x|`` bounds every partial sum of a channel. Below 2**24 the float32 matrix product is exact whatever its order of
additions, below 2**53 the float64 one is; beyond that 64-bit integers are used.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.epilogue import EXACT_BELOW, Epilogue, FloatEpilogue, IntegerEpilogue, finish
from espdl.dl.base.kernels import LaneOverflows, MacFilter, Step, Window
from espdl.dl.base.lanes import Escape, LaneGuard, weight_sums
from espdl.dl.base.patches import padded, patches, tiles


def fastest_epilogue(filter: MacFilter, sum_bound: NDArray[np.float64], dtype: np.dtype) -> Epilogue:
    """The float epilogue where it is exact for sums of ``dtype``, bounded per channel, else the integer one."""
    if dtype.kind == "f":
        epilogue = FloatEpilogue(filter, sum_bound, dtype)
        if epilogue.is_exact:
            return epilogue
    return IntegerEpilogue(filter)


def exact_type(bound: float) -> np.dtype:
    """The fastest type in which sums of at most that magnitude are exact."""
    return next((dtype for dtype, limit in EXACT_BELOW.items() if bound < limit), np.dtype(np.int64))


class NumpyMac:
    """A prepared multiply-accumulate operator over images [H, W, C].

    Attributes:
        dtype: the type the sums are computed in.
        lane_overflows: see :class:`espdl.dl.base.MacKernel`.
    """

    table_step = None

    def __init__(self, filter: MacFilter, window: Window) -> None:
        self.filter = filter
        self.window = window
        bound = weight_sums(filter) * -float(np.iinfo(filter.input_dtype).min)
        self.dtype = exact_type(float(bound.max(initial=0.0)))
        self.weights = self._prepared(filter.weights.astype(self.dtype))
        self.epilogue = fastest_epilogue(filter, bound, self.dtype)
        guards = (LaneGuard(filter, rule, self.dtype) for rule in filter.lanes)
        self.guards = [guard for guard in guards if guard.channels.size]
        self.lane_overflows = LaneOverflows()

    def _prepared(self, weights: NDArray) -> NDArray:
        return np.ascontiguousarray(weights if self.filter.depthwise else weights.reshape(-1, weights.shape[-1]))

    def __call__(self, x: NDArray, out: NDArray) -> None:
        height, width, channels = x.shape[-3:]
        image = x.reshape(height, width, channels)
        extent = self.window.output_extent(height, width, self.filter.kernel)
        result = out.reshape(*extent, self.filter.channels)
        source = padded(image, self.window, self.dtype, result.size)
        view = patches(source, self.window, self.filter.kernel, extent)
        guards = self._active_guards(image)
        absolute = None
        if any(guard.saturates for guard in guards):
            absolute = patches(np.abs(source), self.window, self.filter.kernel, extent)
        self.lane_overflows = LaneOverflows()
        per_position = view.shape[-1] if self.filter.depthwise else int(np.prod(view.shape[2:]))
        for tile in tiles(extent, max(per_position, self.filter.channels)):
            values = view[tile]
            sums = self._sums(values, self.weights, None)
            target = result[tile].reshape(sums.shape)
            if not guards:
                self.epilogue(sums, target)
                continue
            escapes = [self._watch(guard, values, sums, None if absolute is None else absolute[tile]) for guard in guards]
            self.epilogue(sums, target)
            for escape in escapes:
                fixed = np.empty(escape.sums.shape, self.filter.output_dtype)
                shift = np.broadcast_to(self.filter.shift, (self.filter.channels,))[escape.channels]
                finish(escape.sums, shift, self.filter, fixed)
                target[escape.rows, escape.channels] = fixed

    def step(self, x: NDArray, out: NDArray) -> Step:
        return partial(self, x, out)

    def _active_guards(self, image: NDArray) -> list[LaneGuard]:
        if not self.guards:
            return []
        largest = float(max(abs(int(image.max(initial=0))), abs(int(image.min(initial=0)))))
        return [guard for guard in self.guards if not guard.is_safe(largest)]

    def _watch(self, guard: LaneGuard, values: NDArray, sums: NDArray, absolute: NDArray | None) -> Escape:
        if not guard.saturates:
            escape = guard.wrapped(sums)
            self.lane_overflows += LaneOverflows(escape.rows.size, tuple(int(n) for n in np.unique(escape.channels)))
            return escape
        assert absolute is not None
        assert guard.magnitudes is not None
        weights = self._prepared(guard.magnitudes)
        escape, count, channels = guard.saturated(values, sums, self._sums(absolute, weights, guard.channels))
        self.lane_overflows += LaneOverflows(count, tuple(int(n) for n in channels))
        return escape

    def _sums(self, values: NDArray, weights: NDArray, channels: NDArray[np.intp] | None) -> NDArray:
        """Exact sums [positions, N] of a tile of patches, or of some channels of a depthwise one."""
        rows = values.shape[0] * values.shape[1]
        if not self.filter.depthwise:
            return values.reshape(rows, -1) @ weights
        total: NDArray | None = None
        for kh in range(values.shape[2]):
            for kw in range(values.shape[3]):
                tap = values[:, :, kh, kw] if channels is None else values[:, :, kh, kw, channels]
                product = tap * weights[kh, kw]
                total = product if total is None else np.add(total, product, out=total)
        assert total is not None
        return total.reshape(rows, -1)


class NumpyLinear:
    """A linear operator: rows as the pixels of an image of one line under a 1 x 1 filter."""

    table_step = None

    def __init__(self, filter: MacFilter) -> None:
        self._mac = NumpyMac(filter, Window())

        self.lane_overflows = LaneOverflows()

    def __call__(self, x: NDArray, out: NDArray) -> None:
        self._mac(x.reshape(1, -1, x.shape[-1]), out)
        self.lane_overflows = self._mac.lane_overflows

    def step(self, x: NDArray, out: NDArray) -> Step:
        return partial(self, x, out)
