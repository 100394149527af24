"""``yolo11PostProcessor`` (runtime spec 7.6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from espdl.vision.detect.arithmetic import sigmoid32, unbounded
from espdl.vision.detect.candidates import Candidates, above
from espdl.vision.detect.cells import distance_boxes
from espdl.vision.detect.outputs import Output
from espdl.vision.detect.placement import Placement, Stage, stages
from espdl.vision.detect.staged import StagedPostprocessor

BINS = 16


class Yolo11Postprocessor(StagedPostprocessor):
    """``score0-2`` (classes) and ``box0-2`` (4 x 16 bins): strides 8, 16, 32, no anchors.

    A crop's corner is not added, as on the chip.
    """

    kind = "yolo11"
    stages = stages(8, 16, 32)
    scores = ("score0", "score1", "score2")
    boxes = ("box0", "box1", "box2")
    box_channels = 4 * BINS

    @unbounded
    def candidates(self, outputs: Mapping[str, Output], placement: Placement) -> Candidates:
        parts = []
        for index, (stage, score, box) in enumerate(self.pairs(outputs)):
            cells, classes = above(score, self.raw_threshold(score))
            values = sigmoid32(score.real(score.rows[cells, classes]))
            boxes = distance_boxes(box, cells, BINS, stage, placement)
            more = self.further(outputs, index, stage, placement, cells)
            parts.append(Candidates(classes.astype(np.int64), values, boxes, *more))
        return Candidates.joined(parts)

    def further(
        self, outputs: Mapping[str, Output], index: int, stage: Stage, placement: Placement, cells: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64] | None, NDArray[np.float32] | None]:
        """Key points and mask coefficients of candidates, in networks that have them."""
        return None, None
