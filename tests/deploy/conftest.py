"""Two small models with test values, as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import small_file


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    directory = tmp_path / "models"
    directory.mkdir()
    paths = [directory / "first.espdl", directory / "second.espdl"]
    paths[0].write_bytes(small_file("esp32s3", metadata=True))
    paths[1].write_bytes(small_file("esp32s3", metadata=True, test_values=False))
    return paths
