"""Sources of calibration samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from espdl.errors import EspdlError
from espdl.quantize.api import quantize
from espdl.quantize.calibration_data import open_calibration_data
from espdl.quantize.pictures import PictureOptions
from tests.quantize.graphs import network, op

SHAPES = {"x": (1, 3, 4, 6)}


def write_pictures(directory: Path, count: int, mode: str = "RGB") -> None:
    for index in range(count):
        colour = (index, 2 * index, 255)[: 3 if mode == "RGB" else 1]
        Image.new(mode, (12, 8), colour if mode == "RGB" else colour[0]).save(directory / f"{index:03}.png")


def test_directory_resizes_scales_and_orders(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    data = open_calibration_data(tmp_path, SHAPES, 32, PictureOptions((0.5,), (0.5,)))
    samples = list(data)
    assert len(data) == len(samples) == 2
    assert samples[1]["x"].shape == (1, 3, 4, 6)
    assert samples[1]["x"].dtype == np.float32
    np.testing.assert_allclose(samples[1]["x"][0, :, 0, 0], (np.array([1, 2, 255]) / 255 - 0.5) / 0.5, rtol=1e-6)
    assert len(list(data)) == 2, "every pass starts anew"


def test_directory_in_blue_first_order(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    (sample,) = open_calibration_data(tmp_path, SHAPES, 32, PictureOptions(bgr=True))
    np.testing.assert_array_equal(sample["x"][0, :, 0, 0], [1, 0, 0])


def test_directory_is_thinned_evenly_through_its_folders(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        write_pictures(tmp_path / name, 10)
    first = [round(float(s["x"][0, 0, 0, 0]) * 255) for s in open_calibration_data(tmp_path, SHAPES, 4)]
    assert first == [0, 5, 0, 5]


def test_npy_is_taken_from_its_start(tmp_path: Path) -> None:
    array = np.arange(5 * 72, dtype=np.float64).reshape(5, 3, 4, 6)
    np.save(tmp_path / "x.npy", array)
    samples = list(open_calibration_data(tmp_path / "x.npy", SHAPES, 3))
    assert len(samples) == 3
    assert samples[2]["x"].dtype == np.float32
    np.testing.assert_array_equal(samples[2]["x"], array[2:3])


@pytest.mark.parametrize("shape", [(7, 4, 6, 3), (7, 3, 4, 6)])
def test_uint8_arrays_are_pictures_in_either_order(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "x.npz", any_name=pixels)
    options = PictureOptions((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    sample = list(open_calibration_data(tmp_path / "x.npz", SHAPES, 32, options))[6]["x"]
    channels_first = pixels[6] if shape[1] == 3 else pixels[6].transpose(2, 0, 1)
    mean, std = np.array(options.mean).reshape(3, 1, 1), np.array(options.std).reshape(3, 1, 1)
    np.testing.assert_allclose(sample[0], (channels_first / 255 - mean) / std, rtol=1e-5, atol=1e-6)


def test_npz_feeds_several_inputs_by_name(tmp_path: Path) -> None:
    shapes = {"a": (1, 2), "b": (3, 4)}
    np.savez(tmp_path / "x.npz", a=np.ones((5, 2)), b=np.ones((5, 3, 4)), other=np.ones(9))
    samples = list(open_calibration_data(tmp_path / "x.npz", shapes, 32))
    assert [(s["a"].shape, s["b"].shape) for s in samples] == [((1, 2), (3, 4))] * 5


MODULE = """
import numpy as np
def arrays():
    for value in range(3):
        yield np.full((2, 3, 4, 6), value)
def pairs():
    return [{"a": np.ones((1, 2)), "b": np.ones((1, 1), bool)}] * 4
def wrong():
    return [{"c": 1}]
def empty():
    return []
number = 5
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "calibration_source.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return "calibration_source"


def test_callable_batches_are_taken_apart(module: str) -> None:
    data = open_calibration_data(f"{module}:arrays", SHAPES, 5)
    assert [float(s["x"][0, 0, 0, 0]) for s in data] == [0, 0, 1, 1, 2]
    assert len(data) == len(list(data)) == 5
    pairs = list(open_calibration_data(f"{module}:pairs", {"a": (1, 2), "b": (1, 1)}, 32))
    assert len(pairs) == 4
    assert pairs[0]["b"].dtype == np.bool_


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wrong", "feeds c, the network's inputs are x"),
        ("empty", "empty"),
        ("number", "not callable"),
        ("absent", "cannot be imported"),
    ],
)
def test_callable_errors(module: str, name: str, text: str) -> None:
    with pytest.raises(EspdlError, match=text):
        list(open_calibration_data(f"{module}:{name}", SHAPES, 5))


def test_errors_name_the_source_and_the_remedy(tmp_path: Path) -> None:
    def message(source: object, shapes: dict[str, tuple[int, ...]] = SHAPES) -> str:
        with pytest.raises(EspdlError) as caught:
            list(open_calibration_data(str(source), shapes, 8))
        return str(caught.value)

    assert "does not exist" in message("nowhere")
    assert "does not exist" in message(tmp_path / "no.npy") or "do not exist" in message(tmp_path / "no.npy")
    assert "no pictures" in message(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG nothing")
    assert "bad.png" in message(tmp_path)
    assert "takes no pictures" in message(tmp_path, {"x": (1, 40)})
    assert "one array per input" in message(tmp_path, {"a": (1, 3, 4, 4), "b": (1, 2)})
    (tmp_path / "bad.npz").write_bytes(b"nothing at all")
    assert "cannot be read" in message(tmp_path / "bad.npz")
    np.save(tmp_path / "empty.npy", np.ones((0, 3, 4, 6)))
    assert "empty" in message(tmp_path / "empty.npy")
    np.save(tmp_path / "last.npy", np.ones((5, 4, 6, 3)))
    assert "transpose with axes [0, 3, 1, 2]" in message(tmp_path / "last.npy")
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    assert "not numbers" in message(tmp_path / "text.npy")
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "cannot be read" in message(tmp_path / "pickle.npy")
    np.savez(tmp_path / "two.npz", a=np.ones((2, 2)), b=np.ones((3, 2)))
    assert "different numbers of samples" in message(tmp_path / "two.npz", {"a": (1, 2), "b": (1, 2)})
    assert "no array for input 'c'" in message(tmp_path / "two.npz", {"a": (1, 2), "c": (1, 2)})


@pytest.mark.parametrize("options", [{"mean": (127.5,)}, {"std": (0.0,)}, {"std": (58.0,)}])
def test_pixel_scales_are_for_unit_range(options: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(EspdlError, match="divide by 255"):
        PictureOptions(**options)


@pytest.mark.parametrize(
    ("values", "said"), [((0.0, 0.0), ["'x' is 0 everywhere"]), ((1.5, 1.5), ["'x' is 1.5 everywhere"]), ((0.5, 1.0), [])]
)
def test_data_that_never_change_are_told(values: tuple[float, float], said: list[str]) -> None:
    samples = [np.full((1, 2, 4, 4), value, np.float32) for value in values]
    model = quantize(network([op("Relu", "x", "y")], {"x": [1, 2, 4, 4]}), samples, target="esp32s3")
    assert len(model.warnings) == len(said)
    assert all(words in text for words, text in zip(said, model.warnings, strict=True))
