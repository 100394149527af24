"""From a picture to its text: the PPOCR component of ESP-DL's model zoo (runtime spec 7.11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from espdl.vision.image import Mark, Source
from espdl.vision.ocr.detector import TextBox, TextDetector, colours
from espdl.vision.ocr.recognizer import TextRecognizer, aspect_ratio

SCORE_THRESHOLD = 0.5


@dataclass(frozen=True)
class Text:
    """A line that was read.

    Attributes:
        text: what it says.
        score: the mean probability of its characters.
        box: where it is.
    """

    text: str
    score: float
    box: TextBox

    def to_dict(self) -> dict[str, Any]:
        return {"text": self.text, "score": round(self.score, 6), **self.box.to_dict()}

    def mark(self) -> Mark:
        """How it is drawn over its picture: an outline. Its text may have characters that no font at hand has, so it is left out."""
        return Mark(polygon=self.box.points, label=self.text if self.text.isascii() else "", color=4)


class PPOCR:
    """Finds text and reads it.

    Args:
        detector: finds lines.
        recognizer: reads them.
        wide: reads lines that are wider than ``recognizer`` takes whole (ESP-DL's dual mode); None squeezes them.
        threshold: lines with a lower score are left out.
    """

    def __init__(
        self,
        detector: TextDetector,
        recognizer: TextRecognizer,
        wide: TextRecognizer | None = None,
        *,
        threshold: float = SCORE_THRESHOLD,
    ) -> None:
        self.detector = detector
        self.recognizer = recognizer
        self.wide = wide
        self.threshold = threshold

    def run(self, image: Source) -> list[Text]:
        """The text of a picture, line by line in the order of reading.

        Raises:
            EspdlError: for a picture that cannot be read.
        """
        picture = colours(image)
        texts = []
        for box in self.detector.run(picture):
            reading = self._recognizer_for(box).run(picture, box.points)
            if reading.score >= self.threshold:
                texts.append(Text(reading.text, reading.score, box))
        return texts

    def _recognizer_for(self, box: TextBox) -> TextRecognizer:
        if self.wide is not None and aspect_ratio(box.points) > self.recognizer.aspect_ratio:
            return self.wide
        return self.recognizer
