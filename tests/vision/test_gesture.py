"""Gestures: a hand whose box is given by a detector that always finds the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from espdl.vision.classify import HandGestureCls
from espdl.vision.detect import Detection
from espdl.vision.gesture import HandGestureRecognizer
from espdl.vision.image import Source


class Hands:
    """Finds a hand and an empty box."""

    def run(self, image: Source) -> tuple[Detection, ...]:
        return Detection(0, 0.9, (115, 290, 176, 415)), Detection(0, 0.8, (5, 5, 5, 9))


def test_a_hand_as_a_chip_read_it(conformance: Path) -> None:
    classifier = HandGestureCls(conformance / "models/esp32p4/mobilenetv2_0_5_128_128_gesture.espdl", target="esp32p4")
    (found,) = HandGestureRecognizer(Hands(), classifier).run(conformance / "vision/gesture.jpg")
    assert found.classes[0].label == "one" and found.classes[0].score == pytest.approx(0.99996, abs=1e-4)
    assert found.to_dict()["hand"]["box"] == [115, 290, 176, 415]
