"""``PicoPostprocessor`` (runtime spec 7.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espdl.vision.detect.arithmetic import unbounded
from espdl.vision.detect.candidates import Candidates, above
from espdl.vision.detect.cells import distance_boxes
from espdl.vision.detect.outputs import Output, require
from espdl.vision.detect.placement import Placement, Stage, stages
from espdl.vision.detect.postprocessor import DetectPostprocessor

BINS = 8


class PicoPostprocessor(DetectPostprocessor):
    """``score0-2`` (classes) and ``bbox0-2`` (4 x 8 bins): strides 8, 16, 32.

    The network puts out the square of a score. Quirk: borders of a letterbox are not taken into account, nor is a crop's corner.
    """

    kind = "pico"
    stages = stages(8, 16, 32)
    scores = ("score0", "score1", "score2")

    @classmethod
    def check(cls, outputs: Mapping[str, Output]) -> None:
        for _ in cls._pairs(outputs):
            pass

    @classmethod
    def _pairs(cls, outputs: Mapping[str, Output]) -> Iterator[tuple[Stage, Output, Output]]:
        classes = 0
        for index, stage in enumerate(cls.stages):
            score = require(outputs, f"score{index}", channels=classes)
            classes = score.channels
            yield stage, score, require(outputs, f"bbox{index}", channels=4 * BINS, like=score)

    def raw_threshold(self, score: Output) -> NDArray:
        threshold = np.float32(self.score_threshold)
        return score.raw(threshold * threshold, self.rounding)

    @unbounded
    def candidates(self, outputs: Mapping[str, Output], placement: Placement) -> Candidates:
        unbordered = replace(placement, left=0, top=0)
        parts = []
        for stage, score, box in self._pairs(outputs):
            cells, classes = above(score, self.raw_threshold(score))
            values = np.sqrt(score.real(score.rows[cells, classes]))
            parts.append(Candidates(classes.astype(np.int64), values, distance_boxes(box, cells, BINS, stage, unbordered)))
        return Candidates.joined(parts)
