"""Several at a time, on threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def together(work: Callable[[S], T], items: Iterable[S], threads: int) -> Iterator[T]:
    """``work`` on every item; results in order.

    Memory does not grow with the number of items: no more are read than are worked on.
    """
    waiting_items = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(work, item) for item in islice(waiting_items, threads))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(waiting_items, 1))
