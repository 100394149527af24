"""What a kernel backend offers, and the plain records it is asked with.

Kernels know nothing of files, nodes or tensors: they get arrays in logical order and integers. Every backend returns the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Accumulator
from espdl.dl.base.step_kernels import StepKernels
from espdl.errors import EspdlError
from espdl.rounding import Rounding

if TYPE_CHECKING:
    from espdl.dl.base.products import Product


@dataclass(frozen=True)
class Window:
    """How a 2D filter moves over an image.

    Attributes:
        strides, dilations: (vertical, horizontal), each at least 1.
        pads: zeros added at the (top, bottom, left, right), each at least 0.
    """

    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if min(*self.strides, *self.dilations) < 1:
            raise EspdlError(
                "strides and dilations must be at least 1", why=f"strides {self.strides}, dilations {self.dilations}"
            )
        if min(self.pads) < 0:
            raise EspdlError("pads must not be negative", why=f"pads {self.pads}", hint="put a Slice before the node")

    def output_extent(self, height: int, width: int, kernel: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the output (spec 3.3). Raises :class:`EspdlError` when the filter is larger than the padded image."""
        top, bottom, left, right = self.pads
        rows = (height + top + bottom - (self.dilations[0] * (kernel[0] - 1) + 1)) // self.strides[0] + 1
        columns = (width + left + right - (self.dilations[1] * (kernel[1] - 1) + 1)) // self.strides[1] + 1
        if rows < 1 or columns < 1:
            raise EspdlError(
                "the filter is larger than its padded input",
                why=f"kernel {list(kernel)} with dilations {list(self.dilations)} on {height} x {width} with pads {list(self.pads)}",
            )
        return rows, columns


@dataclass(frozen=True)
class LaneRule:
    """The accumulator of a run of output channels in silicon arithmetic (spec 3.2).

    Attributes:
        start, stop: the channels it serves.
        accumulator: its width and what it does when a sum leaves it.
    """

    start: int
    stop: int
    accumulator: Accumulator


