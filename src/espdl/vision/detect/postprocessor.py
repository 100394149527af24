"""``DetectPostprocessor``: from a network's outputs to records (runtime spec 7.6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.rounding import Rounding
from espdl.vision.detect.arithmetic import logit32
from espdl.vision.detect.candidates import Candidates, suppress
from espdl.vision.detect.outputs import Output
from espdl.vision.detect.placement import Placement, Stage
from espdl.vision.detect.records import Detection


class DetectPostprocessor(ABC):
    """Decodes outputs, drops what overlaps, and brings boxes into the picture.

    Args:
        score_threshold: proposals above it are kept. It is compared as the raw value that the chip compares: on a coarse exponent the
            real threshold is the nearest step, and where the raw value saturates nothing passes.
        nms_threshold: overlap above which the weaker of two boxes is dropped, whatever their classes.
        top_k: the largest number of records.
        rounding: of the chip, for the raw threshold.

    Attributes:
        kind: name of the family.
        stages: where the cells of its outputs stand.
        scores: for each stage, the output that has the scores of its cells.
        keypoint_names: names of its key points.

    Raises:
        EspdlError: when a threshold is not in 0..1 or ``top_k`` is below 1.
    """

    kind: ClassVar[str]
    stages: ClassVar[tuple[Stage, ...]]
    scores: ClassVar[tuple[str, ...]]
    keypoint_names: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        score_threshold: float,
        nms_threshold: float = 0.7,
        top_k: int = 10,
        rounding: Rounding = Rounding.HALF_UP,
    ) -> None:
        for name, value in (("score", score_threshold), ("nms", nms_threshold)):
            if not 0 <= value <= 1:
                raise EspdlError(f"a {name} threshold of {value:g} is out of range", hint="give a number in 0..1")
        if top_k < 1:
            raise EspdlError(f"there is no best {top_k} of the boxes", hint="give at least 1")
        self.score_threshold = float(score_threshold)
        self.nms_threshold = float(nms_threshold)
        self.top_k = top_k
        self.rounding = rounding

    @classmethod
    @abstractmethod
    def check(cls, outputs: Mapping[str, Output]) -> None:
        """Raises :class:`EspdlError` naming the output that is missing or has another shape than the family's."""

    @classmethod
    def check_input(cls, outputs: Mapping[str, Output], height: int, width: int) -> None:
        """Raises :class:`EspdlError` naming the output whose cells are not those of an input of ``height`` x ``width``."""
        cls.check(outputs)
        for stage, name in zip(cls.stages, cls.scores, strict=True):
            cells = outputs[name]
            expected = (height // stage.stride_y, width // stage.stride_x)
            if not stage.anchors and (cells.height, cells.width) != expected:
                raise EspdlError(
                    f"output {name!r} has {cells.height} x {cells.width} cells",
                    why=f"an input of {height} x {width} has {expected[0]} x {expected[1]} of {stage.stride_y} x {stage.stride_x} pixels",
                )

    @abstractmethod
    def candidates(self, outputs: Mapping[str, Output], placement: Placement) -> Candidates:
        """What passes the score threshold, in the chip's order, in pixels of the picture. Raises as :meth:`check`."""

    def postprocess(self, outputs: Mapping[str, Output], placement: Placement, size: tuple[int, int]) -> tuple[Detection, ...]:
        """Records, best first.

        Args:
            outputs: of one run, by name (see :func:`espdl.vision.detect.outputs_of`).
            placement: of the picture in the model's input.
            size: width and height of the picture.

        Raises:
            EspdlError: naming the output that is missing or has another shape than the family's.
        """
        return self.records(self.picked(self.candidates(outputs, placement)).clipped(*size))

    def picked(self, candidates: Candidates) -> Candidates:
        """The best, those that overlap them dropped. Before clipping, as on the chip."""
        ordered = candidates.best_first()
        return ordered.take(suppress(ordered.box, self.nms_threshold, self.top_k))

    def records(self, found: Candidates, masks: list[NDArray[np.uint8] | None] | None = None) -> tuple[Detection, ...]:
        """Candidates as records."""
        return tuple(
            Detection(
                category=int(found.category[i]),
                score=float(found.score[i]),
                box=tuple(found.box[i].tolist()),
                keypoints=() if found.keypoints is None else tuple((int(x), int(y)) for x, y in found.keypoints[i]),
                mask=None if masks is None else masks[i],
                keypoint_names=self.keypoint_names,
            )
            for i in range(len(found))
        )

    def raw_threshold(self, score: Output) -> NDArray:
        """``quantize(-logf(1.0 / threshold - 1))``, saturated to the output's type (spec 7.6)."""
        return score.raw(logit32(self.score_threshold), self.rounding)
