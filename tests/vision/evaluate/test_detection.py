from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from espdl.errors import EspdlError
from espdl.vision.detect import COCO_IDS, Detection, Detector
from espdl.vision.evaluate import CocoData, FloatNetwork, coco_metrics, evaluate_detector
from espdl.vision.evaluate.detection import entries, float_outputs
from tests.vision.squares import BLUE, GREEN, picture

SCENES = {
    "one": [(16, 32, GREEN), (48, 0, BLUE)],
    "two": [(0, 0, GREEN)],
    "three": [(32, 32, BLUE), (0, 16, BLUE), (16, 0, GREEN)],
}


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Pictures with squares, and where they are; ids of categories are 4 and 9."""
    content = {"images": [], "annotations": [], "categories": [{"id": 4, "name": "green"}, {"id": 9, "name": "blue"}]}
    for number, (name, squares) in enumerate(SCENES.items(), start=10):
        pillow.fromarray(picture(*squares)).save(tmp_path / f"{name}.png")
        content["images"].append({"id": number, "file_name": f"{name}.png", "width": 64, "height": 64})
        for x, y, color in squares:
            box = [x, y, min(16, 63 - x), min(16, 63 - y)]  # boxes are clipped to the last pixel
            content["annotations"].append({"image_id": number, "category_id": 4 if color == GREEN else 9, "bbox": box, "id": 0})
    (tmp_path / "squares.json").write_text(json.dumps(content))
    return tmp_path / "squares.json"


def test_precision_of_both_networks(squares: Path, annotated: Path) -> None:
    pytest.importorskip("pycocotools")
    detector = Detector(squares, score_threshold=0.01, top_k=100)
    data = CocoData(annotated)
    found = evaluate_detector(detector, data, FloatNetwork(squares.with_suffix(".onnx")))
    perfect = {"mAP50-95": 1.0, "mAP50": 1.0, "mAP75": 1.0}
    assert found.metrics == pytest.approx(perfect)
    assert found.float_metrics == pytest.approx(perfect)
    assert found.pictures == 3
    first = next(result for result in found.results if result["image_id"] == 10)
    assert (first["category_id"], first["bbox"]) == (9, [48, 0, 15, 16])
    assert found.to_dict().keys() == {"pictures", "what", "metrics", "float_metrics"}
    assert evaluate_detector(detector, data.limited(1)).pictures == 1


def test_what_is_missed_and_wrong_counts(squares: Path, annotated: Path) -> None:
    pytest.importorskip("pycocotools")
    truth = CocoData(annotated).truth
    right = [
        {"image_id": one["image_id"], "category_id": one["category_id"], "bbox": one["bbox"], "score": 0.9}
        for one in truth["annotations"]
    ]
    assert coco_metrics(truth, right)["mAP50-95"] == pytest.approx(1.0)
    blue = [one for one in right if one["category_id"] == 9]
    assert coco_metrics(truth, blue)["mAP50-95"] == pytest.approx(0.5), "one of two classes"
    shifted = [one | {"bbox": [one["bbox"][0] + 4, *one["bbox"][1:]]} for one in right]
    moved = coco_metrics(truth, shifted)  # overlap of 12 / 20
    assert moved["mAP50"] == pytest.approx(1.0) and moved["mAP75"] == 0.0
    assert moved["mAP50-95"] == pytest.approx(0.3, abs=0.11)
    assert set(coco_metrics(truth, []).values()) == {0.0}


def test_key_points_and_masks_are_measured() -> None:
    pytest.importorskip("pycocotools")
    points = [value for k in range(17) for value in (10 + k, 20 + k, 2)]
    mask = {"size": [40, 40], "counts": [400, 100, 1100]}
    entry = {"image_id": 1, "category_id": 1, "bbox": [10, 0, 3, 40], "keypoints": points, "num_keypoints": 17, "area": 400}
    truth = {
        "images": [{"id": 1, "file_name": "a", "width": 40, "height": 40}],
        "annotations": [entry | {"id": 1, "iscrowd": 0, "segmentation": mask}],
        "categories": [{"id": 1}],
    }
    result = {"image_id": 1, "category_id": 1, "bbox": [10, 0, 3, 40], "keypoints": points, "segmentation": mask, "score": 0.5}
    assert coco_metrics(truth, [result], "keypoints")["mAP50-95"] == pytest.approx(1.0)
    assert coco_metrics(truth, [result], "segm")["mAP50-95"] == pytest.approx(1.0)
    far = result | {"keypoints": [value + 30 for value in points], "segmentation": {"size": [40, 40], "counts": [900, 100, 600]}}
    assert coco_metrics(truth, [far], "keypoints")["mAP50"] == 0.0
    assert coco_metrics(truth, [far], "segm")["mAP50"] == 0.0


def test_the_metric_says_what_it_needs(annotated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pycocotools", "pycocotools.coco", "pycocotools.cocoeval"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EspdlError, match="needs pycocotools") as error:
        coco_metrics(CocoData(annotated).truth, [])
    assert error.value.hint == "pip install 'espdl[evaluate]'"


def test_ids_of_categories(annotated: Path) -> None:
    data = CocoData(annotated.parent)
    assert data.category_ids(2) == (4, 9)
    assert data.category_ids(80) == COCO_IDS
    with pytest.raises(EspdlError, match="2 categories, the model 3 classes"):
        data.category_ids(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "needs lists of images"),
        ({"images": [{"id": 1}]}, "an entry of 'images' lacks"),
        ({"annotations": [{"image_id": 10, "category_id": 4}]}, "an entry of 'annotations' lacks"),
        ({"annotations": [{"image_id": 99, "category_id": 4, "bbox": [0, 0, 1, 1]}]}, "annotation 1 is of no picture"),
        ({"annotations": [{"image_id": 10, "category_id": 4, "bbox": [0, 0]}]}, "annotation 1 is of no picture"),
        ({"images": [{"id": 10, "file_name": "gone.png"}], "annotations": []}, "1 of 1 pictures are not there"),
    ],
)
def test_annotations_that_are_none(annotated: Path, change: dict, message: str) -> None:
    annotated.write_text(json.dumps(json.loads(annotated.read_text()) | change))
    with pytest.raises(EspdlError, match=message):
        CocoData(annotated)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(EspdlError, match="holds 0 JSON files"):
        CocoData(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(EspdlError, match="cannot be read"):
        CocoData(tmp_path)


def test_things_without_a_mask_are_no_masks() -> None:
    mask = np.ones((2, 2), np.uint8)
    found = [Detection(0, 0.9, (0, 0, 2, 2)), Detection(1, 0.8, (0, 0, 2, 2), (), mask)]
    assert [one["score"] for one in entries(found, 7, (1, 2), (4, 4), "segm")] == [0.8]
    assert [one["score"] for one in entries(found, 7, (1, 2), (4, 4), "bbox")] == [0.9, 0.8]


def test_outputs_of_the_float_network() -> None:
    arrays = {"score0": np.zeros((1, 3, 4, 5), np.float32), "other": np.zeros((1, 2), np.float32)}
    assert float_outputs(arrays, {"score0": [1, 4, 5, 3]})["score0"].values.shape == (4, 5, 3)
    assert float_outputs({"score0": np.zeros((1, 4, 5, 3))}, {"score0": [1, 4, 5, 3]})["score0"].is_float
    with pytest.raises(EspdlError, match="no output 'box0'"):
        float_outputs(arrays, {"box0": [1, 4, 5, 3]})
    with pytest.raises(EspdlError, match="output 'score0' of the float network is"):
        float_outputs(arrays, {"score0": [1, 9, 5, 3]})
