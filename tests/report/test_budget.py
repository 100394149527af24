"""Limits, and the accuracy of classifiers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.report.accuracy import measure_top1
from espdl.report.budget import Conditions, Judge, Limits, check_budget
from espdl.sizes import parse_size
from tests.models import INPUT_SHAPE, small_file


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.espdl"
    path.write_bytes(small_file("esp32s3", metadata=True))
    return path


@pytest.fixture
def data(model: Path, tmp_path: Path) -> Path:
    """Random samples whose labels are the model's own answers, the last four wrong."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (20, *INPUT_SHAPE[1:])).astype(np.float32)
    y = Model(model).run_many({"x": x[:, None]})["y"].reshape(20, -1).argmax(axis=1)
    y[-4:] = (y[-4:] + 1) % 5
    path = tmp_path / "labelled.npz"
    np.savez(path, x=x, y=y)
    return path


def test_top1(model: Path, data: Path) -> None:
    found = measure_top1(Model(model), data)
    assert (found.top1, found.samples) == (0.8, 20)
    assert measure_top1(Model(model), data, limit=10).samples == 10


def test_samples_in_the_order_of_the_float_network(model: Path, data: Path, tmp_path: Path) -> None:
    with np.load(data) as arrays:
        np.savez(tmp_path / "nchw.npz", x=np.moveaxis(arrays["x"], 3, 1), y=arrays["y"])
    assert measure_top1(Model(model), tmp_path / "nchw.npz").top1 == 0.8


def test_folders_of_pictures(model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (6, *INPUT_SHAPE[1:]), dtype=np.uint8)
    answers = Model(model).run_many({"x": (pictures / 255).astype(np.float32)[:, None]})["y"].reshape(6, -1).argmax(axis=1)
    for index, (picture, answer) in enumerate(zip(pictures, answers, strict=True)):
        folder = tmp_path / "classes" / str(answer if index else (answer + 1) % 5)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{index}.png")
    found = measure_top1(Model(model), tmp_path / "classes")
    assert found.top1 == pytest.approx(5 / 6)
    np.savez(tmp_path / "pixels.npz", x=pictures, y=answers)
    assert measure_top1(Model(model), tmp_path / "pixels.npz").top1 == 1


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": np.zeros((3, 6, 6, 3), np.float32)}, "no x and y"),
        ({"x": np.zeros((3, 6, 6, 3), np.float32), "y": np.zeros(2, int)}, "do not fit together"),
        ({"x": np.zeros((3, 5, 6, 3), np.float32), "y": np.zeros(3, int)}, "do not fit an input"),
        ({"x": np.zeros((3, 6, 6, 3), np.float32), "y": np.full(3, 5)}, "there is a label 5"),
    ],
)
def test_data_that_do_not_fit(model: Path, tmp_path: Path, arrays: dict[str, np.ndarray], text: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(EspdlError, match=text):
        measure_top1(Model(model), tmp_path / "bad.npz")
    with pytest.raises(EspdlError, match=r"nothing.npz: the labelled arrays cannot be read"):
        measure_top1(Model(model), tmp_path / "nothing.npz")


def test_limits_that_are_kept(model: Path, data: Path) -> None:
    limits = Limits(max_latency_ms=50, max_internal=0, max_psram=parse_size("8K"), max_flash=parse_size("8K"), min_top1=0.8)
    budget = check_budget(model, limits, Conditions(data=data))
    assert budget.kept
    assert [row.name for row in budget.rows] == ["module", "internal RAM", "PSRAM", "flash", "latency", "top-1"]
    assert budget.summary() == "small.espdl keeps its budget"
    assert budget.rows[-1].found == 0.8
    psram = budget.rows[2]
    assert psram.found == budget.memory.psram.needed


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(max_latency_ms=0.001), "latency"),
        (Limits(max_psram=16), "PSRAM"),
        (Limits(max_flash=16), "flash"),
        (Limits(min_top1=0.81), "top-1"),
    ],
)
def test_a_broken_limit_is_told(model: Path, data: Path, limits: Limits, name: str) -> None:
    budget = check_budget(model, limits, Conditions(data=data))
    assert [row.name for row in budget.broken] == [name]
    assert budget.summary().startswith(f"small.espdl: {name} ")
    assert not budget.to_dict()["kept"]


def test_the_upper_end_of_the_interval_can_be_judged(model: Path) -> None:
    estimated = check_budget(model, Limits(max_latency_ms=50)).latency
    assert estimated is not None
    between = (estimated.model.us + estimated.model.high) / 2000
    limits = Limits(max_latency_ms=between)
    central = check_budget(model, limits)
    assert central.kept
    assert "reaches beyond the limit" in central.rows[-1].note
    assert not check_budget(model, limits, Conditions(judge=Judge.UPPER)).kept


def test_a_model_has_to_fit_its_module(model: Path, conformance: Path) -> None:
    large = conformance / "models/esp32s3/imagenet_cls_mobilenetv2_s8_v1.espdl"
    budget = check_budget(large, Limits(max_latency_ms=5000), Conditions(target="esp32s3", module="N4R2"))
    assert [row.name for row in budget.broken] == ["module"]
    assert check_budget(large, Limits(5000, fits=False), Conditions(target="esp32s3", module="N4R2")).kept
    assert check_budget(model, Limits(max_internal=parse_size("100K")), Conditions(module="N4")).rows[1].found


def test_what_cannot_be_judged(model: Path) -> None:
    with pytest.raises(EspdlError, match="no data"):
        check_budget(model, Limits(min_top1=0.5))
    with pytest.raises(EspdlError, match="no limit"):
        check_budget(model, Limits(fits=False))
