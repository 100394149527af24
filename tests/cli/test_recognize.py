"""``espdl recognize``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command

LANDMARKS = "117,114,120,160,132,143,157,112,151,160"


@pytest.fixture
def model(conformance: Path) -> Path:
    return conformance / "models/esp32s3/human_face_feat_mfn_s8_v1.espdl"


def test_enrol_query_list_delete(model: Path, conformance: Path, tmp_path: Path, espdl: Command) -> None:
    database, face = tmp_path / "faces.db", conformance / "vision/human_face.jpg"
    result = espdl("recognize", "enrol", database, face, "--target", "esp32s3", "--model", model, "--landmarks", LANDMARKS)
    assert result.code == 0 and "enrolled with id 1" in result.out and "1 feature of 512 numbers, ids 1" in result.out
    espdl(
        "recognize",
        "enrol",
        database,
        conformance / "vision/cat.jpg",
        "--target",
        "esp32s3",
        "--model",
        model,
        "--box",
        "10,20,200,210",
    )
    found = espdl(
        "recognize", "query", database, face, "--target", "esp32s3", "--model", model, "--landmarks", LANDMARKS, "--json"
    )
    assert found.code == 0 and found.json["results"][0]["matches"][0]["id"] == 1
    assert espdl("recognize", "delete", database, "--id", "1").code == 0
    assert espdl("recognize", "list", database, "--json").json["ids"] == [2]
    nobody = espdl(
        "recognize",
        "query",
        database,
        face,
        "--target",
        "esp32s3",
        "--model",
        model,
        "--landmarks",
        LANDMARKS,
        "--threshold",
        "0.9",
    )
    assert nobody.code == 1 and "nobody" in nobody.out
    assert espdl("recognize", "clear", database, "--json").json["records"] == 0


def test_a_detector_finds_the_face(model: Path, conformance: Path, tmp_path: Path, espdl: Command) -> None:
    stages = [conformance / f"models/esp32s3/human_face_detect_{name}_s8_v1.espdl" for name in ("msr", "mnp")]
    options = ["--target", "esp32s3", "--model", model, "--detector", stages[0], "--second", stages[1], "--json"]
    database, face = tmp_path / "faces.db", conformance / "vision/human_face.jpg"
    assert espdl("recognize", "enrol", database, face, *options).json["ids"] == [1]
    found = espdl("recognize", "query", database, face, *options)
    assert found.code == 0 and found.json["results"][0]["matches"][0]["similarity"] > 0.99
    assert "finds nothing" in espdl("recognize", "query", database, conformance / "vision/bus.jpg", *options).err
    assert "give one of them" in espdl("recognize", "query", database, face, *options, "--box", "1,2,3,4").err


def test_repairs_are_told(tmp_path: Path, espdl: Command) -> None:
    from espdl.vision.recognize import FeatureDatabase

    database = FeatureDatabase(tmp_path / "faces.db", 2)
    database.enroll_feat([1, 0])
    database.path.write_bytes(database.path.read_bytes()[:-1])
    assert "repaired: the last record was not written whole" in espdl("recognize", "list", database.path).out


def test_failures(model: Path, tmp_path: Path, espdl: Command) -> None:
    assert "no database" in espdl("recognize", "list", tmp_path / "none.db").err
    assert "needs pictures and --model" in espdl("recognize", "query", tmp_path / "none.db").err
    assert espdl("recognize", "forget", tmp_path / "none.db").code == 2
    assert not (tmp_path / "none.db").exists()
