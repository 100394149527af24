"""What was found in a picture: typed records, as JSON and in the format of COCO results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detection:
    """One object found (runtime spec 7.6 ``result_t``).

    Attributes:
        category: index of the class.
        score: 0..1.
        box: x1, y1, x2, y2 in whole pixels of the picture.
        keypoints: x, y of each, in pixels; (0, 0) is one that was not seen. Empty where the network has none.
        mask: of the box's pixels, uint8 [y2 - y1, x2 - x1], 1 inside the object; None where the network has none, or it is empty.
        label: name of the class; empty when it is not known.
        keypoint_names: one for each key point, or none.
    """

    category: int
    score: float
    box: tuple[int, int, int, int]
    keypoints: tuple[tuple[int, int], ...] = ()
    mask: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    label: str = ""
    keypoint_names: tuple[str, ...] = field(default=(), repr=False)

    @property
    def area(self) -> int:
        """``(x2 - x1) * (y2 - y1)``, as the chip's face recogniser measures it."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    @property
    def mask_pixels(self) -> int:
        """How many pixels of the picture the mask covers."""
        return 0 if self.mask is None else int(np.count_nonzero(self.mask))

    def to_json(self) -> dict[str, Any]:
        """The record as what ``json`` writes; a mask as its size, place and run lengths of its rows (outside first)."""
        record: dict[str, Any] = {"category": self.category}
        if self.label:
            record["label"] = self.label
        record |= {"score": round(self.score, 6), "box": list(self.box)}
        if self.keypoints:
            points = [list(point) for point in self.keypoints]
            record["keypoints"] = dict(zip(self.keypoint_names, points, strict=True)) if self.keypoint_names else points
        if self.mask is not None:
            record["mask"] = {
                "size": list(self.mask.shape),
                "pixels": self.mask_pixels,
                "counts": run_lengths(self.mask.ravel()),
            }
        return record

    def to_coco(
        self, image_id: int | str, category_ids: Sequence[int] | None = None, size: tuple[int, int] | None = None
    ) -> dict[str, Any]:
        """The record as an entry of a COCO result file.

        Args:
            image_id: of the picture.
            category_ids: the data set's id of each category; None counts from 1.
            size: width and height of the picture; needed for a mask, which becomes an uncompressed run-length encoding of all of it.
        """
        x1, y1, x2, y2 = self.box
        entry: dict[str, Any] = {
            "image_id": image_id,
            "category_id": category_ids[self.category] if category_ids is not None else self.category + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": self.score,
        }
        if self.keypoints:
            entry["keypoints"] = [value for x, y in self.keypoints for value in (x, y, int((x, y) != (0, 0)))]
        if self.mask is not None and size is not None:
            width, height = size
            whole = np.zeros((height, width), np.uint8)
            whole[y1:y2, x1:x2] = self.mask
            entry["segmentation"] = {"size": [height, width], "counts": run_lengths(whole.ravel(order="F"))}
        return entry


def run_lengths(values: NDArray[np.uint8]) -> list[int]:
    """Lengths of the runs of equal values in a row of zeros and ones; the first run is of zeros, and may be empty."""
    changes = np.flatnonzero(np.diff(values)) + 1
    lengths = np.diff(np.concatenate(([0], changes, [values.size]))).tolist()
    return [0, *lengths] if values.size and values[0] else lengths
