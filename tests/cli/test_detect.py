"""``espdl detect``, ``pose``, ``segment`` and ``evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from espdl.vision.evaluate import FloatNetwork
from tests.cli.conftest import Command
from tests.vision.squares import BLUE, GREEN, make, picture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("squares"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(picture((16, 32, GREEN), (48, 0, BLUE))).save(folder / "a.png")
    Image.fromarray(picture()).save(folder / "more/b.png")
    return folder


def test_a_picture(espdl: Command, model: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("green\nblue\n")
    result = espdl("detect", model, photos / "a.png", "--labels", tmp_path / "labels.txt", "-o", tmp_path / "found.jpg")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[1:] == [
        "  0.982014  blue  [48, 0, 63, 16]",
        "  0.982014  green  [16, 32, 32, 48]",
        f"  drawn in {tmp_path / 'found.jpg'}",
    ]
    with Image.open(tmp_path / "found.jpg") as drawn:
        assert (drawn.format, drawn.size) == ("JPEG", (64, 64))
    assert "nothing has a score" in espdl("detect", model, photos / "a.png", "--score-threshold", "0.999").out


def test_a_folder_as_lines_of_json(espdl: Command, model: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    result = espdl("detect", model, photos, "--json", "-o", tmp_path / "drawn", "--type", "espdet", "--top-k", "1")
    assert result.code == 1
    first, broken, last = map(json.loads, result.out.splitlines())
    assert (first["width"], first["height"], len(first["detections"])) == (64, 64, 1)
    assert first["detections"][0] == {"category": 1, "score": 0.982014, "box": [48, 0, 63, 16]}
    assert "broken.jpg" in broken["error"]
    assert last["detections"] == []
    assert (tmp_path / "drawn/a.png").is_file() and (tmp_path / "drawn/more/b.png").is_file()


def test_what_does_not_fit(espdl: Command, model: Path, photos: Path, tmp_path: Path) -> None:
    assert "output 'box0' has 4 channels" in espdl("pose", model, photos).err
    assert "output 'box0' has 4 channels" in espdl("segment", model, photos).err
    assert "no output 'bbox0'" in espdl("detect", model, photos, "--type", "pico").err
    assert "another -o" in espdl("detect", model, photos / "a.png", "-o", photos / "a.png").err
    assert "no name of a picture" in espdl("detect", model, photos / "a.png", "-o", tmp_path / "x.txt").err
    (tmp_path / "file").write_text("")
    assert "need a folder" in espdl("detect", model, photos, "-o", tmp_path / "file").err
    (tmp_path / "other").mkdir()
    Image.fromarray(picture()).save(tmp_path / "other/a.png")
    same = espdl("detect", model, photos / "a.png", tmp_path / "other/a.png", "-o", tmp_path / "drawn")
    assert "in the same place" in same.err
    assert espdl("detect", model, photos, "--type", "yolo99").code == 2
    assert espdl("detect", model, photos, "--score-threshold", "2").code == 2


def test_accuracy_of_a_detector(espdl: Command, model: Path, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [16, 32, 16, 16]},
            {"image_id": 1, "category_id": 2, "bbox": [48, 0, 15, 16]},
        ],
        "categories": [{"id": 1}, {"id": 2}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    arguments = ["evaluate", model, "--task", "detect", "--data", tmp_path / "truth.json", "--images", photos]
    result = espdl(*arguments, "--float", model.with_suffix(".onnx"), "--results", tmp_path / "results.json", "--json")
    assert result.code == 0
    assert result.json["metrics"]["mAP50-95"] == result.json["float_metrics"]["mAP50-95"] == pytest.approx(1.0)
    assert {one["category_id"] for one in json.loads((tmp_path / "results.json").read_text())} == {1, 2}
    text = espdl(*arguments).out
    assert "mAP50-95" in text and "100.00%" in text


def test_accuracy_of_a_classifier(espdl: Command, digits: Path, network: Path, calibration: Path, tmp_path: Path) -> None:
    images = np.load(calibration)
    float_network = FloatNetwork(network)
    answers = [int(float_network.run(image[np.newaxis])["logits"].argmax()) for image in images]
    np.savez(tmp_path / "test.npz", x=images, y=np.array([*answers[:-1], (answers[-1] + 1) % 10]))
    arguments = ["evaluate", digits, "--task", "classify", "--data", tmp_path / "test.npz", "--float", network]
    result = espdl(*arguments, "--json", "--limit", "3")
    assert result.code == 0
    assert (result.json["samples"], result.json["float_top1"]) == (3, 1.0)
    text = espdl(*arguments).out
    assert "83.33%" in text, "5 of 6"
    assert "top-5" in text and "difference" in text and "same answer" in text
    assert espdl(*arguments, "--results", tmp_path / "r.json").code == 2