@dataclass(frozen=True)
class MacFilter:
    """Weights and everything that turns their sums into an output; the same for every run.

    Attributes:
        weights: int8 or int16, [KH, KW, C, N], or [KH, KW, N] when ``depthwise``. A linear operator has KH = KW = 1.
        depthwise: each output channel reads the input channel of the same number.
        bias: int64 [N] in units of the accumulator, or None.
        shift: int64, [1] or one per output channel [N]: the sum is divided by ``2**shift``.
        rounding: of that division.
        relu: whether negative results become 0.
        input_dtype, output_dtype: int8 or int16.
        lanes: accumulators of the chip; empty computes with a 64-bit accumulator (reference arithmetic).
    """

    weights: NDArray[np.integer]
    depthwise: bool
    bias: NDArray[np.int64] | None
    shift: NDArray[np.int64]
    rounding: Rounding
    relu: bool
    input_dtype: np.dtype
    output_dtype: np.dtype
    lanes: tuple[LaneRule, ...] = ()

    @property
    def channels(self) -> int:
        """Number of output channels N."""
        return self.weights.shape[-1]

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of the filter."""
        return self.weights.shape[0], self.weights.shape[1]


@dataclass(frozen=True)
class LaneOverflows:
    """Sums of one run that an accumulator of the chip could not hold.

    Attributes:
        count: sums whose value on the chip differs from the exact one.
        channels: output channels they belong to, ascending.
    """

    count: int = 0
    channels: tuple[int, ...] = ()

    def __add__(self, other: LaneOverflows) -> LaneOverflows:
        return LaneOverflows(self.count + other.count, tuple(sorted({*self.channels, *other.channels})))


Step = Callable[[], None]
"""Work bound to its arrays: calling it checks nothing, and natively allocates nothing and does not hold the GIL."""


class Accumulating(Protocol):
    """Something that adds products up in accumulators of the chip.

    Attributes:
        lane_overflows: of the last call; always empty in reference arithmetic.
    """

    @property
    def lane_overflows(self) -> LaneOverflows: ...


class MacKernel(Accumulating, Protocol):
    """A multiply-accumulate operator with its weights prepared.

    Attributes:
        table_step: ``step`` with one argument more, 256 int8 entries that every int8 output is looked up in; None where it has no
            such form.
    """

    @property
    def table_step(self) -> Callable[[NDArray, NDArray, NDArray[np.int8]], Step] | None: ...

    def __call__(self, x: NDArray, out: NDArray) -> None:
        """Computes ``out`` from ``x``, both C-contiguous.

        A 2D convolution takes [1, H, W, C] and fills [1, OH, OW, N]; a linear operator takes [..., K] and fills [..., N].
        """
        ...

    def step(self, x: NDArray, out: NDArray) -> Step:
        """The same bound to two arrays, which it reads and writes at every call and keeps alive.

        Raises :class:`EspdlError` where the kernel does not fit them.
        """
        ...


class ProductKernel(Accumulating, Protocol):
    """A product of matrices of which both are computed (spec 3.4)."""

    def __call__(self, a: NDArray, b: NDArray, out: NDArray) -> None:
        """Computes all results, [results, rows, N], from left matrices [lefts, rows, K] and right ones in their own order."""
        ...

    def step(self, a: NDArray, b: NDArray, out: NDArray) -> Step:
        """The same bound to three C-contiguous arrays, which it reads and writes at every call and keeps alive."""
        ...


class Kernels(StepKernels, Protocol):
    """A backend. All backends return the same bits; ``name`` is "numpy" or "native"."""

    name: str

    def conv2d(self, filter: MacFilter, window: Window) -> MacKernel:
        """Prepares a 2D convolution, standard or depthwise (spec 3.2, 3.3). A 1D convolution has H = KH = 1."""
        ...

    def linear(self, filter: MacFilter) -> MacKernel:
        """Prepares ``x @ weights`` on rows (spec 3.4)."""
        ...

    def product(self, product: Product) -> ProductKernel:
        """Prepares a product of matrices that are both computed (spec 3.4)."""
        ...

    def lookup(self, table: NDArray, x: NDArray, out: NDArray, rounding: Rounding) -> None:
        """Fills ``out`` with the table's entries for the int8 or int16 values of ``x`` (spec 3.5).

        Args:
            table: for int8 256 entries, entry i for the value i - 128. For int16 ``65536 / step + 1`` entries, entry i for the value
                ``i * step - 32768``, ``step`` a power of two; 65536 entries mean step 1.
            rounding: how the nearest entry is chosen when a value lies midway between two.
        """
        ...

    def shift_round_saturate(
        self, values: NDArray, shift: NDArray[np.int64], rounding: Rounding, out: NDArray, *, relu: bool = False
    ) -> None:
        """Fills ``out`` with ``saturate(relu(values / 2**shift))`` (spec 2.2).

        Args:
            values: int32 or int64, any shape.
            shift: int64, [1] or one per entry of the last axis. Negative shifts multiply.
            out: int8, int16 or int32, C-contiguous, of the shape of ``values``.
        """
        ...

    def row_ends(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The smallest and the largest number of each row, [rows, 2], of [rows, columns]; NaN for both where a row holds one.

        Rows must not be empty.
        """
        ...

    def tap_moments(
        self, rows: NDArray[np.float32], places: NDArray[np.int32], sums: NDArray[np.float64], products: NDArray[np.float64]
    ) -> None:
        """Adds up what the taps of a depthwise kernel see at some positions, and the products of every two taps.

        In binary64, where products of binary32 numbers are exact, one position after the other.

        Args:
            rows: [channels, size].
            places: [taps, positions], where a tap meets which element of a channel; negative where it meets the padding, which is 0.
            sums, products: [channels, taps] and [channels, taps, taps], C-contiguous, which are added to.
        """
        ...
