"""From pictures to records, with a network whose answers are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.vision.detect import (
    COCODetect,
    Detection,
    Detector,
    HandDetect,
    HumanFaceDetect,
    PedestrianDetect,
    draw_detections,
    open_detector,
    outputs_of,
)
from espdl.vision.detect.components import square
from espdl.vision.detect.families import FAMILIES, guess_family
from tests.vision.detect.networks import POSTPROCESSORS, quiet
from tests.vision.squares import BLUE, GREEN, picture


def test_squares_are_found_where_they_are(squares: Path) -> None:
    found = Detector(squares, labels=("green", "blue")).run(picture((16, 32, GREEN), (48, 0, BLUE)))
    assert [(one.label, one.category, one.box) for one in found] == [("blue", 1, (48, 0, 63, 16)), ("green", 0, (16, 32, 32, 48))]
    assert all(one.score == pytest.approx(0.982014, abs=1e-6) for one in found)


def test_a_letterbox_is_undone(squares: Path) -> None:
    wide = picture((32, 0, GREEN), (96, 32, BLUE), width=128, height=64, side=32)
    boxes = [(one.category, one.box) for one in Detector(squares).run(wide)]
    assert boxes == [(0, (32, 0, 64, 32)), (1, (96, 32, 127, 63))]


def test_every_kind_of_picture_is_taken(squares: Path, tmp_path: Path) -> None:
    pixels = picture((16, 32, GREEN))
    Image.fromarray(pixels).save(tmp_path / "square.png")
    detector = Detector(Model(squares))
    results = [
        detector.run(source)
        for source in (pixels, Image.fromarray(pixels), tmp_path / "square.png", (tmp_path / "square.png").read_bytes())
    ]
    assert len(results[0]) == 1
    assert all(result == results[0] for result in results)


def test_options_reach_the_postprocessor(squares: Path) -> None:
    pixels = picture((0, 0, GREEN), (16, 0, GREEN), (32, 0, GREEN))
    assert len(Detector(squares, top_k=2).run(pixels)) == 2
    assert Detector(squares, score_threshold=0.99).run(pixels) == ()
    assert Detector(squares, nms_threshold=0.0).run(pixels) != Detector(squares).run(pixels), "neighbours share an edge"


def test_components_have_their_numbers(squares: Path) -> None:
    hand = HandDetect(squares)
    assert (hand.postprocessor.score_threshold, hand.postprocessor.nms_threshold, hand.labels) == (0.25, 0.5, ("hand",))
    assert HandDetect(squares, score_threshold=0.4).postprocessor.score_threshold == 0.4
    assert [one.label for one in HumanFaceDetect(squares).run(picture((0, 0, GREEN)))] == ["face"]


def test_a_component_of_another_family_names_the_output(squares: Path) -> None:
    with pytest.raises(EspdlError, match=r"output 'box0' has 4 channels .it takes 64"):
        COCODetect(squares)
    with pytest.raises(EspdlError, match="no output 'bbox0'"):
        PedestrianDetect(squares)
    with pytest.raises(EspdlError, match="there is no type 'yolo12'") as error:
        Detector(squares, "yolo12")
    assert "yolo11" in error.value.hint


def test_stages_are_asked_for_and_refused(squares: Path) -> None:
    with pytest.raises(EspdlError, match="no second stage with espdet"):
        open_detector(squares, second=squares)
    with pytest.raises(EspdlError, match="channels"):
        HumanFaceDetect(squares, squares)
    with pytest.raises(EspdlError, match=r"output 'score0' has 8 x 8 cells .an input of 64 x 32"):
        POSTPROCESSORS["espdet"].check_input(outputs_of(Model(squares).get_outputs()), 64, 32)


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_a_family_is_known_by_its_outputs(kind: str) -> None:
    classes = 5
    arrays, exponents = quiet(kind, classes=classes)
    assert guess_family(outputs_of(arrays, exponents)).postprocessor.kind == kind


def test_unknown_outputs_are_listed() -> None:
    with pytest.raises(EspdlError, match="no detector that is known") as error:
        guess_family(outputs_of({"y": np.zeros((1, 2, 2, 7), np.int8)}, {"y": 0}))
    assert "y [2, 2, 7]" in str(error.value)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 30, 60), (0, 20, 40, 60)),  # 40 long about (20, 40)
        ((0, 0, 9, 4), (0, 0, 9, 7)),  # 9 long from (0, -2), clipped
        ((90, 70, 99, 79), (90, 70, 99, 79)),
    ],
)
def test_boxes_become_squares(box: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert square(box, 100, 80) == expected


def test_what_was_found_is_drawn() -> None:
    pixels = picture()
    mask = np.ones((20, 20), np.uint8)
    drawn = np.asarray(
        draw_detections(
            pixels, [Detection(0, 0.9, (30, 30, 50, 50), ((40, 40), (0, 0)), mask), Detection(3, 0.5, (2, 40, 20, 60))]
        )
    )
    changed = (drawn != pixels).any(axis=2)
    assert changed[30:51, 30].all() and changed[30, 30:51].all(), "the box"
    assert changed[45, 45] and changed[40, 40], "mask and key point"
    assert not changed[0, 0] and not changed[62, 62]
    assert changed[40:61, 20].all()
    assert tuple(drawn[50, 20]) != tuple(drawn[50, 50]), "classes have colours of their own"
    assert (np.asarray(draw_detections(pixels, [])) == pixels).all()
