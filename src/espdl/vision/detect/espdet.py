"""``ESPDetPostProcessor`` (runtime spec 7.6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from espdl.vision.detect.arithmetic import sigmoid32, unbounded
from espdl.vision.detect.candidates import Candidates, above
from espdl.vision.detect.cells import distance_boxes
from espdl.vision.detect.outputs import Output
from espdl.vision.detect.placement import Placement, stages
from espdl.vision.detect.staged import StagedPostprocessor


class ESPDetPostprocessor(StagedPostprocessor):
    """``score0-2`` (classes) and ``box0-2`` (4 distances, in strides): strides 8, 16, 32, no bins.

    Quirk: a score equal to the raw threshold passes; every other family asks for more. A crop's corner is not added.
    """

    kind = "espdet"
    stages = stages(8, 16, 32)
    scores = ("score0", "score1", "score2")
    boxes = ("box0", "box1", "box2")
    box_channels = 4

    @unbounded
    def candidates(self, outputs: Mapping[str, Output], placement: Placement) -> Candidates:
        parts = []
        for stage, score, box in self.pairs(outputs):
            cells, classes = above(score, self.raw_threshold(score), or_equal=True)
            values = sigmoid32(score.real(score.rows[cells, classes]))
            parts.append(Candidates(classes.astype(np.int64), values, distance_boxes(box, cells, 1, stage, placement)))
        return Candidates.joined(parts)
