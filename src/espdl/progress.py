"""Telling on standard error what is being done, when it takes longer than a second and somebody sits there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Timer
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
PATIENCE_S = 1.0

_shown: ContextVar[Progress | None] = ContextVar("shown", default=None)
"""The display that is open: what goes on inside adds its line to it, so that there is never more than one."""


@contextmanager
def stage(text: str) -> Iterator[Callable[[str], None]]:
    """Shows ``text`` with a moving bar and the time while the body runs; yields a function that changes the text."""
    with _display() as display:
        if display is None:
            yield lambda _: None
            return
        task = display.add_task(text, total=None)
        try:
            yield lambda changed: display.update(task, description=changed)
        finally:
            display.remove_task(task)


def track(items: Iterable[T], text: str, total: int | None = None) -> Iterator[T]:
    """Yields ``items`` and shows how many of ``total`` are done."""
    with _display() as display:
        if display is None:
            yield from items
            return
        task = display.add_task(text, total=total)
        try:
            for item in items:
                yield item
                display.advance(task)
        finally:
            display.remove_task(task)


@contextmanager
def _display() -> Iterator[Progress | None]:
    """The open display, or a new one that appears after ``PATIENCE_S``; None when standard error is not a terminal."""
    if (opened := _shown.get()) is not None:
        yield opened
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    display = Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty())
    timer = Timer(PATIENCE_S, display.start)
    timer.daemon = True
    _shown.set(display)
    timer.start()
    try:
        yield display
    finally:
        timer.cancel()
        timer.join()
        display.stop()
        _shown.set(None)
