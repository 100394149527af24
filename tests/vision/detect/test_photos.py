"""Real networks on real photos: their recorded outputs against scalar loops, and photos against what chips printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from espdl.rounding import Rounding
from espdl.vision.detect import YOLO26, COCODetect, COCOPose, COCOSeg, HumanFaceDetect, PedestrianDetect, outputs_of
from espdl.vision.detect.components import Component
from espdl.vision.detect.families import FAMILIES, guess_family
from espdl.vision.detect.placement import Placement
from espdl.vision.image import Border, letterbox
from tests.vision.detect import oracle

GOLDEN = {
    "p4_coco_detect_yolo11n_320_s8_v1": ("yolo11", (405, 540)),
    "s3_coco_detect_yolo11n_320_s8_v1": ("yolo11", (405, 540)),
    "s3_coco_pose_yolo11n_pose_s8_v2": ("yolo11pose", (405, 540)),
    "p4_yolo26n_512_s8_p4": ("yolo26", (405, 540)),
    "p4_espdet_pico_224_224_face": ("espdet", (320, 240)),
    "s3_espdet_pico_224_224_face": ("espdet", (320, 240)),
    "p4_human_face_detect_msr_s8_v1": ("msr", (320, 240)),
    "s3_human_face_detect_msr_s8_v1": ("msr", (320, 240)),
    "p4_human_face_detect_mnp_s8_v1": ("mnp", (320, 240)),
    "s3_human_face_detect_mnp_s8_v1": ("mnp", (320, 240)),
    "s3_pedestrian_detect_pico_s8_v1": ("pico", (640, 480)),
}


def recorded(conformance: Path, name: str) -> tuple[dict, dict, dict]:
    with np.load(conformance / f"golden/{name}_image.npz") as arrays:
        meta = json.loads(str(arrays["meta"]))
        outputs = {key[4:]: arrays[key] for key in arrays.files if key.startswith("out:")}
        meta["input"] = next(arrays[key].shape for key in arrays.files if key.startswith("in:"))
    return outputs, {output["name"]: output["exponent"] for output in meta["outputs"]}, meta


def placed(meta: dict, size: tuple[int, int]) -> Placement:
    _, height, width, _ = meta["input"]
    crop = meta["prep"]["crop"] or (0, 0, *size)
    source = (crop[2] - crop[0], crop[3] - crop[1])
    border = letterbox(size, (width, height)) if meta["prep"]["letterbox"] else Border()
    active = (width - border.left - border.right, height - border.top - border.bottom)
    inverse = [np.float32(a) / np.float32(b) for a, b in zip(source, active, strict=True)]
    return Placement(*inverse, border.left, border.top, *crop[:2])


@pytest.mark.parametrize("name", GOLDEN)
def test_recorded_outputs_as_in_scalar_loops(conformance: Path, name: str) -> None:
    kind, size = GOLDEN[name]
    arrays, exponents, meta = recorded(conformance, name)
    outputs, place = outputs_of(arrays, exponents), placed(meta, size)
    family = guess_family(outputs)
    assert family is FAMILIES[kind]
    made = family.postprocessor(family.score_threshold, family.nms_threshold, family.top_k, Rounding(meta["rounding"]))
    found = made.postprocess(outputs, place, size)
    if kind == "yolo26":
        expected = oracle.decode_yolo26(arrays, exponents, score_thr=0.25)
    else:
        where = (place.inverse_x, place.inverse_y, place.left, place.top, place.crop_x, place.crop_y)
        options = {"score_thr": family.score_threshold, "nms_thr": family.nms_threshold, "top_k": family.top_k}
        expected = oracle.decode(kind, arrays, exponents, where, size, rounding=meta["rounding"], **options)
    assert expected
    assert [(one.category, list(one.box), [list(p) for p in one.keypoints]) for one in found] == [
        (one["category"], one["box"], one.get("keypoints", [])) for one in expected
    ]
    assert [one.score for one in found] == pytest.approx([float(one["score"]) for one in expected], abs=1e-6)


def test_the_scores_that_a_chip_printed_for_pedestrians(conformance: Path) -> None:
    arrays, exponents, meta = recorded(conformance, "s3_pedestrian_detect_pico_s8_v1")
    found = PedestrianDetect(conformance / "models/esp32s3/pedestrian_detect_pico_s8_v1.espdl", target="esp32s3")
    records = found.postprocessor.postprocess(outputs_of(arrays, exponents), placed(meta, (640, 480)), (640, 480))
    logged = logs(conformance, "PedestrianDetect")
    assert [one.score for one in records] == pytest.approx([one["score"] for one in logged], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("s3_pedestrian_detect_pico_s8_v1", PedestrianDetect),
        ("p4_coco_detect_yolo11n_320_s8_v1", COCODetect),
        ("s3_coco_pose_yolo11n_pose_s8_v2", COCOPose),
        ("p4_yolo26n_512_s8_p4", YOLO26),
    ],
)
def test_photos_resized_as_for_the_recorded_outputs(conformance: Path, name: str, make: type[Component]) -> None:
    arrays, exponents, meta = recorded(conformance, name)
    chip, _, model = name.partition("_")
    target = {"s3": "esp32s3", "p4": "esp32p4"}[chip]
    detector = make(
        conformance / f"models/{target}/{model}.espdl", target=target, resampling="antialiased", arithmetic="reference"
    )
    found = detector.run(conformance / "vision" / Path(meta["prep"]["image"]).name)
    size = (detector.preprocessor.geometry.source_width, detector.preprocessor.geometry.source_height)
    outputs, place = outputs_of(arrays, exponents), placed(meta, size)
    assert found == detector.labelled(detector.postprocessor.postprocess(outputs, place, size))
    assert len(found) > 2


def logs(conformance: Path, pipeline: str) -> list[dict]:
    cases = json.loads((conformance / "vision/device_logs.json").read_text())["cases"]
    return next(case["result"] for case in cases if case["pipeline"] == pipeline)


def pipeline(name: str, models: Path):
    if name == "HumanFaceDetect":
        files = [models / f"esp32s3/human_face_detect_{stage}_s8_v1.espdl" for stage in ("msr", "mnp")]
        return HumanFaceDetect(*files, target="esp32s3"), "human_face.jpg"
    if name == "PedestrianDetect":
        return PedestrianDetect(models / "esp32s3/pedestrian_detect_pico_s8_v1.espdl", target="esp32s3"), "pedestrian.jpg"
    if name == "COCOSeg":
        return COCOSeg(models / "esp32p4/coco_seg_yolo11n_seg_s8_v1.espdl", target="esp32p4"), "bus.jpg"
    return YOLO26(models / "esp32p4/yolo26n_512_s8_p4.espdl", target="esp32p4"), "bus.jpg"


# How far scores and edges may lie apart. The chip decoded the JPEG file with a decoder of its own. Two decoders of the PC, both right to
# a step of a pixel's value, differ by as much: 0.56 to 0.99 in the score of the face.
@pytest.mark.parametrize(
    ("name", "score", "edge"),
    [("COCOSeg", 1e-6, 8), ("YOLO26", 0.035, 2), ("PedestrianDetect", 0.02, 5), ("HumanFaceDetect", 0.0125, 4)],
)
def test_photos_as_chips_saw_them(conformance: Path, name: str, score: float, edge: int) -> None:
    finder, photo = pipeline(name, conformance / "models")
    found = list(finder.run(conformance / "vision" / photo))
    logged = logs(conformance, name)
    assert len(found) == len(logged)
    for expected in logged:
        nearest = min(found, key=lambda one: np.abs(np.subtract(one.box, expected["box"])).max())
        assert np.abs(np.subtract(nearest.box, expected["box"])).max() <= edge
        assert nearest.score == pytest.approx(expected["score"], abs=score)
        if "category" in expected:
            assert expected["category"] in (nearest.category, nearest.label)
        if "mask_pixels" in expected:
            assert nearest.mask_pixels == pytest.approx(expected["mask_pixels"], rel=0.02)
        for point, place in nearest.to_json().get("keypoints", {}).items():
            assert np.abs(np.subtract(place, expected[point])).max() <= edge


def test_people_and_a_bus(conformance: Path) -> None:
    models, photo = conformance / "models", conformance / "vision/bus.jpg"
    for target in ("esp32p4", "esp32s3"):
        found = COCODetect(models / target / "coco_detect_yolo11n_320_s8_v1.espdl", target=target).run(photo)
        assert sorted(one.label for one in found) == ["bus", "person", "person", "person"]
    people = COCOPose(models / "esp32s3/coco_pose_yolo11n_pose_s8_v2.espdl", target="esp32s3").run(photo)
    first = people[0].to_json()["keypoints"]
    assert len(people) == 4
    assert first["nose"][1] < first["left_hip"][1] < first["left_knee"][1] < first["left_ankle"][1]
    assert all(people[0].box[0] <= x <= people[0].box[2] for x, y in people[0].keypoints if (x, y) != (0, 0))
