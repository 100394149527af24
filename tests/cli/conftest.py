"""A quantized network, and the command line as a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espdl.cli import main


@dataclass(frozen=True)
class Result:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Result]


@pytest.fixture
def espdl(capsys: pytest.CaptureFixture[str]) -> Command:
    """``espdl("test", path)`` runs the command line; a traceback in its output fails the test."""

    def run(*arguments: object) -> Result:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        assert code == 0 or captured.err or captured.out, "a failure must say something"
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float digits network."""
    from espdl.demo.pipeline import network_bytes

    path = tmp_path_factory.mktemp("network") / "digits.onnx"
    path.write_bytes(network_bytes())
    return path


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calibration samples for it: blots, which need no data set."""
    rows, columns = np.mgrid[0:8, 0:8]
    random = np.random.Generator(np.random.PCG64(5))
    centres = random.uniform(2, 5, (6, 3, 2))
    blots = [np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2) for strokes in centres for y, x in strokes]
    images = np.clip(np.reshape(blots, (6, 3, 8, 8)).sum(axis=1, keepdims=True), 0, 1).astype(np.float32)
    path = tmp_path_factory.mktemp("calibration") / "images.npy"
    np.save(path, images)
    return path


@pytest.fixture(scope="session")
def digits(network: Path, calibration: Path) -> Path:
    """The digits network quantized for esp32s3, with test values."""
    path = network.parent / "digits.espdl"
    arguments = ["quantize", network, "-o", path, "--target", "esp32s3", "--calib", calibration, "--test-values"]
    assert main([str(argument) for argument in arguments]) == 0
    return path
