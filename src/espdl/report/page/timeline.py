"""The memory timeline: every variable as a rectangle, from the step that makes it to the one before which its memory is given away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from espdl.dl.plan import MemoryPlan, PlannedTensor
from espdl.estimate.memory import size_text
from espdl.report.markup import escape

WIDTH, HEIGHT = 1000.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 10.0, 14.0, 26.0
TICKS = 4


@dataclass(frozen=True)
class Timeline:
    """What the drawing needs beside the plan.

    Attributes:
        steps: number of nodes. live: bytes in use, by step.
        kinds: of the node that makes a variable, by its name. numbers: of tensors on the page, by name.
    """

    plan: MemoryPlan
    steps: int
    live: Sequence[int]
    kinds: Mapping[str, str]
    numbers: Mapping[str, int]


def timelines(data: Timeline) -> str:
    """One drawing for each arena that holds something."""
    drawings = []
    for internal, words in ((True, "internal RAM"), (False, "PSRAM")):
        tensors = [tensor for tensor in data.plan.tensors.values() if tensor.internal == internal]
        if tensors:
            size = max(data.plan.internal_size if internal else data.plan.psram_size, 1)
            only = len({tensor.internal for tensor in data.plan.tensors.values()}) == 1
            drawings.append(
                f"<figure><figcaption>{escape(words)}: an arena of {escape(size_text(size))}</figcaption>"
                f'<div class="wide">{_drawing(data, tensors, size, words, live=only)}</div></figure>'
            )
    return "".join(drawings) or '<p class="none">The model has no variables in memory.</p>'


def _drawing(data: Timeline, tensors: Sequence[PlannedTensor], size: int, words: str, *, live: bool) -> str:
    body = [*_axes(data.steps, size), *_rectangles(data, tensors, size, words)]
    if live:
        body.append(_live(data, size))
    label = f"which variable lies where in {words}, step by step"
    return (
        f'<svg class="time" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(label)}">{"".join(body)}</svg>'
    )


def _x(step: float, steps: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * step / max(steps, 1)


def _y(offset: float, size: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * offset / size


def _axes(steps: int, size: int) -> Iterator[str]:
    for tick in range(TICKS + 1):
        y = _y(size * tick / TICKS, size)
        yield f'<path class="grid" d="M{LEFT:.0f} {y:.1f}H{WIDTH - RIGHT:.0f}"/>'
        yield f'<text class="tick" x="{LEFT - 6:.0f}" y="{y + 4:.1f}" text-anchor="end">{_tick(size * tick // TICKS)}</text>'
    every = max(1, round(steps / 10))
    every = next((nice for nice in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500) if nice >= every), every)
    for step in range(0, steps, every):
        x = (_x(step, steps) + _x(step + 1, steps)) / 2
        yield f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 9:.0f}" text-anchor="middle">{step}</text>'
    yield f'<text class="tick" x="{LEFT - 6:.0f}" y="{HEIGHT - 9:.0f}" text-anchor="end">step</text>'


def _tick(size: int) -> str:
    return "0" if not size else escape(size_text(size).replace(".0 ", " "))


def _rectangles(data: Timeline, tensors: Sequence[PlannedTensor], size: int, words: str) -> Iterator[str]:
    """In the order in which they are made: what overwrites another in place lies on it."""
    for tensor in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.leader is not None)):
        end = data.steps if tensor.end < 0 else min(tensor.end, data.steps)
        left, right = _x(tensor.begin, data.steps), _x(max(end, tensor.begin + 1), data.steps)
        top, bottom = _y(tensor.offset + tensor.size, size), _y(tensor.offset, size)
        kind = data.kinds.get(tensor.name, "port")
        title = f"{tensor.name}: {size_text(tensor.size)}, steps {tensor.begin} to {max(end, tensor.begin + 1) - 1}, {words}"
        number = data.numbers.get(tensor.name, -1)
        yield (
            f'<rect class="b k-{kind}" data-tensor="{number}" tabindex="0" x="{left:.1f}" y="{top:.1f}" '
            f'width="{max(right - left, 0.8):.1f}" height="{max(bottom - top, 0.8):.1f}"><title>{escape(title)}</title></rect>'
        )


def _live(data: Timeline, size: int) -> str:
    """The bytes in use as a line of steps."""
    points: list[str] = []
    for step, live in enumerate(data.live):
        y = _y(min(live, size), size)
        points.append(f"{'V' if points else f'M{LEFT:.1f} '}{y:.1f}H{_x(step + 1, data.steps):.1f}")
    return f'<path class="live" d="{"".join(points)}"/>'
