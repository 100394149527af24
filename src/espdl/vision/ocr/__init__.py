"""Reading text in pictures: PP-OCRv6, its detector and its recogniser (runtime spec 7.11)."""

from __future__ import annotations

from espdl.vision.ocr.charset import read_charset
from espdl.vision.ocr.detector import TextBox, TextDetector, text_boxes
from espdl.vision.ocr.pipeline import PPOCR, Text
from espdl.vision.ocr.recognizer import Reading, TextRecognizer, ctc_decode, text_crop

__all__ = [
    "PPOCR",
    "Reading",
    "Text",
    "TextBox",
    "TextDetector",
    "TextRecognizer",
    "ctc_decode",
    "read_charset",
    "text_boxes",
    "text_crop",
]
