"""The demonstration: from ONNX to answers on real digits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from espdl.demo.digits import TEST_IMAGES, Digits, load_digits
from espdl.demo.drawing import save_picture, text_drawing
from espdl.demo.pipeline import Answers, DemoResult, network_bytes
from espdl.errors import EspdlError


def test_split_is_fixed_and_disjoint() -> None:
    pytest.importorskip("sklearn")
    training, test = load_digits()
    assert (len(training), len(test)) == (1797 - TEST_IMAGES, TEST_IMAGES)
    assert test.images.shape == (TEST_IMAGES, 1, 8, 8)
    assert test.images.min() >= 0
    assert test.images.max() == 1
    assert test.labels[:10].tolist() == [int(label) for label in load_digits()[1].labels[:10]]
    known = {image.tobytes() for image in training.images}
    assert not known & {image.tobytes() for image in test.images}, "no test image may be among the training images"


def test_shipped_network() -> None:
    data = network_bytes()
    assert len(data) < 100_000
    network = onnx.load_model_from_string(data)
    onnx.checker.check_model(network)
    assert [entry.version for entry in network.opset_import] == [18]
    operators = {node.op_type for node in network.graph.node}
    assert operators >= {"Conv", "Sigmoid", "Mul", "Add", "GlobalAveragePool", "Gemm"}
    for word in (b"/home", b"/work", b"/tmp", b".py"):
        assert word not in data


def test_without_scikit_learn_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(EspdlError, match="pip install scikit-learn"):
        load_digits()


@pytest.fixture
def answers() -> Answers:
    """Twenty images, the last two of them read as the next digit."""
    labels = np.arange(20) % 10
    images = np.random.default_rng(1).random((20, 1, 8, 8), np.float32)
    logits = np.eye(10, dtype=np.float32)[labels] * 5
    quantized = logits.copy()
    quantized[18:] = np.roll(quantized[18:], 1, axis=1)
    return Answers(Digits(images, labels), logits, quantized)


def test_answers(answers: Answers) -> None:
    assert answers.examples() == list(range(10))
    assert answers.mistakes() == [18, 19]
    np.testing.assert_allclose(answers.int8_probabilities.sum(axis=1), 1, rtol=1e-6)


def test_text_drawing(answers: Answers) -> None:
    lines = text_drawing(answers).splitlines()
    assert len(lines) == 19
    assert max(map(len, lines)) <= 100
    assert lines[8].split() == ["0", "(94", "%)", "1", "(94", "%)", "2", "(94", "%)", "3", "(94", "%)", "4", "(94", "%)"]


def test_picture_shows_mistakes(answers: Answers, tmp_path: Path) -> None:
    result = DemoResult("chip", "silicon", "numpy", "f", 2, 1, 20, 8, 1.0, 0.9, 0.9, 20.0, "", True, {}, (), 1.0, 1.0)
    save_picture(tmp_path / "with.png", result, answers)
    right = Answers(answers.test, answers.float_logits, answers.float_logits)
    save_picture(tmp_path / "without.png", result, right)
    with Image.open(tmp_path / "with.png") as first, Image.open(tmp_path / "without.png") as second:
        assert first.width == second.width
        assert first.height > second.height
