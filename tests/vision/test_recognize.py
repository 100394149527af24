"""Features of faces: alignment by hand, the golden run, a recogniser with a detector that is a function."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from espdl import EspdlError
from espdl.vision.detect import Detection, HumanFaceDetect
from espdl.vision.image import Source, read_image
from espdl.vision.recognize import (
    FACE_TEMPLATE,
    FeatureDatabase,
    HumanFaceFeat,
    HumanFaceRecognizer,
    PersonReID,
    alignment_matrix,
    normalized,
    similarity_transform,
)

FACE = [(117, 114), (120, 160), (132, 143), (157, 112), (151, 160)]
"""Landmarks that a chip printed for human_face.jpg."""


class Found:
    """A detector that always finds the same."""

    def __init__(self, found: list[Detection]) -> None:
        self.found = found

    def run(self, image: Source) -> tuple[Detection, ...]:
        return tuple(self.found)


@pytest.fixture(scope="module")
def feat(conformance: Path) -> HumanFaceFeat:
    return HumanFaceFeat(conformance / "models/esp32s3/human_face_feat_mfn_s8_v1.espdl", target="esp32s3", arithmetic="reference")


@pytest.mark.parametrize(
    ("angle", "scale", "shift"), [(0, 1, (0, 0)), (30, 2, (5, -7)), (-90, 0.5, (0, 100)), (180, 1.5, (300, 2))]
)
def test_a_similarity_transform_is_found_again(angle: float, scale: float, shift: tuple[float, float]) -> None:
    c, s = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
    expected = np.array([[c, -s, shift[0]], [s, c, shift[1]]])
    points = FACE_TEMPLATE.astype(float)
    np.testing.assert_allclose(similarity_transform(points, points @ expected[:, :2].T + expected[:, 2]), expected, atol=1e-4)


def test_it_is_the_best_one_and_never_a_mirror() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 2)), rng.standard_normal((5, 2))
    best = similarity_transform(a, b).astype(float)

    def error(c: float, s: float, x: float, y: float) -> float:
        return float(((a @ np.array([[c, s], [-s, c]]) + (x, y) - b) ** 2).sum())

    parameters = np.array([best[0, 0], best[1, 0], best[0, 2], best[1, 2]])
    assert best[0, 0] == pytest.approx(best[1, 1]) and best[0, 1] == pytest.approx(-best[1, 0])
    for step in rng.standard_normal((50, 4)) * 0.01:
        assert error(*parameters) <= error(*(parameters + step)) + 1e-9
    mirrored = similarity_transform(a, a * (1, -1))
    assert np.linalg.det(mirrored[:, :2]) > 0


def test_landmarks_on_the_template_need_no_warp() -> None:
    np.testing.assert_allclose(alignment_matrix(FACE_TEMPLATE), [[1, 0, 0], [0, 1, 0]], atol=1e-4)
    np.testing.assert_allclose(alignment_matrix(FACE_TEMPLATE.ravel() * 2, 56, 56), [[4, 0, 0], [0, 4, 0]], atol=1e-4)
    with pytest.raises(EspdlError, match="five landmarks, given are 4"):
        alignment_matrix(FACE_TEMPLATE[:4])
    with pytest.raises(EspdlError, match="all landmarks are one point"):
        alignment_matrix(np.ones((5, 2)))
    with pytest.raises(EspdlError, match="finite"):
        alignment_matrix(np.full((5, 2), np.nan))


def test_length_one() -> None:
    assert normalized([3, 4]).tolist() == pytest.approx([0.6, 0.8])
    for values in ([0, 0], [np.inf, 1]):
        with pytest.raises(EspdlError, match="no direction"):
            normalized(values)


def test_the_golden_run(feat: HumanFaceFeat, conformance: Path) -> None:
    with np.load(conformance / "golden/s3_human_face_feat_mfn_s8_v1_image.npz") as golden:
        feat.model.run_arrays({"input": golden["in:input"]})
        raw = golden["out:embedding"].reshape(-1).astype(np.float64)
    feature = feat.feature()
    assert feature.shape == (512,) == (feat.feat_len,) and feature.dtype == np.float32
    np.testing.assert_allclose(feature, raw / np.sqrt((raw**2).sum()), atol=1e-6)


def test_a_face_is_known_again(feat: HumanFaceFeat, conformance: Path, tmp_path: Path) -> None:
    image = read_image(conformance / "vision/human_face.jpg")
    database = FeatureDatabase(tmp_path / "faces.db", feat.feat_len)
    found = [Detection(0, 1, (0, 0, 9, 9), tuple(FACE[::-1])), Detection(0, 0.9, (100, 64, 193, 191), tuple(FACE))]
    recognizer = HumanFaceRecognizer(feat, database, Found(found))
    assert recognizer.enroll(image) == 1  # the largest
    moved = np.roll(image.data, (3, 5), axis=(0, 1))
    (seen,) = recognizer.recognize(moved, [(x + 5, y + 3) for x, y in FACE])
    assert seen.matches[0].id == 1 and seen.matches[0].similarity > 0.99
    turned = np.ascontiguousarray(image.data[::-1, ::-1])
    (seen,) = recognizer.recognize(turned, [(319 - x, 239 - y) for x, y in FACE])
    assert seen.matches[0].similarity > 0.9
    assert recognizer.recognize(image)[0].box == (100, 64, 193, 191)
    assert len(recognizer.recognize(image, every=True)) == 2
    found.clear()
    assert recognizer.recognize(image) == []
    with pytest.raises(EspdlError, match="no face in the picture"):
        recognizer.enroll(image)
    with pytest.raises(EspdlError, match="nothing finds the faces"):
        HumanFaceRecognizer(feat, database).recognize(image)
    with pytest.raises(EspdlError, match="no database"):
        HumanFaceRecognizer(feat).enroll(image, FACE)
    with pytest.raises(EspdlError, match="have 8 numbers"):
        HumanFaceRecognizer(feat, FeatureDatabase(tmp_path / "other.db", 8))


def test_persons_by_their_boxes(feat: HumanFaceFeat, conformance: Path, tmp_path: Path) -> None:
    """With another model of features; the one of persons is not at hand."""
    image = read_image(conformance / "vision/pedestrian.jpg")
    boxes = [(143, 189, 251, 462), (282, 195, 370, 461)]
    persons = PersonReID(feat, FeatureDatabase(tmp_path / "x.db", 512), Found([Detection(0, 1, box) for box in boxes]))
    assert persons.enroll(image) == [1, 2]
    assert [seen.matches[0].id for seen in persons.recognize(image)] == [1, 2]
    (seen,) = persons.recognize(image, boxes[1])
    assert seen.to_dict()["box"] == list(boxes[1]) and seen.matches[0].similarity == pytest.approx(1, abs=1e-5)


def test_with_the_detector_of_faces(feat: HumanFaceFeat, conformance: Path, tmp_path: Path) -> None:
    folder = conformance / "models/esp32s3"
    stages = [folder / f"human_face_detect_{name}_s8_v1.espdl" for name in ("msr", "mnp")]
    detector = HumanFaceDetect(*stages, target="esp32s3")
    recognizer = HumanFaceRecognizer(feat, FeatureDatabase(tmp_path / "x.db", 512), detector)
    image = conformance / "vision/human_face.jpg"
    assert recognizer.enroll(image) == 1
    (seen,) = recognizer.recognize(image)
    assert seen.matches[0].similarity == pytest.approx(1, abs=1e-4)
    by_log = recognizer.feature(image, FACE)
    assert recognizer.feature(image) @ by_log > 0.8  # two pixels beside the landmarks that a chip printed
