"""Orders of equal scores against what ``std::sort`` of libstdc++ (gcc 12) gave for the same numbers."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.vision.sorting import best_first


def drawn(count: int, values: int, seed: int) -> list[int]:
    """Numbers of a linear congruential generator, so that a C++ program can make them too."""
    found = []
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) % 2**31
        found.append((seed >> 16) % values)
    return found


def killer(count: int) -> list[int]:
    """Numbers on which medians of three are of no use, so that a heap is needed; every one three times."""
    half = count // 2
    found = [0] * count
    for i in range(half):
        found[i] = -(i + 1 if i % 2 == 0 else half + i + half % 2)
        found[half + i] = -(i + 1) * 2
    return [value // 3 for value in found]


def test_a_short_one_as_cpp_orders_it() -> None:
    wanted = [23, 22, 3, 4, 5, 7, 17, 11, 15, 1, 21, 20, 19, 9, 6, 0, 14, 16, 10, 18, 2, 13, 12, 8]
    assert best_first(np.array(drawn(24, 4, 1), np.float32), 24) == wanted


@pytest.mark.parametrize(
    ("scores", "checksum"),
    [
        (drawn(16, 3, 2), 2408464223),
        (drawn(17, 3, 3), 302160309),
        (drawn(1000, 9, 4), 2878079477),
        (drawn(1000, 200, 5), 2929403840),
        (drawn(6906, 30, 6), 2375551903),
        (killer(1000), 3501176667),
        ([0] * 1000, 1139215786),
    ],
)
def test_long_ones_as_cpp_orders_them(scores: list[int], checksum: int) -> None:
    order = best_first(np.array(scores, np.float32), len(scores))
    assert zlib.crc32(" ".join(map(str, order)).encode()) == checksum


@given(st.lists(st.integers(-3, 3), max_size=60), st.integers(1, 70))
def test_it_sorts(scores: list[int], count: int) -> None:
    order = best_first(np.array(scores, np.float32), count)
    assert len(set(order)) == len(order) == min(count, len(scores))
    assert [scores[place] for place in order] == sorted(scores, reverse=True)[:count]
