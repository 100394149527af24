"""What families with an output of scores and one of boxes for each stride share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from espdl.vision.detect.outputs import Output, require
from espdl.vision.detect.placement import Stage
from espdl.vision.detect.postprocessor import DetectPostprocessor


class StagedPostprocessor(DetectPostprocessor):
    """A family whose networks put out scores and boxes stage by stage.

    Attributes:
        boxes: for each stage, the output that has the boxes of its cells.
        box_channels: of each of them.

    A family whose boxes depend on the scores overrides :meth:`pairs` and needs neither.
    """

    boxes: ClassVar[tuple[str, ...]]
    box_channels: ClassVar[int]

    @classmethod
    def check(cls, outputs: Mapping[str, Output]) -> None:
        for _ in cls.pairs(outputs):
            pass

    @classmethod
    def pairs(cls, outputs: Mapping[str, Output]) -> Iterator[tuple[Stage, Output, Output]]:
        """Each stage with its scores, of as many classes as the first, and its boxes. Raises as :meth:`check`."""
        classes = 0
        for stage, score_name, box_name in zip(cls.stages, cls.scores, cls.boxes, strict=True):
            score = require(outputs, score_name, channels=classes)
            classes = score.channels
            yield stage, score, require(outputs, box_name, channels=cls.box_channels, like=score)
