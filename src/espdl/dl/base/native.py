"""The native backend: C++ kernels where there are some, the NumPy ones for the rest. Bit for bit the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base import _native
from espdl.dl.base.kernels import MacFilter, MacKernel, ProductKernel, Window
from espdl.dl.base.native_mac import NativeLinear, NativeMac
from espdl.dl.base.native_product import NativeProduct
from espdl.dl.base.native_steps import NativeSteps
from espdl.dl.base.products import Product
from espdl.dl.base.tables import table_step
from espdl.rounding import Rounding


class NativeKernels(NativeSteps):
    """See :class:`espdl.dl.base.Kernels`."""

    name = "native"

    def conv2d(self, filter: MacFilter, window: Window) -> MacKernel:
        return NativeMac(filter, window)

    def linear(self, filter: MacFilter) -> MacKernel:
        return NativeLinear(filter)

    def product(self, product: Product) -> ProductKernel:
        return NativeProduct(product)

    def lookup(self, table: NDArray, x: NDArray, out: NDArray, rounding: Rounding) -> None:
        step_bits = table_step(table, x.itemsize).bit_length() - 1
        entries = np.ascontiguousarray(table, dtype=out.dtype).reshape(-1)
        target = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
        _native.lookup(entries, np.ascontiguousarray(x), target, step_bits, rounding is Rounding.HALF_EVEN)
        if target is not out:
            out[...] = target

    def shift_round_saturate(
        self, values: NDArray, shift: NDArray[np.int64], rounding: Rounding, out: NDArray, *, relu: bool = False
    ) -> None:
        shifts = np.asarray(shift, dtype=np.int64).reshape(-1)
        requantizer = _native.Requantizer([], shifts.tolist(), shifts.size, rounding is Rounding.HALF_EVEN, relu, float("inf"))
        target = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
        requantizer(np.ascontiguousarray(values), target)
        if target is not out:
            out[...] = target

    def row_ends(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        ends = np.empty((len(rows), 2), np.float32)
        _native.row_ends(np.ascontiguousarray(rows, dtype=np.float32), ends)
        return ends

    def tap_moments(
        self, rows: NDArray[np.float32], places: NDArray[np.int32], sums: NDArray[np.float64], products: NDArray[np.float64]
    ) -> None:
        _native.tap_moments(np.ascontiguousarray(rows, dtype=np.float32), places, sums, products)
