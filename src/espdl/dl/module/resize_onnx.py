"""Where ONNX's Resize reads its input: all coordinate transformations and nearest modes, which the chip does not know."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.steps import Taps
from espdl.errors import EspdlError

TRANSFORMS = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "asymmetric", "align_corners")


def positions(length: int, target: int, scale: np.float32, transform: str) -> NDArray[np.float32]:
    """Positions in an axis of ``length`` that the ``target`` entries of the output show, in pixels. Computed in binary32.

    Args:
        scale: target pixels per source pixel.
        transform: attribute ``coordinate_transformation_mode``. Raises :class:`EspdlError` for one that is not in ``TRANSFORMS``.
    """
    at = np.arange(target, dtype=np.float32)
    half = np.float32(0.5)
    if transform == "align_corners":
        return at * np.float32(length - 1) / np.float32(target - 1) if target > 1 else np.zeros(1, np.float32)
    if transform == "asymmetric":
        return at / scale
    if transform == "pytorch_half_pixel" and target == 1:
        return np.zeros(1, np.float32)
    if transform in ("half_pixel", "pytorch_half_pixel"):
        return (at + half) / scale - half
    if transform == "half_pixel_symmetric":
        offset = np.float32(length) / 2 * (1 - np.float32(target) / (scale * np.float32(length)))
        return np.asarray(offset + (at + half) / scale - half, dtype=np.float32)
    raise EspdlError(f"coordinate_transformation_mode {transform!r}", hint="one of " + ", ".join(TRANSFORMS))


def nearest(at: NDArray[np.float32], length: int, mode: str) -> NDArray[np.intp]:
    """The pixels nearest to positions. Raises :class:`EspdlError` for an unknown ``nearest_mode``."""
    rules: dict[str, Any] = {
        "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
        "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    if mode not in rules:
        raise EspdlError(f"nearest_mode {mode!r}", hint="one of " + ", ".join(rules))
    return np.clip(rules[mode](at), 0, length - 1).astype(np.intp)


def linear(at: NDArray[np.float32], length: int) -> Taps:
    """The two pixels beside positions, and the share of the second."""
    inside = np.clip(at, 0, length - 1)
    low = np.minimum(np.floor(inside).astype(np.intp), max(length - 2, 0))
    return Taps(low, np.minimum(low + 1, length - 1), (inside - low).astype(np.float32))
