"""Boxes of cells that give four distances: left, top, right, bottom (runtime spec 7.6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.vision.detect.arithmetic import Floats, distances, whole
from espdl.vision.detect.outputs import Output
from espdl.vision.detect.placement import Placement, Stage


def centres(cells: NDArray[np.intp], width: int, stage: Stage) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """x and y of the points of cells, in pixels of the input."""
    y, x = np.divmod(cells, width)
    return x * stage.stride_x + stage.offset_x, y * stage.stride_y + stage.offset_y


def distance_boxes(box: Output, cells: NDArray[np.intp], bins: int, stage: Stage, placement: Placement) -> NDArray[np.int64]:
    """Boxes of cells, [N, 4], in whole pixels of the picture: ``((c -+ d * stride) - border) * inverse``.

    Args:
        box: output with 4 distances in strides, or 4 x ``bins`` logits of them.
        cells: row-major indices, ascending; those that occur several times are decoded once.
        bins: 1 for plain distances.
        stage: of the output.
        placement: of the picture.
    """
    unique, position = np.unique(cells, return_inverse=True)
    values = box.real(box.rows[unique])
    d: Floats = values if bins == 1 else distances(values.reshape(-1, 4, bins))
    x, y = (axis.astype(np.float32) for axis in centres(unique, box.width, stage))
    sx, sy = np.float32(stage.stride_x), np.float32(stage.stride_y)
    left, top = np.float32(placement.left), np.float32(placement.top)
    edges = (
        ((x - d[:, 0] * sx) - left) * placement.inverse_x,
        ((y - d[:, 1] * sy) - top) * placement.inverse_y,
        ((x + d[:, 2] * sx) - left) * placement.inverse_x,
        ((y + d[:, 3] * sy) - top) * placement.inverse_y,
    )
    return whole(np.stack(edges, axis=1))[position]
