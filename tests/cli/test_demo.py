"""``espdl demo``: from ONNX to answers on real digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from espdl.demo.digits import TEST_IMAGES
from tests.cli.conftest import Command


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_demo(espdl: Command, tmp_path: Path, target: str) -> None:
    pytest.importorskip("sklearn")
    result = espdl("demo", "--target", target, "-o", tmp_path / "out", "--json")
    assert result.code == 0
    found = result.json
    assert found["target"] == target
    assert found["test_images"] == TEST_IMAGES
    assert found["float_accuracy"] >= 0.98
    assert found["int8_accuracy"] >= 0.97
    assert found["agreement"] >= 0.97
    assert found["snr_db"] > 15
    assert found["embedded_test_passed"] is True
    assert found["espdl_bytes"] < found["onnx_bytes"]
    assert found["memory"]["variable"]["psram"] > 0
    for name in ("digits.espdl", "digits.info", "digits.json", "digits.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    with Image.open(tmp_path / "out/digits.png") as picture:
        assert picture.width >= 800
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 20


def test_demo_text(espdl: Command, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    result = espdl("demo", "-o", tmp_path, "--target", "c")
    assert result.code == 0
    for text in ("█", "float accuracy", "int8 accuracy", "embedded test", "passed", "memory summary"):
        assert text in result.out
    assert max(map(len, result.out.splitlines())) <= 100
