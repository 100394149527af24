"""``MNPPostprocessor``: the second of two stages that find faces, with five key points (runtime spec 7.6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from espdl.vision.detect.arithmetic import exp32, unbounded, whole
from espdl.vision.detect.candidates import Candidates
from espdl.vision.detect.labels import FACE_KEYPOINTS
from espdl.vision.detect.outputs import Output, require
from espdl.vision.detect.placement import Placement, Stage
from espdl.vision.detect.postprocessor import DetectPostprocessor


class MNPPostprocessor(DetectPostprocessor):
    """``score`` (logits of classes), ``box`` (4) and ``landmark`` (5 x, y) of a crop: one anchor of 48 x 48, one cell.

    Quirk: a crop is kept when the probability of its likeliest class is above the threshold, whichever class that is, and its category is
    0: with two classes "no face" counts as well as "face".
    """

    kind = "mnp"
    stages = (Stage(1, 1, 0, 0, ((48, 48),)),)
    scores = ("score",)
    keypoint_names = FACE_KEYPOINTS

    @classmethod
    def check(cls, outputs: Mapping[str, Output]) -> None:
        cls._all(outputs)

    @classmethod
    def _all(cls, outputs: Mapping[str, Output]) -> tuple[Output, Output, Output]:
        score = require(outputs, "score")
        box = require(outputs, "box", channels=4, like=score)
        return score, box, require(outputs, "landmark", channels=2 * len(FACE_KEYPOINTS), like=score)

    @unbounded
    def candidates(self, outputs: Mapping[str, Output], placement: Placement) -> Candidates:
        score, box, landmark = self._all(outputs)
        logits = score.real(score.rows)
        total = np.zeros(len(logits), np.float32)
        for power in exp32(logits - logits.max(axis=1, keepdims=True)).T:
            total += power
        probability = np.float32(1) / total
        cells = np.flatnonzero(probability > np.float32(self.score_threshold))
        height, width = map(np.float32, self.stages[0].anchors[0])
        d = box.real(box.rows[cells])
        ix, iy = placement.inverse_x, placement.inverse_y
        cx, cy = np.float32(placement.crop_x), np.float32(placement.crop_y)
        edges = (
            width * d[:, 0] * ix + cx,
            height * d[:, 1] * iy + cy,
            (width * d[:, 2] + width) * ix + cx,
            (height * d[:, 3] + height) * iy + cy,
        )
        points = landmark.real(landmark.rows[cells]).reshape(-1, len(FACE_KEYPOINTS), 2)
        points = np.stack([width * points[..., 0] * ix + cx, height * points[..., 1] * iy + cy], axis=-1)
        return Candidates(np.zeros(len(cells), np.int64), probability[cells], whole(np.stack(edges, axis=1)), whole(points))
