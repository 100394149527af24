"""``yolo11segPostProcessor`` (runtime spec 7.6, "Segmentation masks")."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from espdl.vision.detect.arithmetic import unbounded, whole
from espdl.vision.detect.outputs import Output, require
from espdl.vision.detect.placement import Placement, Stage
from espdl.vision.detect.records import Detection
from espdl.vision.detect.yolo11 import Yolo11Postprocessor

COEFFICIENTS = 32


class Yolo11SegPostprocessor(Yolo11Postprocessor):
    """YOLO11 with ``mc0-2`` (32 mask coefficients) and the prototypes ``p``.

    A pixel of the prototypes belongs to the object where the sum of coefficients times prototypes is above 0. Masks are made for boxes
    after clipping, and brought to the size of the box by the nearest pixel (towards zero).
    """

    kind = "yolo11seg"

    @classmethod
    def check(cls, outputs: Mapping[str, Output]) -> None:
        super().check(outputs)
        for index in range(len(cls.stages)):
            cls._coefficients(outputs, index)
        cls._prototypes(outputs)

    @classmethod
    def _coefficients(cls, outputs: Mapping[str, Output], index: int) -> Output:
        return require(outputs, f"mc{index}", channels=COEFFICIENTS, like=outputs.get(f"score{index}"))

    @classmethod
    def _prototypes(cls, outputs: Mapping[str, Output]) -> Output:
        return require(outputs, "p", channels=COEFFICIENTS)

    def further(
        self, outputs: Mapping[str, Output], index: int, stage: Stage, placement: Placement, cells: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64] | None, NDArray[np.float32] | None]:
        coefficients = self._coefficients(outputs, index)
        return None, coefficients.real(coefficients.rows[cells])

    @unbounded
    def postprocess(self, outputs: Mapping[str, Output], placement: Placement, size: tuple[int, int]) -> tuple[Detection, ...]:
        prototypes = self._prototypes(outputs)
        found = self.picked(self.candidates(outputs, placement)).clipped(*size)
        assert found.coefficients is not None
        first = self.stages[0]
        cells = outputs["score0"]
        ratios = (
            np.float32(prototypes.width) / np.float32(cells.width * first.stride_x),
            np.float32(prototypes.height) / np.float32(cells.height * first.stride_y),
        )
        return self.records(
            found,
            [
                box_mask(prototypes, coefficients, box, placement, ratios)
                for box, coefficients in zip(found.box, found.coefficients, strict=True)
            ],
        )


def box_mask(
    prototypes: Output,
    coefficients: NDArray[np.float32],
    box: NDArray[np.int64],
    placement: Placement,
    ratios: tuple[np.float32, np.float32],
) -> NDArray[np.uint8] | None:
    """The mask of one box, uint8 [y2 - y1, x2 - x1], or None when no prototype pixel lies in it.

    Args:
        prototypes: [H, W, M].
        coefficients: [M], real.
        box: in the picture, clipped.
        placement: of the picture in the model's input.
        ratios: prototype pixels per pixel of the input, x and y.
    """
    one = np.float32(1)
    scale = np.tile([one / placement.inverse_x, one / placement.inverse_y], 2).astype(np.float32)
    border = np.tile([placement.left, placement.top], 2).astype(np.float32)
    in_model = whole(box.astype(np.float32) * scale + border)
    in_prototypes = whole(in_model.astype(np.float32) * np.tile(ratios, 2).astype(np.float32))
    limit = np.tile([prototypes.width - 1, prototypes.height - 1], 2)
    x1, y1, x2, y2 = np.clip(in_prototypes, 0, limit).tolist()
    width, height = int(box[2] - box[0]), int(box[3] - box[1])
    if x2 <= x1 or y2 <= y1 or width <= 0 or height <= 0:
        return None
    part = prototypes.values[y1:y2, x1:x2]
    if part.dtype == np.int8:
        # exact in any order, for 32 products of 8 bits; the scale of the prototypes does not change the sign
        total = part.astype(np.float32) @ coefficients
    else:
        real = prototypes.real(part)
        total = np.zeros(part.shape[:2], np.float32)
        for channel in range(part.shape[2]):
            total += coefficients[channel] * real[..., channel]
    small = (total > 0).astype(np.uint8)
    rows = np.arange(height) * (y2 - y1) // height
    columns = np.arange(width) * (x2 - x1) // width
    return small[rows[:, np.newaxis], columns]
