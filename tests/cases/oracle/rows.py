"""Taking an array apart along axes: the elements that are reduced together, in the order of memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.cases.oracle.node import Array, positions


def along(array: Array, axes: Sequence[int], function: Callable[[list[Any]], list[Any]]) -> Array:
    """``function`` of every group of elements that differ in ``axes`` only; it gives as many elements back."""
    result: list[Any] = [None] * array.size
    for group in groups(array, axes):
        for index, value in zip(group, function([array.values[i] for i in group]), strict=True):
            result[index] = value
    return Array(array.shape, result)


def groups(array: Array, axes: Sequence[int]) -> list[list[int]]:
    """Flat indices of the elements that belong together, group by group; both orders are those of memory."""
    found: dict[tuple[int, ...], list[int]] = {}
    for at in positions(array.shape):
        key = tuple(place for axis, place in enumerate(at) if axis not in axes)
        found.setdefault(key, []).append(array.flat_index(at))
    return list(found.values())
