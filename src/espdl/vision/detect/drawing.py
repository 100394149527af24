"""Detections over their picture, to look at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from espdl.vision.detect.labels import COCO_KEYPOINTS, COCO_LIMBS
from espdl.vision.detect.records import Detection
from espdl.vision.image import Mark, Source, annotate

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


def draw_detections(image: Source, found: Iterable[Detection]) -> PillowImage:
    """A copy of a picture with boxes, names, scores, key points and masks; the best is drawn over the others.

    Several things of one class have a colour each, things of several classes one for each class. Classes without names show their number,
    unless all that was found is of class 0.

    Raises:
        EspdlError: for a picture that cannot be read.
    """
    records = sorted(found, key=lambda one: one.score)
    classes = {one.category for one in records}
    marks = [
        mark_of(one, rank if len(classes) == 1 else one.category, one.label or ("" if classes == {0} else str(one.category)))
        for rank, one in enumerate(records)
    ]
    return annotate(image, marks)


def mark_of(found: Detection, color: int, name: str) -> Mark:
    """One detection as what is drawn of it."""
    people = found.keypoint_names == COCO_KEYPOINTS
    return Mark(
        box=found.box,
        label=f"{name} {found.score:.2f}".lstrip(),
        color=color,
        points=[point if point != (0, 0) else None for point in found.keypoints],
        links=COCO_LIMBS if people else (),
        mask=found.mask,
    )
