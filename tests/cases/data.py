"""Numbers for the cases, from a generator of our own, so that no library's new version changes them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.cases.oracle.rounding import RANGES, fl32

_MASK = 2**64 - 1


def stream(name: str) -> Iterator[int]:
    """64-bit numbers that depend on the name only (splitmix64)."""
    state = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        yield z ^ (z >> 31)


def make_values(kind: str, name: str, count: int, dtype: str, spec: dict[str, Any]) -> list[Any]:
    """``count`` numbers of a type.

    Args:
        kind: ``random`` (whole range, every eighth an extreme), ``extreme`` (lowest, highest, their neighbours, -1, 0, 1),
            ``small`` (-8 to 7), ``nonzero``, ``positive`` (above 0), ``ramp`` (counting up from the lowest, wrapping), ``lowest``,
            ``highest``, ``zero``; ``ties`` (odd multiples of half of ``2**spec["shift"]``).
            ``spec["range"]``, inclusive, replaces the range of all random kinds.
    """
    if dtype == "float32":
        return _floats(kind, stream(name), count, spec)
    low, high = (0, 1) if dtype == "bool" else spec.get("range", RANGES[dtype])
    return _integers(kind, stream(name), count, low, high, spec)


def _integers(kind: str, numbers: Iterator[int], count: int, low: int, high: int, spec: dict[str, Any]) -> list[int]:
    def anywhere() -> int:
        return low + next(numbers) % (high - low + 1)

    def extreme() -> int:
        edges = [value for value in (low, low + 1, -1, 0, 1, high - 1, high) if low <= value <= high]
        return edges[next(numbers) % len(edges)]

    def retried(good: Callable[[int], bool]) -> int:
        while not good(value := anywhere()):
            pass
        return value

    def tie() -> int:
        half = 2 ** (spec["shift"] - 1)
        count_of_ties = (high - half) // (2 * half) - -((low - half) // -(2 * half)) + 1
        first = -((low - half) // -(2 * half))
        return (2 * (first + next(numbers) % count_of_ties) + 1) * half

    kinds: dict[str, Callable[[], int]] = {
        "random": lambda: extreme() if "range" not in spec and next(numbers) % 8 == 0 else anywhere(),
        "extreme": extreme,
        "small": lambda: next(numbers) % 16 - 8,
        "nonzero": lambda: retried(lambda value: value != 0),
        "positive": lambda: retried(lambda value: value > 0),
        "ties": tie,
        "lowest": lambda: low,
        "highest": lambda: high,
        "zero": lambda: 0,
    }
    if kind == "ramp":
        return [low + i % (high - low + 1) for i in range(count)]
    return [kinds[kind]() for _ in range(count)]


_FLOAT_EXTREMES = tuple(fl32(value) for value in (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-6, -1e-6, 1e6, -1e6, 1 / 3))


def _floats(kind: str, numbers: Iterator[int], count: int, spec: dict[str, Any]) -> list[float]:
    low, high = spec.get("range", (-4.0, 4.0))

    def anywhere() -> float:
        return fl32(low + (high - low) * (next(numbers) >> 40) * 2.0**-24)

    kinds: dict[str, Callable[[], float]] = {
        "random": anywhere,
        "extreme": lambda: _FLOAT_EXTREMES[next(numbers) % len(_FLOAT_EXTREMES)],
        "small": lambda: (next(numbers) % 16 - 8) * 0.25,
        "nonzero": lambda: anywhere() or 1.0,
        "positive": lambda: abs(anywhere()) or 1.0,
        "zero": lambda: 0.0,
        "ties": lambda: math.ldexp(next(numbers) % 512 - 256 + 0.5, spec["shift"]),
    }
    return [kinds[kind]() for _ in range(count)]


def cycled(values: Sequence[Any], count: int) -> list[Any]:
    """The values again and again."""
    return [values[i % len(values)] for i in range(count)]
