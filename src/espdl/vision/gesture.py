"""Gestures of hands: the HandGestureRecognizer component of ESP-DL's model zoo (runtime spec 7.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from espdl.vision.classify import Classification, HandGestureCls
from espdl.vision.detect.detector import Finder
from espdl.vision.detect.records import Detection
from espdl.vision.image import Source, read_image


@dataclass(frozen=True)
class Gesture:
    """A hand and what it shows.

    Attributes:
        hand: as the detector found it.
        classes: the gestures it may be, the likeliest first.
    """

    hand: Detection
    classes: tuple[Classification, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"hand": self.hand.to_json(), "classes": [one.to_dict() for one in self.classes]}


class HandGestureRecognizer:
    """Finds hands and tells their gestures.

    Args:
        detector: finds hands (:class:`~espdl.vision.detect.HandDetect`).
        classifier: looks at the box of each.
    """

    def __init__(self, detector: Finder, classifier: HandGestureCls) -> None:
        self.detector = detector
        self.classifier = classifier

    def run(self, image: Source) -> list[Gesture]:
        """The hands of a picture and their gestures, in the order of the detector; a hand whose box is empty is left out.

        Raises:
            EspdlError: for a picture that cannot be read.
        """
        picture = read_image(image)
        hands = [hand for hand in self.detector.run(picture) if hand.box[0] < hand.box[2] and hand.box[1] < hand.box[3]]
        return [Gesture(hand, tuple(self.classifier.run(picture, hand.box))) for hand in hands]
