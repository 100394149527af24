"""A native multiply-accumulate operator against the NumPy one."""

from __future__ import annotations

import numpy as np

from espdl.dl.base import LaneOverflows, MacFilter, Window, get_kernels


def outcome(backend: str, filter: MacFilter, window: Window, x: np.ndarray) -> tuple[np.ndarray, LaneOverflows]:
    """Output [1, OH, OW, N] for an input [1, H, W, C], and the sums that left their accumulators."""
    extent = window.output_extent(*x.shape[1:3], filter.kernel)
    out = np.full((1, *extent, filter.channels), 99, filter.output_dtype)
    kernel = get_kernels(backend).conv2d(filter, window)
    kernel(x, out)
    return out, kernel.lane_overflows


def assert_same(filter: MacFilter, window: Window, x: np.ndarray) -> LaneOverflows:
    """Bit for bit, and the same sums counted; returns those."""
    expected, overflows = outcome("numpy", filter, window, x)
    result, counted = outcome("native", filter, window, x)
    np.testing.assert_array_equal(result, expected)
    assert counted == overflows
    return overflows
