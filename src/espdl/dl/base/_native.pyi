from collections.abc import Sequence

from numpy.typing import NDArray

ISA: str
COUNTS_ALLOCATIONS: bool
"""Whether :func:`allocations` counts every allocation of the extension, not only growing scratch memory."""

class Step:
    def __call__(self) -> None: ...
    def alone(self) -> None: ...

class Chain(Step):
    def __init__(self, steps: list[Step]) -> None: ...

def set_threads(count: int) -> None: ...
def threads() -> int: ...
def allocations() -> int:
    """How many times the extension took heap memory so far."""

def isas() -> list[str]: ...
def set_isa(name: str) -> None: ...

class Requantizer:
    def __init__(
        self, bias: Sequence[int], shift: Sequence[int], channels: int, half_even: bool, relu: bool, bound: float
    ) -> None: ...
    def __call__(self, sums: NDArray, out: NDArray) -> None: ...

class Mac:
    def __init__(
        self,
        weights: NDArray,
        depthwise: bool,
        bias: Sequence[int],
        shift: Sequence[int],
        half_even: bool,
        relu: bool,
        narrow_inputs: bool,
        narrow_outputs: bool,
        low: Sequence[int],
        high: Sequence[int],
        lanes: Sequence[tuple[int, int, int, bool]],
    ) -> None: ...

class MacStep(Step):
    def __init__(
        self,
        mac: Mac,
        x: NDArray,
        out: NDArray,
        window: tuple[int, int, int, int, int, int],
        image: tuple[int, int],
        result: tuple[int, int],
        table: NDArray | None = None,
    ) -> None: ...
    def overflows(self) -> list[int]: ...

class ProductStep(Step):
    def __init__(
        self,
        a: NDArray,
        b: NDArray,
        out: NDArray,
        size: tuple[int, int, int],
        pairs: Sequence[tuple[int, int]],
        order: Sequence[tuple[int, int]],
        shift: Sequence[int],
        half_even: bool,
        relu: bool,
        lanes: Sequence[tuple[int, int, int, int, int, bool]],
    ) -> None: ...
    def overflows(self) -> list[int]: ...

def lookup(table: NDArray, x: NDArray, out: NDArray, step_bits: int, half_even: bool) -> None: ...

_Four = tuple[int, int, int, int]
_Axis = tuple[int, int, int, int, int]

def lookup_step(table: NDArray, x: NDArray, out: NDArray, step_bits: int, half_even: bool) -> Step: ...
def sum_step(
    a: NDArray, b: NDArray, out: NDArray, extent: _Four, step_a: _Four, step_b: _Four, subtract: bool, table: NDArray | None
) -> Step: ...
def product_step(
    a: NDArray,
    b: NDArray,
    out: NDArray,
    extent: _Four,
    step_a: _Four,
    step_b: _Four,
    shift: int,
    half_even: bool,
    in_float: bool,
    table: NDArray | None,
) -> Step: ...
def quotient_step(
    a: NDArray,
    b: NDArray,
    out: NDArray,
    extent: _Four,
    step_a: _Four,
    step_b: _Four,
    shift: int,
    half_even: bool,
    by_reciprocal: bool,
) -> Step: ...
def compare_step(a: NDArray, b: NDArray, out: NDArray, extent: _Four, step_a: _Four, step_b: _Four, relation: str) -> Step: ...
def requantize_step(x: NDArray, out: NDArray, shift: int, half_even: bool) -> Step: ...
def prelu_step(
    x: NDArray,
    slope: NDArray,
    out: NDArray,
    extent: _Four,
    step_a: _Four,
    step_b: _Four,
    positive: int,
    negative: int,
    half_even: bool,
) -> Step: ...
def move_step(moves: Sequence[tuple[NDArray, NDArray]], fill: tuple[NDArray, NDArray] | None, in_order: bool) -> Step: ...
def gather_step(x: NDArray, out: NDArray, index: Sequence[Sequence[int]]) -> Step: ...
def max_pool_step(x: NDArray, out: NDArray, rows: _Axis, across: _Axis, channels: int) -> Step: ...
def average_pool_step(
    x: NDArray, out: NDArray, rows: _Axis, across: _Axis, channels: int, share: float, shift: int, half_even: bool
) -> Step: ...
def mean_step(
    x: NDArray, out: NDArray, extent: tuple[int, int, int], input_exponent: int, output_exponent: int, half_even: bool
) -> Step: ...
def resize_step(
    x: NDArray,
    out: NDArray,
    height: int,
    width: int,
    channels: int,
    row_low: Sequence[int],
    row_high: Sequence[int],
    row_ratio: Sequence[float],
    row_rest: Sequence[float],
    low: Sequence[int],
    high: Sequence[int],
    ratio: Sequence[float],
    rest: Sequence[float],
    shift: int,
    half_even: bool,
) -> Step: ...
def quantize_step(x: NDArray, out: NDArray, exponent: int, half_even: bool) -> Step: ...
def dequantize_step(x: NDArray, out: NDArray, exponent: int) -> Step: ...
def softmax_step(table: NDArray, x: NDArray, out: NDArray, columns: int) -> Step: ...
def dots(rounds: int) -> float: ...
def row_ends(x: NDArray, ends: NDArray) -> None: ...
def tap_moments(x: NDArray, places: NDArray, sums: NDArray, products: NDArray) -> None: ...
