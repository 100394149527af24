"""Lists of layers with bars: latency with its interval, and noise."""

from __future__ import annotations

import math
from collections.abc import Mapping

from espdl.estimate.latency import Latency, Layer
from espdl.quantize.analysis.analyse import Analysis, decibels
from espdl.report.markup import escape

FIRST = 20
"""Rows that are shown before somebody asks for all."""

QUIETEST = 1e-6
"""Noise to signal that has no bar any more; the scale is logarithmic from there to 1."""

_CAUSES = 7
"""Causes with a colour of their own; the rest is put together."""


def latency_bars(latency: Latency, node_of: Mapping[str, int]) -> str:
    """Causes as one bar, then a row for every layer, the slowest first."""
    longest = max((layer.time.high for layer in latency.layers), default=0.0) or 1.0
    ordered = sorted(enumerate(latency.layers), key=lambda item: -item[1].time.us)
    rows = "".join(_latency_row(layer, step, rank, longest, node_of) for rank, (step, layer) in enumerate(ordered))
    return (
        _causes(latency) + _tools("latency", len(ordered), "slowest first") + f'<div class="rows" id="latency-rows">{rows}</div>'
    )


def _latency_row(layer: Layer, step: int, rank: int, longest: float, node_of: Mapping[str, int]) -> str:
    time = layer.time
    low, middle, high = (100 * value / longest for value in (time.low, time.us, time.high))
    bar = (
        f'<span class="track"><i class="bar" style="width:{middle:.2f}%"></i>'
        f'<i class="span" style="left:{low:.2f}%;width:{max(high - low, 0):.2f}%"></i></span>'
    )
    text = f"{_ms(time.us)} <small>{_ms(time.low)} … {_ms(time.high)} ms</small>" if time.us else "0"
    note = f"{layer.share:.1%}, {escape(layer.bound)}" + (", two cores" if layer.two_cores else "")
    return _row(node_of.get(layer.name), step, rank, layer.op_type, layer.name, bar, text, note)


def _row(node: int | None, step: int, rank: int, op_type: str, name: str, bars: str, figure: str, note: str) -> str:
    hook = f' data-node="{node}"' if node is not None else ""
    later = " later" if rank >= FIRST else ""
    return (
        f'<button type="button" class="row{later}"{hook} data-step="{step}" data-rank="{rank}">'
        f'<span class="who"><b>{escape(op_type)}</b> <bdi>{escape(name)}</bdi></span>{bars}'
        f'<span class="figure">{figure}</span><span class="note">{note}</span></button>'
    )


def _tools(name: str, rows: int, order: str) -> str:
    more = f'<button type="button" data-all="{name}" aria-pressed="false">all {rows}</button>' if rows > FIRST else ""
    return (
        f'<div class="tools"><button type="button" data-order="{name}" data-by="rank" aria-pressed="true">{escape(order)}</button>'
        f'<button type="button" data-order="{name}" data-by="step" aria-pressed="false">running order</button>{more}</div>'
    )


def _ms(us: float) -> str:
    ms = us / 1000
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}" if ms >= 0.1 else f"{ms:.3f}"


def _causes(latency: Latency) -> str:
    total = sum(latency.by_cause().values()) or 1.0
    shares = [(cause, us / total) for cause, us in latency.by_cause().items()]
    if len(shares) > _CAUSES:
        shares[_CAUSES:] = [("other", sum(share for _, share in shares[_CAUSES:]))]
    bars = "".join(f'<i class="c{index}" style="width:{share:.2%}"></i>' for index, (_, share) in enumerate(shares))
    keys = "".join(f'<li><i class="c{index}"></i>{escape(cause)} {share:.1%}</li>' for index, (cause, share) in enumerate(shares))
    return f'<div class="causes" aria-hidden="true">{bars}</div><ul class="keys">{keys}</ul>'


def error_bars(errors: Analysis, op_types: Mapping[str, str], node_of: Mapping[str, int]) -> str:
    """A row for every layer: noise in its result, and what it alone does to the outputs; the noisiest in the latter sense first."""
    names = list(errors.graphwise | errors.layerwise)
    ordered = sorted(enumerate(names), key=lambda item: -errors.layerwise.get(item[1], 0.0))
    rows = "".join(
        _row(node_of.get(name), step, rank, op_types.get(name, ""), name, *_noise(errors, name))
        for rank, (step, name) in enumerate(ordered)
    )
    outputs = "".join(f"<li><bdi>{escape(name)}</bdi>: {_level(ratio)}</li>" for name, ratio in errors.outputs.items())
    legend = '<p class="key"><i class="bar noise"></i> in its result, with all layers before'
    legend += '<i class="bar alone"></i> in the outputs, when it alone is quantized</p>'
    return (
        f'<p>Noise in the outputs, on {escape(errors.samples)}:</p><ul class="plain">{outputs}</ul>{legend}'
        + _tools("errors", len(ordered), "worst alone first")
        + f'<div class="rows" id="errors-rows">{rows}</div>'
    )


def _noise(errors: Analysis, name: str) -> tuple[str, str, str]:
    bars, texts = [], []
    for style, ratios in (("noise", errors.graphwise), ("alone", errors.layerwise)):
        ratio = ratios.get(name)
        bars.append(f'<i class="bar {style}" style="width:{0 if ratio is None else _length(ratio):.1f}%"></i>')
        texts.append("" if ratio is None else _level(ratio))
    return f'<span class="track two">{"".join(bars)}</span>', texts[0], f"alone: {texts[1]}"


def _length(ratio: float) -> float:
    if ratio <= QUIETEST or not math.isfinite(ratio):
        return 0.0 if ratio <= QUIETEST else 100.0
    return min(100 * (1 - math.log(ratio) / math.log(QUIETEST)), 100.0)


def _level(ratio: float) -> str:
    """``0.52 % (22.8 dB)``."""
    return f"{100 * ratio:.2g} % <small>{decibels(ratio):.1f} dB</small>" if ratio else "none"


def level_words(values: Mapping[str, float], name: str) -> str | None:
    """The noise of one layer without markup."""
    ratio = values.get(name)
    return None if ratio is None else f"{100 * ratio:.2g} % of the signal's power, {decibels(ratio):.1f} dB" if ratio else "none"
