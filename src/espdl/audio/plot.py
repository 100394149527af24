"""A picture of features over time, for people."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from espdl.errors import EspdlError

_COLOURS = np.array([(13, 8, 66), (84, 15, 109), (160, 42, 99), (229, 92, 48), (250, 175, 25), (252, 255, 190)], np.float64)
_INK, _FAINT = "#1c2430", "#768091"
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 44, 96, 44
_WIDTH, _HEIGHT, _MAX_COLUMNS = 900, 320, 4000


def features_picture(features: NDArray[np.float32], seconds_per_frame: float, title: str) -> bytes:
    """A PNG: time to the right, dimensions upwards, values as colours with their scale beside.

    Args:
        features: [frames, dim], finite.
    """
    if features.ndim != 2 or not features.size:
        raise EspdlError("there are no features to draw", why=f"the array has shape {list(features.shape)}")
    frames, dimensions = features.shape
    low, high = float(features.min()), float(features.max())
    values = (features - low) / ((high - low) or 1.0)
    shown = np.flipud(values[:: -(-frames // _MAX_COLUMNS)].T)
    positions = shown * (len(_COLOURS) - 1)
    lower = np.minimum(positions.astype(int), len(_COLOURS) - 2)
    part = (positions - lower)[..., np.newaxis]
    colours = (_COLOURS[lower] * (1 - part) + _COLOURS[lower + 1] * part).round().astype(np.uint8)
    height = max(_HEIGHT, dimensions)
    picture = Image.new("RGB", (_LEFT + _WIDTH + _RIGHT, _TOP + height + _BOTTOM), "#ffffff")
    picture.paste(Image.fromarray(colours).resize((_WIDTH, height), Image.Resampling.BOX), (_LEFT, _TOP))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(14)
    draw.text((_LEFT, 14), title, _INK, ImageFont.load_default(16))
    for tick in range(6):
        x = _LEFT + _WIDTH * tick // 5
        draw.line((x, _TOP + height, x, _TOP + height + 4), _FAINT)
        draw.text((x, _TOP + height + 8), f"{seconds_per_frame * frames * tick / 5:.2f} s", _FAINT, font, anchor="ma")
    for tick in range(5):
        y = _TOP + height - height * tick // 4
        draw.text((_LEFT - 8, y), str(round((dimensions - 1) * tick / 4)), _FAINT, font, anchor="rm")
    ramp = np.linspace(len(_COLOURS) - 1, 0, height)
    bar = np.stack([np.interp(ramp, np.arange(len(_COLOURS)), _COLOURS[:, i]) for i in range(3)], axis=-1).astype(np.uint8)
    picture.paste(Image.fromarray(np.repeat(bar[:, np.newaxis], 14, axis=1)), (_LEFT + _WIDTH + 16, _TOP))
    for value, y in ((high, _TOP), (low, _TOP + height)):
        draw.text((_LEFT + _WIDTH + 36, y), f"{value:.1f}", _FAINT, font, anchor="lm")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
