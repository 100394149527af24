"""Where the picture lies in the model's input, and the cells of a network's outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espdl.vision.image import Geometry

ONE = np.float32(1)


@dataclass(frozen=True)
class Placement:
    """How a picture came into the model's input (runtime spec 7.4).

    Attributes:
        inverse_x, inverse_y: pixels of the picture per pixel of the active area (the input less its borders), binary32.
        left, top: of the border, in pixels of the input.
        crop_x, crop_y: corner of the part of the picture that was taken.
    """

    inverse_x: np.float32 = ONE
    inverse_y: np.float32 = ONE
    left: int = 0
    top: int = 0
    crop_x: int = 0
    crop_y: int = 0

    @classmethod
    def of(cls, geometry: Geometry) -> Placement:
        """The placement of what an ``ImagePreprocessor`` has preprocessed last."""
        return cls(
            np.float32(geometry.inv_scale_x),
            np.float32(geometry.inv_scale_y),
            geometry.border.left,
            geometry.border.top,
            geometry.crop.x1,
            geometry.crop.y1,
        )


@dataclass(frozen=True)
class Stage:
    """The cells of one pair of outputs: cell (x, y) stands at ``x * stride_x + offset_x``, ``y * stride_y + offset_y`` of the input.

    Attributes:
        anchors: height and width of each anchor, for networks that have them.
    """

    stride_y: int
    stride_x: int
    offset_y: int
    offset_x: int
    anchors: tuple[tuple[int, int], ...] = ()


def stages(*strides: int) -> tuple[Stage, ...]:
    """Stages of square cells whose points stand in their middle."""
    return tuple(Stage(stride, stride, stride // 2, stride // 2) for stride in strides)
