"""Reading text: decoding and boxes by hand, and a photo beside what a chip printed for it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from espdl import EspdlError
from espdl.rounding import Rounding
from espdl.vision.image import Image
from espdl.vision.ocr import PPOCR, TextBox, TextDetector, TextRecognizer, ctc_decode, read_charset, text_boxes, text_crop
from espdl.vision.ocr.detector import in_reading_order
from espdl.vision.ocr.recognizer import aspect_ratio

CLASSES = 6906
ASCII = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHARSET = ("", *ASCII, *("□" * (CLASSES - 2 - len(ASCII))), " ")
"""The beginning and the end of PP-OCRv6's dictionary; its Chinese characters are shown as boxes."""


@pytest.fixture(scope="module")
def log(conformance: Path) -> list[dict[str, Any]]:
    cases = json.loads((conformance / "vision/device_logs.json").read_text())["cases"]
    return next(case["result"] for case in cases if case["pipeline"] == "PPOCR")


@pytest.fixture(scope="module")
def detector(conformance: Path) -> TextDetector:
    return TextDetector(conformance / "models/esp32p4/pp_ocr_v6_det_s8.espdl", target="esp32p4")


@pytest.fixture(scope="module")
def recognizer(conformance: Path) -> TextRecognizer:
    return TextRecognizer(conformance / "models/esp32p4/pp_ocr_v6_rec_s16.espdl", CHARSET, target="esp32p4")


def logits(steps: list[int], classes: int = 5, best: int = 40) -> NDArray[np.int8]:
    array = np.zeros((len(steps), classes), np.int8)
    array[np.arange(len(steps)), steps] = best
    return array


def test_decoding_by_hand() -> None:
    found = ctc_decode(logits([0, 1, 1, 0, 1, 2, 2, 0, 4]), -2, ("", "a", "b", "c", "d"))
    assert (found.text, found.classes) == ("aabd", (1, 1, 2, 4))
    assert found.score == pytest.approx(1 / (1 + 4 * np.exp(-10)))
    assert ctc_decode(logits([0, 0]), -2, CHARSET).text == "" and ctc_decode(logits([0, 0]), -2, CHARSET).score == 0
    tie = np.array([[1, 7, 7]], np.int8)
    assert ctc_decode(tie, 0, ("", "a", "b")).text == "a"
    assert ctc_decode(tie, 0, ("",)).text == "?"


def block(map_: NDArray, x: int, y: int, width: int, height: int, value: int = 60) -> None:
    map_[y : y + height, x : x + width] = value


def test_boxes_of_a_drawn_map() -> None:
    map_ = np.full((60, 80), -1, np.int8)
    block(map_, 10, 10, 30, 8)
    block(map_, 50, 40, 2, 15)  # too thin
    block(map_, 60, 5, 12, 8, 20)  # too weak: 20 / 64
    block(map_, 20, 40, 20, 8, 13)  # at the threshold, not above
    (box,) = text_boxes(map_, -6, (160, 120), 0.5, Rounding.HALF_EVEN)
    by = 29 * 7 * 1.4 / (2 * (29 + 7))  # the rectangle goes through the centres of the outermost pixels
    low, high = (round(2 * (10 - by)), round(2 * (10 - by))), (round(2 * (39 + by)), round(2 * (17 + by)))
    assert box.points == ((low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1]))
    assert box.score == pytest.approx(60 / 64)
    assert text_boxes(map_, -6, (40, 30), 0.5, Rounding.HALF_EVEN)[0].points[2] == (39, 29)  # clipped to the picture
    assert text_boxes(np.full((9, 9), -1, np.int8), -6, (9, 9), 1, Rounding.HALF_UP) == []


def test_the_order_of_reading() -> None:
    def box(x: int, y: int) -> TextBox:
        return TextBox(((x, y), (x + 5, y), (x + 5, y + 5), (x, y + 5)), 1)

    order = in_reading_order([box(50, 100), box(90, 12), box(10, 20), box(70, 15), box(5, 31)])
    assert [one.points[0] for one in order] == [(10, 20), (70, 15), (90, 12), (5, 31), (50, 100)]


def test_crops_are_straight_and_upright_lines_are_turned() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    crop = text_crop(Image(pixels), [(5, 8), (25, 8), (25, 18), (5, 18)])
    assert np.array_equal(crop.data, pixels[8:18, 5:25])
    crop = text_crop(Image(pixels), [(5, 8), (15, 8), (15, 28), (5, 28)])
    assert np.array_equal(crop.data, np.rot90(pixels[8:28, 5:15]))
    assert aspect_ratio([(0, 0), (30, 0), (30, 10), (0, 10)]) == 3 == aspect_ratio([(0, 0), (10, 0), (10, 30), (0, 30)])
    assert aspect_ratio([(0, 0), (10, 0), (10, 14), (0, 14)]) == pytest.approx(10 / 14)
    assert aspect_ratio([(0, 0)] * 4) == 0


def test_golden_readings(recognizer: TextRecognizer, conformance: Path) -> None:
    for kind, exponent in (("s8", -2), ("s16", -8)):
        with np.load(conformance / f"golden/p4_pp_ocr_v6_rec_{kind}_image.npz") as golden:
            assert ctc_decode(golden["out:Add.107"][0], exponent, CHARSET).text == "522 X32-6 901"
            if kind == "s16":
                recognizer.model.run_arrays({"x": golden["in:x"]})
                assert recognizer.decode().text == "522 X32-6 901"


