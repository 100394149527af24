"""The input values under each position of a filter, as a view, cut into tiles of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from espdl.dl.base.kernels import Window
from espdl.errors import EspdlError

TILE_ELEMENTS = 1 << 19
"""Elements of one tile of patches: small enough to stay in a core's cache while it is multiplied."""

_PADDED_FLOOR = 1 << 24


class Tile(NamedTuple):
    """A rectangle of output positions."""

    rows: slice
    columns: slice


def check_padding(image: tuple[int, int, int], window: Window, output_elements: int) -> tuple[int, int, int]:
    """Extents of an image [H, W, C] with its border.

    Raises :class:`EspdlError` when the border makes it larger than input and output justify: only a damaged file asks for that.
    """
    top, bottom, left, right = window.pads
    height, width, channels = image
    shape = (height + top + bottom, width + left + right, channels)
    if shape[0] * shape[1] * shape[2] > _PADDED_FLOOR + 64 * (height * width * channels + output_elements):
        raise EspdlError("the padded input is out of all proportion", why=f"pads {list(window.pads)} around {height} x {width}")
    return shape


def padded(x: NDArray, window: Window, dtype: np.dtype, output_elements: int) -> NDArray:
    """The image [H, W, C] with its zero border, as ``dtype``. Raises as :func:`check_padding` does."""
    top, _, left, _ = window.pads
    height, width, channels = x.shape
    shape = check_padding((height, width, channels), window, output_elements)
    if not any(window.pads):
        return x.astype(dtype)
    image = np.zeros(shape, dtype=dtype)
    image[top : top + height, left : left + width] = x
    return image


def patches(image: NDArray, window: Window, kernel: tuple[int, int], extent: tuple[int, int]) -> NDArray:
    """View [OH, OW, KH, KW, C] of a padded image: the values each output position reads, in the order kh, kw, c."""
    row, column, channel = image.strides
    return as_strided(
        image,
        shape=(*extent, *kernel, image.shape[2]),
        strides=(
            row * window.strides[0],
            column * window.strides[1],
            row * window.dilations[0],
            column * window.dilations[1],
            channel,
        ),
        writeable=False,
    )


def tiles(extent: tuple[int, int], elements_per_position: int) -> Iterator[Tile]:
    """Cuts the output into whole rows, or into parts of one row where a row is too long."""
    rows, columns = extent
    positions = max(TILE_ELEMENTS // max(elements_per_position, 1), 1)
    if positions >= columns:
        step = positions // columns
        for start in range(0, rows, step):
            yield Tile(slice(start, min(start + step, rows)), slice(0, columns))
        return
    for row in range(rows):
        for start in range(0, columns, positions):
            yield Tile(slice(row, row + 1), slice(start, min(start + positions, columns)))
