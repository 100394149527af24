"""``PicoPostprocessor`` (runtime spec 7.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espdl.vision.detect.arithmetic import unbounded
from espdl.vision.detect.candidates import Candidates, above
from espdl.vision.detect.cells import distance_boxes
from espdl.vision.detect.outputs import Output
from espdl.vision.detect.placement import Placement, stages
from espdl.vision.detect.staged import StagedPostprocessor

BINS = 8


class PicoPostprocessor(StagedPostprocessor):
    """``score0-2`` (classes) and ``bbox0-2`` (4 x 8 bins): strides 8, 16, 32.

    The network puts out the square of a score. Quirk: borders of a letterbox are not taken into account, nor is a crop's corner.
    """

    kind = "pico"
    stages = stages(8, 16, 32)
    scores = ("score0", "score1", "score2")
    boxes = ("bbox0", "bbox1", "bbox2")
    box_channels = 4 * BINS

    def raw_threshold(self, score: Output) -> NDArray:
        threshold = np.float32(self.score_threshold)
        return score.raw(threshold * threshold, self.rounding)

    @unbounded
    def candidates(self, outputs: Mapping[str, Output], placement: Placement) -> Candidates:
        unbordered = replace(placement, left=0, top=0)
        parts = []
        for stage, score, box in self.pairs(outputs):
            cells, classes = above(score, self.raw_threshold(score))
            values = np.sqrt(score.real(score.rows[cells, classes]))
            parts.append(Candidates(classes.astype(np.int64), values, distance_boxes(box, cells, BINS, stage, unbordered)))
        return Candidates.joined(parts)
