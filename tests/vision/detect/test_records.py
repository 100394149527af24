from __future__ import annotations

import json

import numpy as np
import pytest

from espdl.vision.detect import COCO_IDS, COCO_LABELS, Detection
from espdl.vision.detect.records import run_lengths

MASK = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)


@pytest.mark.parametrize(
    ("values", "lengths"),
    [([0, 0, 1, 1, 1, 0], [2, 3, 1]), ([1, 1, 0], [0, 2, 1]), ([0, 0], [2]), ([1], [0, 1])],
)
def test_run_lengths(values: list[int], lengths: list[int]) -> None:
    assert run_lengths(np.array(values, np.uint8)) == lengths


def test_json() -> None:
    found = Detection(2, 0.8807970285415649, (1, 2, 4, 4), ((5, 6), (0, 0)), MASK, "car")
    assert json.loads(json.dumps(found.to_json())) == {
        "category": 2,
        "label": "car",
        "score": 0.880797,
        "box": [1, 2, 4, 4],
        "keypoints": [[5, 6], [0, 0]],
        "mask": {"size": [2, 3], "pixels": 3, "counts": [1, 3, 2]},
    }
    assert Detection(2, 0.5, (1, 2, 4, 4)).to_json() == {"category": 2, "score": 0.5, "box": [1, 2, 4, 4]}


def test_coco() -> None:
    found = Detection(15, 0.5, (1, 2, 4, 4), ((5, 6), (0, 0)), MASK)
    assert COCO_LABELS[15] == "cat"
    entry = found.to_coco(7, COCO_IDS, (5, 4))
    assert entry == {
        "image_id": 7,
        "category_id": 17,
        "bbox": [1, 2, 3, 2],
        "score": 0.5,
        "keypoints": [5, 6, 1, 0, 0, 0],
        "segmentation": {"size": [4, 5], "counts": [7, 1, 2, 1, 3, 1, 5]},  # by columns
    }
    assert found.to_coco("a")["category_id"] == 16
    assert "segmentation" not in found.to_coco("a"), "the size of the picture is not known"


def test_there_are_80_classes_with_ids_up_to_90() -> None:
    assert len(COCO_LABELS) == len(COCO_IDS) == 80
    assert (COCO_IDS[0], COCO_IDS[11], COCO_IDS[-1]) == (1, 13, 90)


def test_area_and_mask() -> None:
    found = Detection(0, 1.0, (1, 2, 4, 4), (), MASK)
    assert (found.area, found.mask_pixels, Detection(0, 1.0, (1, 2, 4, 4)).mask_pixels) == (6, 3, 0)
