from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image as pillow

from espdl.api import espdl_quantize_onnx
from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.vision.evaluate import FloatNetwork, LabelledArrays, evaluate_classifier, open_labelled
from espdl.vision.evaluate.classification import NEVER, PictureOptions, in_layout, middle, rank_of
from espdl.vision.image import Image

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
PLAIN = PictureOptions(0, 255)


@pytest.fixture(scope="module")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that tells the colour of a picture of 8 pixels: 4 times the mean of each channel."""
    folder = tmp_path_factory.mktemp("colors")
    kernel = numpy_helper.from_array((4 * np.eye(3, dtype=np.float32))[:, :, None, None], "w")
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"], name="mean"),
        helper.make_node("Conv", ["mean", "w"], ["scaled"], name="conv"),
        helper.make_node("Flatten", ["scaled"], ["y"], name="flatten"),
    ]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [kernel],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "colors.onnx")
    batch = np.ones((1, 3, 8, 8), np.float32)
    espdl_quantize_onnx(
        folder / "colors.onnx", folder / "colors.espdl", [batch], 1, [1, 3, 8, 8], target="esp32s3", error_report=False
    )
    return folder / "colors.espdl"


def pixels(name: str) -> np.ndarray:
    return np.full((8, 8, 3), COLORS[name], np.uint8)


def test_shares_are_counted(colors: Path) -> None:
    samples = np.stack([pixels("red"), pixels("green"), pixels("blue"), pixels("blue")])
    data = LabelledArrays(samples, np.array([[0, -1], [2, 1], [0, -1], [-1, -1]]))
    found = evaluate_classifier(Model(colors), data, FloatNetwork(colors.with_suffix(".onnx")), PLAIN)
    assert found.to_dict() == {
        "samples": 4,
        "top1": 0.5,  # red, and green whose second label is right
        "top5": 0.75,  # one sample has no right class at all
        "float_top1": 0.5,
        "float_top5": 0.75,
        "agreement": 1.0,
    }
    assert evaluate_classifier(Model(colors), data, None, PLAIN).float_top1 is None


def test_floats_are_in_the_order_of_the_float_network(colors: Path) -> None:
    samples = np.stack([np.moveaxis(pixels(name), 2, 0) / np.float32(255) for name in COLORS])
    found = evaluate_classifier(
        Model(colors), LabelledArrays(samples, np.arange(3)[:, None]), FloatNetwork(colors.with_suffix(".onnx"))
    )
    assert (found.samples, found.top1, found.float_top1) == (3, 1.0, 1.0)


def test_more_samples_than_are_held_at_a_time(colors: Path) -> None:
    names = [list(COLORS)[i % 3] for i in range(70)]
    samples = np.stack([pixels(name) for name in names])
    data = LabelledArrays(samples, np.array([[i % 3 if i else 1] for i in range(70)]))
    found = evaluate_classifier(Model(colors), data, None, PLAIN)
    assert (found.samples, found.top1) == (70, 69 / 70)
    assert len(data.limited(7)) == 7


def test_folders_of_pictures(colors: Path, tmp_path: Path) -> None:
    for name in COLORS:
        (tmp_path / name).mkdir()
        pillow.fromarray(pixels(name)).resize((20, 30)).save(tmp_path / name / "one.png")
    by_name = open_labelled(tmp_path, 3, ("red", "green", "blue"))
    found = evaluate_classifier(Model(colors), by_name, FloatNetwork(colors.with_suffix(".onnx")), PLAIN)
    assert (found.top1, found.float_top1, found.agreement) == (1.0, 1.0, 1.0)
    blue_first = PictureOptions(0, 255, bgr=True, resize=10)
    assert evaluate_classifier(Model(colors), by_name, None, blue_first).top1 == pytest.approx(1 / 3), "green stays green"
    assert open_labelled(tmp_path, 3).labels.tolist() == [[0], [1], [2]], "blue, green, red"
    assert evaluate_classifier(Model(colors), open_labelled(tmp_path, 3), None, PLAIN).top1 == pytest.approx(1 / 3)
    with pytest.raises(EspdlError, match="3 folders, the model has 4 classes"):
        open_labelled(tmp_path, 4)


def test_folders_called_by_numbers(tmp_path: Path) -> None:
    for name in ("7", "12"):
        (tmp_path / name).mkdir()
        pillow.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
    assert open_labelled(tmp_path, 20).labels.tolist() == [[12], [7]]
    with pytest.raises(EspdlError, match="2 folders, the model has 10 classes"):
        open_labelled(tmp_path, 10)


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(EspdlError, match="no folders of classes"):
        open_labelled(tmp_path, 2)
    (tmp_path / "0").mkdir()
    with pytest.raises(EspdlError, match="no pictures"):
        open_labelled(tmp_path, 2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, "no x and y"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(2, int)}, "do not fit together"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(3)}, "do not fit together"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, int)}, "do not fit together"),
        ({"x": np.zeros((3, 2)), "y": np.array([0, 1, 9])}, "there is a label 9"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(EspdlError, match=message):
        open_labelled(tmp_path / "data.npz", 5)


def test_samples_that_do_not_fit(colors: Path, tmp_path: Path) -> None:
    labels = np.zeros((1, 1), int)
    for samples, message in (
        (np.zeros((1, 9, 8, 3), np.uint8), r"pictures of shape \[9, 8, 3\] do not fit"),
        (np.zeros((1, 3, 9, 8), np.float32), r"sample of shape \[1, 3, 9, 8\] does not fit"),
        (np.zeros((1, 8, 8, 3), np.int32), "samples of int32 are not taken"),
    ):
        with pytest.raises(EspdlError, match=message):
            evaluate_classifier(Model(colors), LabelledArrays(samples, labels), None, PLAIN)
    (tmp_path / "net.onnx").write_bytes(b"no network")
    with pytest.raises(EspdlError, match="no ONNX network"):
        FloatNetwork(tmp_path / "net.onnx")
    (tmp_path / "data.npz").write_bytes(b"no arrays")
    with pytest.raises(EspdlError, match="cannot be read"):
        open_labelled(tmp_path / "data.npz", 3)


def test_ranks() -> None:
    scores = np.array([3, 9, 9, -128], np.int8)
    assert [rank_of(scores, np.array([k])) for k in range(4)] == [2, 0, 1, 3], "of equal scores the first"
    assert rank_of(scores, np.array([3, 0, -1])) == 2
    assert rank_of(scores, np.array([-1])) == NEVER


def test_layouts() -> None:
    sample = np.zeros((1, 3, 4, 5))
    assert in_layout(sample, [1, 4, 5, 3]).shape == (1, 4, 5, 3)
    assert in_layout(sample, [1, 3, 4, 5]).shape == (1, 3, 4, 5)
    with pytest.raises(EspdlError, match="does not fit"):
        in_layout(sample, [1, 5, 4, 3])


def test_the_middle_of_a_picture() -> None:
    picture = Image.from_array(np.zeros((300, 512, 3), np.uint8))
    assert middle(picture, (224, 224), 256) == (125, 19, 387, 281)  # 224 / 256 of 300 pixels
    with pytest.raises(EspdlError, match="smaller than the model's"):
        middle(picture, (224, 224), 200)


def test_trained_networks(conformance: Path, tmp_path: Path) -> None:
    folder = conformance / "tasks/digits20"
    with np.load(folder / "calib.npz") as arrays:
        batches = list(arrays["x"][:8, np.newaxis])
    espdl_quantize_onnx(
        folder / "model.onnx", tmp_path / "digits.espdl", batches, 8, [1, 1, 20, 20], target="esp32s3", error_report=False
    )
    data = open_labelled(folder / "test.npz", 10)
    assert isinstance(data, LabelledArrays)
    found = evaluate_classifier(Model(tmp_path / "digits.espdl"), data, FloatNetwork(folder / "model.onnx"))
    assert found.float_top1 == pytest.approx(0.957)
    assert found.top1 > 0.94
    assert found.agreement is not None and found.agreement > 0.97
