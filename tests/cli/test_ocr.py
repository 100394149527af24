"""``espdl ocr``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Command
from tests.vision.test_ocr import CHARSET


@pytest.fixture
def models(conformance: Path) -> list[Path | str]:
    folder = conformance / "models/esp32p4"
    return [folder / "pp_ocr_v6_det_s8.espdl", folder / "pp_ocr_v6_rec_s8.espdl"]


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    path = tmp_path / "dict.txt"
    path.write_text("\n".join(CHARSET[1:-1]) + "\n", encoding="utf-8")
    return path


def test_a_label_is_read(models: list[Path], conformance: Path, tmp_path: Path, dictionary: Path, espdl: Command) -> None:
    picture = tmp_path / "part.png"
    Image.open(conformance / "vision/pp_ocr_v6.jpg").crop((0, 320, 500, 410)).save(picture)
    drawn = tmp_path / "drawn.png"
    result = espdl("ocr", *models, picture, "--charset", dictionary, "--target", "esp32p4", "-o", drawn)
    assert result.code == 0 and "522 X32-6 901" in result.out and Image.open(drawn).size == (500, 90)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes(picture.read_bytes())
    both = espdl(
        "ocr", *models, tmp_path / "in", "--charset", dictionary, "--target", "esp32p4", "-o", tmp_path / "all", "--json"
    )
    lines = [json.loads(line) for line in both.out.splitlines()]
    assert lines[0]["texts"][0]["text"] == "522 X32-6 901" and len(lines[0]["texts"][0]["box"]) == 4
    assert Path(lines[1]["output"]) == tmp_path / "all" / "b.png" and Path(lines[1]["output"]).exists()


def test_failures(models: list[Path], tmp_path: Path, dictionary: Path, espdl: Command) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0broken")
    arguments = (*models, broken, "--target", "esp32p4")
    result = espdl("ocr", *arguments, "--charset", dictionary)
    assert result.code == 1 and "broken.jpg" in result.err
    result = espdl("ocr", *arguments)
    assert result.code == 2 and "pp_ocr_v6_dict.hpp" in result.err
    dictionary.write_text("a\n")
    assert "1 characters do not fit" in espdl("ocr", *arguments, "--charset", dictionary).err
