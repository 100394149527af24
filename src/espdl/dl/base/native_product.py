"""Products of computed matrices of the native backend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Overflow
from espdl.dl.base import _native
from espdl.dl.base.kernels import LaneOverflows, Step
from espdl.dl.base.lanes import lane_limits, unproved
from espdl.dl.base.native_mac import NativeLinear
from espdl.dl.base.products import NumpyProduct, Product
from espdl.rounding import Rounding


class NativeProduct:
    """See :class:`espdl.dl.base.kernels.ProductKernel`. Right matrices are packed in C++, in memory taken when the step is bound."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self._plain = NumpyProduct(product, NativeLinear)
        self._last: _native.ProductStep | None = None
        self._lanes = [
            (
                rule.start,
                rule.stop,
                *lane_limits(rule.accumulator),
                rule.accumulator.every,
                rule.accumulator.overflow is Overflow.SATURATE,
            )
            for rule in unproved(product.rule)
        ]

    @property
    def lane_overflows(self) -> LaneOverflows:
        """Of the last call of the step that was bound last."""
        if self._last is None:
            return self._plain.lane_overflows
        counts = self._last.overflows()
        return LaneOverflows(sum(counts), tuple(index for index, count in enumerate(counts) if count))

    def step(self, a: NDArray, b: NDArray, out: NDArray) -> Step:
        product, rule = self.product, self.product.rule
        if not out.size or np.may_share_memory(out, a) or np.may_share_memory(out, b):
            self._last = None
            return self._plain.step(a, b, out)
        shift = np.broadcast_to(rule.shift, (product.columns,)).tolist()
        half_even = rule.rounding is Rounding.HALF_EVEN
        size = (product.rows, product.depth, product.columns)
        order = list(zip(product.starts.tolist(), product.steps.tolist(), strict=True))
        self._last = _native.ProductStep(a, b, out, size, list(product.pairs), order, shift, half_even, rule.relu, self._lanes)
        return self._last

    def __call__(self, a: NDArray, b: NDArray, out: NDArray) -> None:
        self.step(a, b, out)()