def test_what_the_recogniser_is_fed(recognizer: TextRecognizer) -> None:
    line = np.full((24, 60, 3), (255, 128, 0), np.uint8)
    recognizer.preprocess(line)
    data = recognizer.model.get_input().data[0]
    assert (data[:, :120] == [-(2**14), round((128 / 255 - 0.5) * 2 * 2**14), 2**14]).all()  # blue first, twice as large
    assert not data[:, 120:].any()
    recognizer.preprocess(np.full((4, 4000, 3), 255, np.uint8))  # squeezed into the width of the model
    assert (data == 2**14).all()


def test_where_the_detector_puts_a_picture(detector: TextDetector) -> None:
    canvas, scale = detector.canvas(np.full((368, 92), 200, np.uint8))
    assert scale == 2 and (canvas.data[:, :184] == 200).all() and (canvas.data[:, 184:] == 127).all()


def test_boxes_of_the_golden_map(detector: TextDetector, conformance: Path, log: list[dict[str, Any]]) -> None:
    """The golden run resized the picture to the nearest pixel, so its boxes are only near those that the chip printed."""
    with np.load(conformance / "golden/p4_pp_ocr_v6_det_s8_image.npz") as golden:
        map_ = golden["out:fetch_name_0"][0, :, :, 0]
    boxes = text_boxes(map_, -6, (750, 1170), 736 / 1170, Rounding.HALF_EVEN)
    assert len(boxes) == len(log)
    for box, expected in zip(boxes, log, strict=True):
        assert np.abs(np.array(box.points) - expected["box"]).max() <= 4


def test_a_photo_as_a_chip_read_it(
    detector: TextDetector, recognizer: TextRecognizer, conformance: Path, log: list[dict[str, Any]]
) -> None:
    """The chip's log does not say with which recogniser; its JPEG decoder is another one."""
    texts = PPOCR(detector, recognizer).run(conformance / "vision/pp_ocr_v6.jpg")
    assert len(texts) == len(log) == 27
    meaning: dict[int, str] = {}
    same = 0
    for found, expected in zip(texts, log, strict=True):
        off = np.abs(np.array(found.box.points) - expected["box"]).max()
        assert off <= 4 or (off <= 8 and len({y for _, y in expected["box"]}) == 4)  # one box is turned
        assert found.box.score == pytest.approx(expected["det_score"], abs=0.12)
        assert found.score == pytest.approx(expected["score"], abs=0.08)
        reading = recognizer.run(conformance / "vision/pp_ocr_v6.jpg", found.box.points)
        if len(reading.classes) != len(expected["text"]):
            continue
        fits = [
            meaning.get(number, character) == character
            for number, character in zip(reading.classes, expected["text"], strict=True)
        ]
        if not all(fits):
            continue
        same += 1
        meaning.update(zip(reading.classes, expected["text"], strict=True))
    assert same >= 20
    ascii_ = {number: character for number, character in meaning.items() if character.isascii()}
    wrong = {number: character for number, character in ascii_.items() if CHARSET[number] != character}
    assert len(ascii_) > 25 and len(wrong) <= 1
    chinese = [character for _, character in sorted(meaning.items()) if "一" <= character <= "鿿"]
    misread = sum(one > following for one, following in pairwise(chinese))  # the dictionary is in the order of Unicode
    assert len(chinese) > 70 and misread <= 1


class Fake:
    """A recogniser of lines up to twice as wide as high."""

    aspect_ratio = 2.0


def test_wide_lines_go_to_the_wide_recogniser(detector: TextDetector) -> None:
    short, wide = Fake(), Fake()
    ocr = PPOCR(detector, short, wide)  # type: ignore[arg-type]
    for height, chosen in ((10, short), (4, wide), (60, wide)):
        assert ocr._recognizer_for(TextBox(((0, 0), (20, 0), (20, height), (0, height)), 1)) is chosen
    assert PPOCR(detector, short)._recognizer_for(TextBox(((0, 0), (20, 0), (20, 2), (0, 2)), 1)) is short  # type: ignore[arg-type]


def test_character_files(tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_text('a\n字\n"\n', encoding="utf-8")
    assert read_charset(path, 4) == ("", "a", "字", '"')
    assert read_charset(path, 5) == ("", "a", "字", '"', " ")
    path.write_text("\na\r\n字\n", encoding="utf-8")
    assert read_charset(path, 3) == ("", "a", "字")
    header = 'const char *charset[] = {\n    "", // blank\n    "\\x61", "\\xe5\\xad\\x97",\n    '
    header += '"\\\\", "\\"", " ",\n};\nint n = 1; // "not"\n'
    path.write_text(header)
    assert read_charset(path, 6) == ("", "a", "字", "\\", '"', " ")
    with pytest.raises(EspdlError, match="6 characters do not fit a model of 9 classes"):
        read_charset(path, 9)
    path.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(EspdlError, match="cannot be read"):
        read_charset(path, 9)


def test_other_models_are_refused(conformance: Path, recognizer: TextRecognizer) -> None:
    with pytest.raises(EspdlError, match="finds no text"):
        TextDetector(recognizer.model)
    with pytest.raises(EspdlError, match="2 characters, the model has 6906 classes"):
        TextRecognizer(recognizer.model, ("", "a"))
    with pytest.raises(EspdlError, match="reads no text"):
        TextRecognizer(conformance / "models/esp32p4/sv_tdnn_tiny_3s.espdl", CHARSET, target="esp32p4")
