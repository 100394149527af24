"""Histograms as small drawings: what of the grid a tensor uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, sqrt

from espdl.report.markup import escape
from espdl.report.page.histograms import BINS, Histogram
from espdl.report.tensors import TensorRow

HEIGHT = 40
FIRST = 12
"""Drawings that are shown before somebody asks for all."""


@dataclass(frozen=True)
class Drawn:
    """One tensor with a histogram.

    Attributes:
        number: of the tensor on the page. node: that makes or reads it, None for an input.
        low, high: range of the float network's values, where that was measured. beyond: share of these outside the grid.
    """

    number: int
    row: TensorRow
    histogram: Histogram
    node: int | None
    low: float | None = None
    high: float | None = None
    beyond: float | None = None


def figures(drawn: list[Drawn]) -> Iterator[str]:
    """Every drawing; those that leave most of the grid unused come first."""
    ordered = sorted(range(len(drawn)), key=lambda index: -_unused(drawn[index].histogram))
    ranks = {index: rank for rank, index in enumerate(ordered)}
    for index in ordered:
        yield _figure(drawn[index], ranks[index], index)


def _unused(found: Histogram) -> float:
    return -inf if found.low == found.high == 0 else found.unused_bits


def _figure(drawn: Drawn, rank: int, step: int) -> str:
    found, row = drawn.histogram, drawn.row
    kind = "weights" if row.kind == "parameter" else "activations"
    hook = f' data-node="{drawn.node}"' if drawn.node is not None else ""
    later = " later" if rank >= FIRST else ""
    return (
        f'<figure class="hist{later}" id="hist-{drawn.number}" data-kind="{kind}" data-rank="{rank}" data-step="{step}"'
        f' data-ends="{found.at_ends:.6f}"{hook}>'
        f"<figcaption><bdi>{escape(row.name)}</bdi></figcaption>{_drawing(drawn)}"
        f'<p class="ends"><span>{escape(_edge(row, found, False))}</span><span>{escape(_edge(row, found, True))}</span></p>'
        f"<p>{escape(words(drawn))}</p></figure>"
    )


def _edge(row: TensorRow, found: Histogram, upper: bool) -> str:
    integer = (1 << (found.bits - 1)) - 1 if upper else -(1 << (found.bits - 1))
    if len(set(row.exponents)) != 1:
        return str(integer)
    return f"{integer * 2.0 ** row.exponents[0]:.4g}"


def words(drawn: Drawn) -> str:
    """What the drawing shows."""
    found = drawn.histogram
    if found.low == found.high == 0:
        return "only zeros"
    used = found.bits - max(found.unused_bits, 0.0)
    parts = [f"{found.low} to {found.high}: {used:.1f} of {found.bits} bits"]
    if found.at_ends:
        parts.append(f"{found.at_ends:.2%} at the ends" if found.at_ends >= 5e-5 else "hardly any at the ends")
    if found.zeros >= 0.5:
        parts.append(f"{found.zeros:.0%} zeros")
    if drawn.low is not None and drawn.high is not None:
        parts.append(f"float network {drawn.low:.3g} to {drawn.high:.3g}")
    if drawn.beyond:
        parts.append(f"{drawn.beyond:.2%} of it beyond the grid")
    return ", ".join(parts)


def _drawing(drawn: Drawn) -> str:
    found = drawn.histogram
    largest = sqrt(float(found.counts.max())) or 1.0
    heights = [round(HEIGHT * sqrt(float(count)) / largest) or (1 if count else 0) for count in found.counts]
    path, at, run = [f"M0 {HEIGHT}"], 0, 0
    for height in heights:
        if height != at:
            path.append((f"h{run}" if run else "") + f"v{at - height}")
            at, run = height, 0
        run += 1
    path.append(f"h{run}V{HEIGHT}z")
    half = 1 << (found.bits - 1)
    scale = BINS / (2 * half)
    low, high = (found.low + half) * scale, (found.high + 1 + half) * scale
    unused = "".join(
        f'<rect class="empty" x="{x:.1f}" width="{width:.1f}" height="{HEIGHT}"/>'
        for x, width in ((0.0, low), (high, BINS - high))
        if width > 0.5
    )
    return (
        f'<svg viewBox="0 0 {BINS} {HEIGHT + 1}" preserveAspectRatio="none" role="img" aria-label="histogram">{unused}'
        f'<path class="zero" d="M{BINS // 2} 0V{HEIGHT}"/><path class="counts" d="{"".join(path)}"/>{_ends(heights)}</svg>'
    )


def _ends(heights: list[int]) -> str:
    """The first and the last bin in a colour of their own: what lies there may have been cut off."""
    marks = ((0, heights[0]), (BINS - 1, heights[-1]))
    return "".join(f'<rect class="end" x="{x}" y="{HEIGHT - h}" width="1" height="{h}"/>' for x, h in marks if h)
