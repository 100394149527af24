"""A small detector, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vision.squares import make


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .espdl file of the network that finds squares, its .onnx file beside it."""
    return make(tmp_path_factory.mktemp("squares"))
