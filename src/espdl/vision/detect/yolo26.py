"""The decoding of YOLO26, which needs no suppression (runtime spec 7.10)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.rounding import Rounding, saturate
from espdl.vision.detect.arithmetic import logit32, sigmoid32, unbounded, whole
from espdl.vision.detect.candidates import Candidates, above
from espdl.vision.detect.outputs import Output
from espdl.vision.detect.placement import Placement, Stage, stages
from espdl.vision.detect.records import Detection
from espdl.vision.detect.staged import StagedPostprocessor


class Yolo26Postprocessor(StagedPostprocessor):
    """``one2one_p3-5_cls`` (classes) and ``one2one_p3-5_box`` (4 distances, in strides): the best class of each cell.

    Quirks: boxes are in pixels of the model's input, not of the picture, and may lie outside it (:func:`into_picture` brings them there);
    they are in the order of the cells, not of their scores. Of more than ``top_k`` the chip keeps the best in no order that is defined;
    here they stay in the order of the cells, and of equal scores the first are kept. The raw threshold is rounded down.
    """

    kind = "yolo26"
    stages = stages(8, 16, 32)
    scores = ("one2one_p3_cls", "one2one_p4_cls", "one2one_p5_cls")
    boxes = ("one2one_p3_box", "one2one_p4_box", "one2one_p5_box")
    box_channels = 4

    def __init__(
        self,
        score_threshold: float = 0.25,
        nms_threshold: float = 1.0,
        top_k: int = 32,
        rounding: Rounding = Rounding.HALF_UP,
    ) -> None:
        super().__init__(score_threshold, nms_threshold, top_k, rounding)

    @classmethod
    def pairs(cls, outputs: Mapping[str, Output]) -> Iterator[tuple[Stage, Output, Output]]:
        for stage, score, box in super().pairs(outputs):
            if box.values.dtype != score.values.dtype:
                raise EspdlError(
                    f"output {box.name!r} is {box.values.dtype}",
                    why=f"output {score.name!r}, for the same cells, is {score.values.dtype}",
                )
            yield stage, score, box

    def raw_threshold(self, score: Output) -> NDArray:
        logit = logit32(self.score_threshold)
        if score.is_float:
            return np.asarray(logit)
        with np.errstate(over="ignore"):
            return saturate(np.floor(logit / np.float32(2.0**score.exponent)), score.values.dtype)

    @unbounded
    def candidates(self, outputs: Mapping[str, Output], placement: Placement) -> Candidates:
        """As of every family; ``placement`` has no effect."""
        parts = []
        for stage, score, box in self.pairs(outputs):
            limit = self.raw_threshold(score)
            cells = np.unique(above(score, limit)[0])
            rows = score.rows[cells]
            values = np.where(rows > limit, sigmoid32(score.real(rows)), np.float32(-1))
            category = values.argmax(axis=1)
            best = values[np.arange(len(cells)), category]
            passed = best >= np.float32(self.score_threshold)
            cells, category, best = cells[passed], category[passed], best[passed]
            distance = box.real(box.rows[cells])
            y, x = (axis.astype(np.float32) + np.float32(0.5) for axis in np.divmod(cells, score.width))
            stride = np.float32(stage.stride_x)
            edges = (x - distance[:, 0], y - distance[:, 1], x + distance[:, 2], y + distance[:, 3])
            parts.append(Candidates(category.astype(np.int64), best, whole(np.stack(edges, axis=1) * stride)))
        return Candidates.joined(parts)

    def picked(self, candidates: Candidates) -> Candidates:
        if len(candidates) <= self.top_k:
            return candidates
        best = np.argsort(-candidates.score, kind="stable")[: self.top_k]
        return candidates.take(np.sort(best))

    def postprocess(self, outputs: Mapping[str, Output], placement: Placement, size: tuple[int, int]) -> tuple[Detection, ...]:
        """Records in pixels of the model's input; ``placement`` and ``size`` have no effect."""
        return self.records(self.picked(self.candidates(outputs, placement)))


def into_picture(records: tuple[Detection, ...], placement: Placement, size: tuple[int, int]) -> tuple[Detection, ...]:
    """Records of the model's input as records of the picture, best first: ``(v - border) * inverse``, truncated and clipped.

    Args:
        records: as :meth:`Yolo26Postprocessor.postprocess` gives them.
        placement: of the picture in the model's input.
        size: width and height of the picture.
    """
    scale = np.tile([placement.inverse_x, placement.inverse_y], 2)
    border = np.tile([placement.left, placement.top], 2)
    corner = np.tile(size, 2) - 1
    placed = [
        replace(record, box=tuple(np.clip(whole((np.array(record.box, np.float32) - border) * scale), 0, corner).tolist()))
        for record in records
    ]
    return tuple(sorted(placed, key=lambda record: -record.score))
