"""``espdl classify``, and what verbs on pictures share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from espdl.cli.pictures import find_pictures
from espdl.vision.classify import Classifier
from tests.cli.conftest import Command

AS_TRAINED = ("--mean", "0", "--std", "1")


def with_defaults(*options: str) -> list[str]:
    """``options``, and those of ``AS_TRAINED`` that are not among them."""
    pairs = dict(zip(AS_TRAINED[::2], AS_TRAINED[1::2], strict=True))
    return [*options, *(word for name, value in pairs.items() if name not in options for word in (name, value))]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    rows, columns = np.mgrid[0:16, 0:16]
    ring = np.abs(np.hypot(rows - 7.5, columns - 7.5) - 5) < 1.6
    pillow.fromarray((ring * 255).astype(np.uint8)).save(folder / "zero.png")
    pillow.fromarray(((np.abs(columns - 8) < 2) * 255).astype(np.uint8)).save(folder / "more/one.PNG")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_text(espdl: Command, digits: Path, photos: Path) -> None:
    result = espdl("classify", digits, photos / "zero.png", *AS_TRAINED, "--top-k", 2)
    assert result.code == 0
    first, *classes = result.out.splitlines()
    assert first == str(photos / "zero.png")
    found = Classifier(digits, 0, 255, topk=2).run(photos / "zero.png")
    assert classes == [f"  {one.score:.6f}  {one.label}" for one in found]
    assert found[0].label == "0"


def test_a_part_of_a_picture(espdl: Command, digits: Path, photos: Path) -> None:
    whole = pillow.open(photos / "zero.png").convert("RGB")
    framed = pillow.new("RGB", (whole.width + 30, whole.height + 20), "blue")
    framed.paste(whole, (10, 5))
    framed.save(photos / "framed.png")
    box = f"10,5,{10 + whole.width},{5 + whole.height}"
    found = [
        espdl("classify", digits, photos / name, *AS_TRAINED, *more).out.splitlines()[1:]
        for name, more in (("zero.png", ()), ("framed.png", ("--crop", box)))
    ]
    assert found[0] == found[1]
    result = espdl("classify", digits, photos / "zero.png", *AS_TRAINED, "--crop", "0,0,999,5")
    assert result.code == 1 and "reaches out of a picture" in result.err
    assert espdl("classify", digits, photos / "zero.png", "--crop", "1,2,3").code == 2


def test_a_folder_gives_lines_of_json(espdl: Command, digits: Path, photos: Path) -> None:
    result = espdl("classify", digits, photos, *AS_TRAINED, "--json")
    assert result.code == 0
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [Path(line["image"]).name for line in lines] == ["one.PNG", "zero.png"]
    assert all(len(line["classes"]) == 5 and line["classes"][0].keys() == {"index", "label", "score"} for line in lines)


def test_a_bad_picture_is_told_and_the_others_go_on(espdl: Command, digits: Path, photos: Path) -> None:
    bad = photos / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 nothing")
    result = espdl("classify", digits, photos, *AS_TRAINED, "--json")
    assert result.code == 1
    lines = {Path(line["image"]).name: line for line in map(json.loads, result.out.splitlines())}
    assert lines.keys() == {"bad.jpg", "one.PNG", "zero.png"}
    assert lines["bad.jpg"].keys() == {"image", "error"}
    assert f"espdl: {bad}: " in result.err
    assert "1 of 3 pictures failed" in result.err
    assert espdl("classify", digits, bad, *AS_TRAINED).out == ""


def test_options_are_used(espdl: Command, digits: Path, photos: Path, tmp_path: Path) -> None:
    def scores(*options: str) -> dict[str, float]:
        result = espdl("classify", digits, photos / "zero.png", *with_defaults(*options), "--json", "--top-k", 10)
        assert result.code == 0, result.err
        return {one["label"]: one["score"] for one in json.loads(result.out)["classes"]}

    plain = scores()
    assert sum(plain.values()) == pytest.approx(1, abs=1e-5)
    assert scores("--threshold", "0.5").keys() == {"0"}
    assert max(scores("--no-softmax").values()) > 1
    assert scores("--resampling", "antialiased") != plain
    assert scores("--std", "1.7") != plain
    (tmp_path / "names.txt").write_text("zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n")
    assert scores("--labels", str(tmp_path / "names.txt")).keys() >= {"zero", "nine"}


def test_upright(espdl: Command, digits: Path, photos: Path) -> None:
    exif = pillow.Exif()
    exif[0x0112] = 6
    with pillow.open(photos / "more/one.PNG") as opened:
        opened.save(photos / "turned.png", exif=exif)
        opened.transpose(pillow.Transpose.ROTATE_270).save(photos / "right.png")
    classes = {}
    for name, options in (("turned.png", ["--upright"]), ("right.png", []), ("turned.png", [])):
        result = espdl("classify", digits, photos / name, *AS_TRAINED, "--json", *options)
        classes[name, *options] = json.loads(result.out)["classes"]
        assert ("EXIF" in result.err) == (name == "turned.png" and not options)
    assert classes["turned.png", "--upright"] == classes["right.png",]
    assert classes["turned.png",] != classes["right.png",]


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (["--labels", "imagenet"], 1, "there are 1000 labels, the model has 10 classes"),
        (["--labels", "none.txt"], 2, "nor a file"),
        (["--mean", "0,0,0"], 1, "3 numbers are given as mean"),
        (["--mean", "zero"], 2, "write numbers as"),
        (["--top-k", "0"], 2, "top-k"),
        (["--resampling", "cubic"], 2, "resampling"),
    ],
)
def test_refusals(espdl: Command, digits: Path, photos: Path, options: list[str], code: int, complaint: str) -> None:
    result = espdl("classify", digits, photos, *with_defaults(*options))
    assert result.code == code
    assert complaint in result.err


def test_find_pictures(photos: Path, tmp_path: Path, espdl: Command, digits: Path) -> None:
    assert find_pictures([photos / "notes.txt", photos]) == [photos / "notes.txt", photos / "more/one.PNG", photos / "zero.png"]
    (tmp_path / "empty").mkdir()
    result = espdl("classify", digits, tmp_path / "empty", *AS_TRAINED)
    assert result.code == 1
    assert "there are no pictures in the folder" in result.err
    assert espdl("classify", digits, tmp_path / "nowhere.jpg").code == 2
