"""``yolo11posePostProcessor`` (runtime spec 7.6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from espdl.vision.detect.arithmetic import whole
from espdl.vision.detect.cells import centres
from espdl.vision.detect.labels import COCO_KEYPOINTS
from espdl.vision.detect.outputs import Output, require
from espdl.vision.detect.placement import Placement, Stage
from espdl.vision.detect.yolo11 import Yolo11Postprocessor

SEEN = np.float32(0.5)


class Yolo11PosePostprocessor(Yolo11Postprocessor):
    """YOLO11 with ``kpt0-2``: 17 key points of x, y and confidence.

    Quirk: the confidence is a logit, and compared with 0.5 as it is, which asks for a probability of 0.62. A key point below becomes
    (0, 0). Positions are computed in binary64 (``2.0`` is a double in the source), everything else in binary32.
    """

    kind = "yolo11pose"
    keypoint_names = COCO_KEYPOINTS

    @classmethod
    def check(cls, outputs: Mapping[str, Output]) -> None:
        super().check(outputs)
        for index in range(len(cls.stages)):
            cls._points(outputs, index)

    @classmethod
    def _points(cls, outputs: Mapping[str, Output], index: int) -> Output:
        return require(outputs, f"kpt{index}", channels=3 * len(COCO_KEYPOINTS), like=outputs.get(f"score{index}"))

    def further(
        self, outputs: Mapping[str, Output], index: int, stage: Stage, placement: Placement, cells: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64] | None, NDArray[np.float32] | None]:
        points = self._points(outputs, index)
        values = points.real(points.rows[cells]).reshape(-1, len(COCO_KEYPOINTS), 3)
        x, y = centres(cells, points.width, stage)
        wide = values.astype(np.float64)
        px = ((wide[..., 0] * 2.0 * stage.stride_x + (x - stage.offset_x)[:, np.newaxis]) - placement.left) * placement.inverse_x
        py = ((wide[..., 1] * 2.0 * stage.stride_y + (y - stage.offset_y)[:, np.newaxis]) - placement.top) * placement.inverse_y
        seen = values[..., 2] >= SEEN
        return np.where(seen[..., np.newaxis], whole(np.stack([px, py], axis=-1)), 0), None
