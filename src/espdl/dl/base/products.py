"""Products of matrices of which both are computed: what they are described with, and their readable form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.kernels import LaneOverflows, MacFilter, MacKernel, Step


@dataclass(frozen=True)
class Product:
    """How matrices are multiplied.

    Attributes:
        rule: shifts, rounding, types and accumulators. Its weights, [1, 1, K, N], are the lowest value there is: what is proved of them
            holds for every right matrix.
        rows: of a left matrix.
        pairs: left and right matrix of each result, in the order of the results.
        starts, steps: [N], where in a right matrix's memory the first element of each column lies, and how far on the next one.
    """

    rule: MacFilter
    rows: int
    pairs: tuple[tuple[int, int], ...]
    starts: NDArray[np.intp]
    steps: NDArray[np.intp]

    @property
    def depth(self) -> int:
        """Extent K that is summed over."""
        return self.rule.weights.shape[-2]

    @property
    def columns(self) -> int:
        """Columns N of a right matrix."""
        return self.rule.channels


def worst_weights(shape: tuple[int, ...], dtype: np.dtype) -> NDArray[np.integer]:
    """The lowest value of an integer type, as often as ``shape`` says; takes no memory."""
    return np.broadcast_to(np.array(np.iinfo(dtype).min, dtype), shape)


class NumpyProduct:
    """See :class:`espdl.dl.base.kernels.ProductKernel`. ``linear`` makes the kernel of one right matrix."""

    def __init__(self, product: Product, linear: Callable[[MacFilter], MacKernel]) -> None:
        self.product = product
        self.linear = linear
        self.lane_overflows = LaneOverflows()

    def __call__(self, a: NDArray, b: NDArray, out: NDArray) -> None:
        product = self.product
        lefts = a.reshape(-1, product.rows, product.depth)
        order = self.product.starts + np.arange(product.depth)[:, None] * product.steps
        rights = b.reshape(-1, order.size)[:, order]
        results = out.reshape(-1, product.rows, product.columns)
        overflows = LaneOverflows()
        for result, (left, right) in zip(results, product.pairs, strict=True):
            kernel = self.linear(replace(product.rule, weights=rights[right][None, None]))
            kernel(lefts[left], result)
            overflows += kernel.lane_overflows
        self.lane_overflows = overflows

    def step(self, a: NDArray, b: NDArray, out: NDArray) -> Step:
        return partial(self, a, b, out)
