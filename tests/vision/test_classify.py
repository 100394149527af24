"""Classifiers: scores, order, labels, and what the chip logged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.vision.classify import Classifier, ClsPostprocessor, HandGestureCls, ImageNetCls
from espdl.vision.image import ImagePreprocessor
from espdl.vision.labels import GESTURES, imagenet_labels, label_of, read_labels
from tests.models import node_file


def model_of(classes: int, dtype: Any = np.int8, exponent: int = -2) -> Model:
    """A model that gives what it gets."""
    value = ((1, classes), dtype, exponent)
    return Model(node_file("Identity", [value], [value], metadata={"target": "esp32s3"}))


def judged(model: Model, raw: list[float], **options: Any) -> list[tuple[int, float]]:
    model.run(np.array([raw], model.get_input().dtype.numpy))
    return [(found.index, found.score) for found in ClsPostprocessor(model, **options).postprocess()]


def softmax_as_in_c(raw: Iterable[int], scale: np.float32) -> list[float]:
    """In binary32, summed one after the other, the maximum not subtracted."""
    exponentials = [np.exp(np.float32(value) * scale) for value in raw]
    total = np.float32(0)
    for value in exponentials:
        total += value
    return [float(value / total) for value in exponentials]


def test_softmax_of_int8_as_on_the_chip() -> None:
    raw = [4, -8, 127, -128]
    wanted = sorted(enumerate(softmax_as_in_c(raw, np.float32(0.25))), key=lambda pair: -pair[1])
    got = judged(model_of(4), raw)
    assert [index for index, _ in got] == [index for index, _ in wanted]
    np.testing.assert_allclose([score for _, score in got], [score for _, score in wanted], rtol=1e-6)


def test_threshold_topk_and_raw_scores() -> None:
    model = model_of(5)
    assert judged(model, [1, 5, 3, 2, 4], need_softmax=False) == [(1, 1.25), (4, 1.0), (2, 0.75), (3, 0.5), (0, 0.25)]
    assert judged(model, [1, 5, 3, 2, 4], need_softmax=False, topk=2) == [(1, 1.25), (4, 1.0)]
    assert judged(model, [1, 5, 3, 2, 4], need_softmax=False, score_thr=1.0) == [(1, 1.25)]
    assert judged(model, [1, 5, 3, 2, 4], need_softmax=False, score_thr=2.0) == []


def test_equal_scores_stand_as_the_chip_leaves_them() -> None:
    model = model_of(24)
    numbers = [found for found, _ in judged(model, [1] * 24, need_softmax=False, topk=24)]
    assert sorted(numbers) == list(range(24))
    assert numbers != list(range(24))  # std::sort of more than 16 equal elements moves them
    assert [found for found, _ in judged(model_of(16), [1] * 16, topk=3)] == [0, 1, 2]


def test_float_and_int16_outputs() -> None:
    assert judged(model_of(3, np.float32), [0.5, 2.5, 1.0], need_softmax=False, topk=1) == [(1, 2.5)]
    with pytest.warns(UserWarning, match="output is INT16: a chip's classifier reads it as int8"):
        ((index, score),) = judged(model_of(2, np.int16, -1), [2, 0], topk=1)
    assert index == 0
    assert score == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-6)


def test_labels_and_numbers() -> None:
    model = model_of(3)
    model.run(np.array([[1, 3, 2]], np.int8))
    found = ClsPostprocessor(model, ["cat", ""]).postprocess()
    assert [one.label for one in found] == ["1", "2", "cat"]
    assert found[0].to_dict() == {"index": 1, "label": "1", "score": found[0].score}


def test_a_model_that_is_built_anew() -> None:
    value = ((1, 4, 4, 3), np.int8, -7)
    model = Model(node_file("Relu", [value], [value], metadata={"target": "esp32s3"}))
    classifier = Classifier(model, 0, 128, need_softmax=False)
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    before = classifier.run(pixels)
    assert before[0].index == 47
    model.build(10_000)
    assert classifier.run(pixels) == before
    model.build(input_shapes={"x0": [1, 2, 4, 3]})
    with pytest.raises(EspdlError, match="does not fit into int8"):
        classifier.run(pixels)


def test_refusals() -> None:
    with pytest.raises(EspdlError, match="the best 0 classes"):
        ClsPostprocessor(model_of(3), topk=0)
    with pytest.raises(EspdlError, match="nothing"):
        ClsPostprocessor(model_of(3), output_name="nothing")


def test_imagenet_labels() -> None:
    labels = imagenet_labels()
    assert len(labels) == 1000
    known = {
        0: "tench",
        281: "tabby",
        285: "Egyptian_cat",
        283: "Persian_cat",
        904: "window_screen",
        287: "lynx",
        999: "toilet_tissue",
    }
    assert {index: labels[index] for index in known} == known
    assert all(label and label.strip("_") == label for label in labels)


def test_label_files(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffcat\r\nbig dog\r\n\r\nBär\r\n\r\n".encode())
    assert read_labels(path) == ("cat", "big dog", "", "Bär")
    assert label_of(read_labels(path), 2) == "2"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EspdlError, match=r"labels.txt: the labels are no text"):
        read_labels(path)
    path.write_text("\n\n")
    with pytest.raises(EspdlError, match="there are no labels"):
        read_labels(path)
    with pytest.raises(EspdlError, match=r"none.txt: the labels cannot be read"):
        read_labels(tmp_path / "none.txt")


def log_of(conformance: Path, pipeline: str) -> list[tuple[str, float]]:
    cases = json.loads((conformance / "vision/device_logs.json").read_text())["cases"]
    return [(name, score) for name, score in next(case for case in cases if case["pipeline"] == pipeline)["result"]]


def imagenet(conformance: Path, chip: str, **options: Any) -> ImageNetCls:
    return ImageNetCls(Model(conformance / f"models/{chip}/imagenet_cls_mobilenetv2_s8_v1.espdl", target=chip), **options)


@pytest.mark.parametrize("chip", ["esp32p4", "esp32s3"])
def test_scores_of_the_golden_input(conformance: Path, chip: str) -> None:
    golden = np.load(conformance / f"golden/{chip[-2:]}_imagenet_cls_mobilenetv2_s8_v1_image.npz")
    classifier = imagenet(conformance, chip, arithmetic="reference", resampling="antialiased")
    found = classifier.run(conformance / "vision/cat.jpg")
    np.testing.assert_array_equal(classifier.model.get_output().data, golden["out:466"])
    wanted = softmax_as_in_c(golden["out:466"][0], np.float32(0.25))
    assert [one.score for one in found] == pytest.approx(sorted(wanted, reverse=True)[:5], abs=1e-6)
    assert [one.score for one in found] == pytest.approx([wanted[one.index] for one in found], abs=1e-6)


def test_what_the_chip_logged_for_the_cat(conformance: Path) -> None:
    """The chip's JPEG decoder is closed: scores are two steps of the output (1/4 in the logarithm) away at most."""
    log = dict(log_of(conformance, "ImageNetCls"))
    found = {one.label: one.score for one in imagenet(conformance, "esp32p4", topk=6).run(conformance / "vision/cat.jpg")}
    assert list(found)[:2] == list(log)[:2] == ["tabby", "Egyptian_cat"]
    assert log.keys() <= found.keys()
    assert max(abs(math.log(found[name] / score)) for name, score in log.items()) <= 0.5


def test_what_the_chip_logged_for_the_gesture(conformance: Path) -> None:
    ((name, score),) = log_of(conformance, "HandGestureRecognizer")
    classifier = HandGestureCls(Model(conformance / "models/esp32p4/mobilenetv2_0_5_128_128_gesture.espdl", target="esp32p4"))
    (found,) = classifier.run(conformance / "vision/gesture.jpg", crop=(115, 289, 181, 417))
    assert (found.label, round(found.score, 5)) == (name, score)
    assert GESTURES[found.index] == "one"


def test_a_classifier_is_its_parts(conformance: Path) -> None:
    path = conformance / "models/esp32p4/mobilenetv2_0_5_128_128_gesture.espdl"
    photo = conformance / "vision/gesture.jpg"
    model = Model(path, target="esp32p4")
    ImagePreprocessor(model, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)).preprocess(photo)
    model.run()
    parts = ClsPostprocessor(model, GESTURES, topk=3).postprocess()
    assert Classifier(path, labels=GESTURES, topk=3, target="esp32p4").run(photo) == parts
