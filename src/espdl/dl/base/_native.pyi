from collections.abc import Sequence

from numpy.typing import NDArray

ISA: str

class Requantizer:
    def __init__(
        self, bias: Sequence[int], shift: Sequence[int], channels: int, half_even: bool, relu: bool, bound: float
    ) -> None: ...
    def __call__(self, sums: NDArray, out: NDArray) -> None: ...

def lookup(table: NDArray, x: NDArray, out: NDArray, step_bits: int, half_even: bool) -> None: ...
