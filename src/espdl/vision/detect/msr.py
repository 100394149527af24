"""``MSRPostprocessor``: the first of two stages that find faces (runtime spec 7.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from espdl.vision.detect.arithmetic import sigmoid32, unbounded, whole
from espdl.vision.detect.candidates import Candidates, above
from espdl.vision.detect.cells import centres
from espdl.vision.detect.outputs import Output, require
from espdl.vision.detect.placement import Placement, Stage
from espdl.vision.detect.staged import StagedPostprocessor


class MSRPostprocessor(StagedPostprocessor):
    """``score0-1`` (anchors x classes) and ``box0-1`` (4 for each of them): anchors 16, 32 at stride 8 and 64, 128 at stride 16.

    Quirk: neither borders of a letterbox nor a crop's corner are taken into account.
    """

    kind = "msr"
    stages = (Stage(8, 8, 9, 9, ((16, 16), (32, 32))), Stage(16, 16, 9, 9, ((64, 64), (128, 128))))
    scores = ("score0", "score1")

    @classmethod
    def pairs(cls, outputs: Mapping[str, Output]) -> Iterator[tuple[Stage, Output, Output]]:
        for index, stage in enumerate(cls.stages):
            score = require(outputs, f"score{index}", multiple=len(stage.anchors))
            yield stage, score, require(outputs, f"box{index}", channels=4 * score.channels, like=score)

    @unbounded
    def candidates(self, outputs: Mapping[str, Output], placement: Placement) -> Candidates:
        parts = []
        for stage, score, box in self.pairs(outputs):
            cells, channels = above(score, self.raw_threshold(score))
            values = sigmoid32(score.real(score.rows[cells, channels]))
            anchor, category = np.divmod(channels, score.channels // len(stage.anchors))
            shape = np.array(stage.anchors)[anchor]
            height, width = shape[:, 0], shape[:, 1]
            x, y = centres(cells, score.width, stage)
            d = box.real(box.rows.reshape(-1, score.channels, 4)[cells, channels])
            fw, fh = width.astype(np.float32), height.astype(np.float32)
            edges = (
                ((x - (width >> 1)).astype(np.float32) + fw * d[:, 0]) * placement.inverse_x,
                ((y - (height >> 1)).astype(np.float32) + fh * d[:, 1]) * placement.inverse_y,
                ((x + width - (width >> 1)).astype(np.float32) + fw * d[:, 2]) * placement.inverse_x,
                ((y + height - (height >> 1)).astype(np.float32) + fh * d[:, 3]) * placement.inverse_y,
            )
            parts.append(Candidates(category.astype(np.int64), values, whole(np.stack(edges, axis=1))))
        return Candidates.joined(parts)
