"""The guide's tables of errors: one bar per layer, the worst first."""

from __future__ import annotations

from collections.abc import Mapping

WIDTH = 100
_BAR = 20
_HEADINGS = {"snr": "NOISE:SIGNAL POWER RATIO", "mse": "MSE LOSS", "cosine": "COSINE SIMILARITY"}


def ranked(errors: Mapping[str, float], method: str = "snr") -> list[tuple[str, float]]:
    """Layers and their errors, the worst first."""
    return sorted(errors.items(), key=lambda item: item[1], reverse=method.lower() != "cosine")


def bar_table(errors: Mapping[str, float], method: str = "snr", limit: int | None = None) -> str:
    """The table as text of at most 100 columns.

    The bar of the largest error is full, that of the smallest is empty. Of names that are too long the end is shown.

    Args:
        errors: by layer.
        method: what they are measured in; see :mod:`espdl.quantize.analysis.noise`.
        limit: number of layers to show; all when None.
    """
    method = method.lower()
    rows = ranked(errors, method)[:limit]
    figures = [f"{value:.3%}" if method == "snr" else f"{value:.6g}" for _, value in rows]
    room = WIDTH - _BAR - len(" |  | ") - max((len(figure) for figure in figures), default=0)
    names = [_shortened(name + ":", room) for name, _ in rows]
    width = max(map(len, (*names, "Layer")))
    smallest, largest = min(errors.values(), default=0.0), max(errors.values(), default=0.0)
    lines = [f"{'Layer':{width}} | {_HEADINGS[method]}"]
    for name, figure, (_, value) in zip(names, figures, rows, strict=True):
        filled = round(_BAR * (value - smallest) / (largest - smallest)) if largest > smallest else 0
        lines.append(f"{name:{width}} | {'█' * filled:{_BAR}} | {figure}")
    if len(rows) < len(errors):
        lines.append(f"... and {len(errors) - len(rows)} more")
    return "\n".join(lines)


def _shortened(name: str, room: int) -> str:
    return name if len(name) <= room else "…" + name[len(name) - room + 1 :]
