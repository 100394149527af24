"""The order in which a chip leaves equal scores: that of ``std::sort``, which is not stable (runtime spec 7.7).

The chips' standard library is libstdc++. It quicksorts ranges of more than 16 elements around the median of three, heap sorts those that
do not get smaller soon enough, and finishes with one insertion sort. Which of two equal elements ends up first follows from that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SMALL = 16
"""Ranges of no more elements are left to the insertion sort."""


def best_first(scores: NDArray[np.floating], count: int) -> list[int]:
    """Positions of the ``count`` highest scores in the order that a chip's ``std::sort`` gives them.

    Args:
        scores: flat, none of them NaN.
        count: how many are wanted.
    """
    order = np.argsort(-scores, kind="stable")[: count + 1]
    if np.unique(scores[order]).size == order.size:
        return [int(index) for index in order[:count]]
    return _Sort(scores.tolist()).order()[:count]


class _Sort:
    """Sorts positions by score, highest first, swapping the same ones as libstdc++ does."""

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores = scores
        self._at = list(range(len(scores)))

    def order(self) -> list[int]:
        count = len(self._at)
        if count > 1:
            self._quicksort(0, count, 2 * (count.bit_length() - 1))
            self._insertion_sort(0, min(SMALL, count))
            for place in range(SMALL, count):
                self._sink(place)
        return self._at

    def _before(self, one: int, other: int) -> bool:
        return self._scores[one] > self._scores[other]

    def _swap(self, one: int, other: int) -> None:
        self._at[one], self._at[other] = self._at[other], self._at[one]

    def _quicksort(self, first: int, last: int, depth: int) -> None:
        while last - first > SMALL:
            if depth == 0:
                self._heap_sort(first, last)
                return
            depth -= 1
            self._median_first(first, first + 1, first + (last - first) // 2, last - 1)
            cut = self._partition(first + 1, last, self._at[first])
            self._quicksort(cut, last, depth)
            last = cut

    def _median_first(self, place: int, a: int, b: int, c: int) -> None:
        """Swaps the median of the elements at a, b and c to ``place``."""
        low, middle, high = self._at[a], self._at[b], self._at[c]
        if self._before(low, middle):
            median = b if self._before(middle, high) else c if self._before(low, high) else a
        else:
            median = a if self._before(low, high) else c if self._before(middle, high) else b
        self._swap(place, median)

    def _partition(self, left: int, right: int, pivot: int) -> int:
        at = self._at
        while True:
            while self._before(at[left], pivot):
                left += 1
            right -= 1
            while self._before(pivot, at[right]):
                right -= 1
            if left >= right:
                return left
            self._swap(left, right)
            left += 1

    def _insertion_sort(self, first: int, last: int) -> None:
        at = self._at
        for place in range(first + 1, last):
            if self._before(at[place], at[first]):
                at.insert(first, at.pop(place))
            else:
                self._sink(place)

    def _sink(self, place: int) -> None:
        """Moves the element at ``place`` to the front of all that it comes before."""
        at, moving = self._at, self._at[place]
        while self._before(moving, at[place - 1]):
            at[place] = at[place - 1]
            place -= 1
        at[place] = moving

    def _heap_sort(self, first: int, last: int) -> None:
        size = last - first
        for hole in range((size - 2) // 2, -1, -1):
            self._settle(first, hole, size, self._at[first + hole])
        for end in range(size - 1, 0, -1):
            moving = self._at[first + end]
            self._at[first + end] = self._at[first]
            self._settle(first, 0, end, moving)

    def _settle(self, first: int, hole: int, size: int, moving: int) -> None:
        """Moves the hole of a heap to a leaf along the later children, then ``moving`` up from there to its place."""
        at, top = self._at, hole
        child = hole
        while child < (size - 1) // 2:
            child = 2 * (child + 1)
            if self._before(at[first + child], at[first + child - 1]):
                child -= 1
            at[first + hole] = at[first + child]
            hole = child
        if size % 2 == 0 and child == (size - 2) // 2:
            child = 2 * child + 1
            at[first + hole] = at[first + child]
            hole = child
        parent = (hole - 1) // 2
        while hole > top and self._before(at[first + parent], moving):
            at[first + hole] = at[first + parent]
            hole, parent = parent, (parent - 1) // 2
        at[first + hole] = moving
