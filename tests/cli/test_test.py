"""``espdl test``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from espdl.fbs import FbsLoader, write_model
from espdl.fbs.container import pack, wrap_model
from tests.cli.conftest import Command


def altered(source: Path, path: Path, *, keep_test_values: bool) -> Path:
    """A copy with a wrong test value, or without test values."""
    record = FbsLoader(source).load().record
    expected = record.graph.test_outputs_value[0]
    expected.data = np.where(expected.data < 100, expected.data + 1, expected.data - 1).astype(np.int8)
    if not keep_test_values:
        record.graph.test_inputs_value = []
        record.graph.test_outputs_value = []
    path.write_bytes(wrap_model(write_model(record)))
    return path


def test_passing_file(espdl: Command, digits: Path) -> None:
    result = espdl("test", digits)
    assert result.code == 0
    (line,) = result.out.splitlines()
    assert line.startswith(f"PASS  {digits}  esp32s3 (")
    assert "10 values equal" in line


def test_failing_file_names_the_first_difference(espdl: Command, digits: Path, tmp_path: Path) -> None:
    bad = altered(digits, tmp_path / "bad.espdl", keep_test_values=True)
    result = espdl("test", digits, bad)
    assert result.code == 1
    passed, failed, summary = result.out.splitlines()
    assert passed.startswith("PASS")
    assert failed.startswith("FAIL")
    assert "output 'logits': 10 of 10 values differ" in failed
    assert summary == "1 pass, 1 fail, 0 hold no test values"


def test_file_without_test_values_is_named_but_is_no_test(espdl: Command, digits: Path, tmp_path: Path) -> None:
    silent = altered(digits, tmp_path / "silent.espdl", keep_test_values=False)
    both = espdl("test", silent, digits)
    assert both.code == 0
    assert both.out.startswith(f"SKIP  {silent}  the file holds no test values")
    assert both.out.endswith("1 pass, 0 fail, 1 hold no test values\n")
    assert espdl("test", silent).code == 1, "nothing was tested"


def test_unreadable_file_does_not_stop_the_others(espdl: Command, digits: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.espdl"
    broken.write_bytes(digits.read_bytes()[:300])
    result = espdl("test", broken, digits)
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0].startswith("ERROR")
    assert lines[1].startswith("PASS")


def test_every_model_of_a_package(espdl: Command, digits: Path, tmp_path: Path) -> None:
    bad = altered(digits, tmp_path / "bad.espdl", keep_test_values=True)
    package = tmp_path / "both.espdl"
    package.write_bytes(pack([("good.espdl", digits.read_bytes()), ("bad.espdl", bad.read_bytes())]))
    result = espdl("test", package)
    assert result.code == 1
    assert {line[:4] + line.split("both.espdl")[1][:13] for line in result.out.splitlines()[:2]} == {
        "PASS[good.espdl] ",
        "FAIL[bad.espdl]  ",
    }
    assert "2 models: " in espdl("inspect", package).out


def test_json(espdl: Command, digits: Path) -> None:
    result = espdl("test", digits, "--json", "--arithmetic", "reference", "--backend", "numpy")
    (file,) = result.json["files"]
    assert file["outcome"] == "pass"
    assert file["passed"] is True
    assert file["arithmetic"] == "reference"
    assert file["backend"] == "numpy"
    (output,) = file["outputs"]
    assert (output["name"], output["size"]) == ("logits", 10)
    assert (output["wrong"], output["off_by_one"], output["first"]) == (0, 0, None)
    assert result.json["failed"] == 0


def test_wrong_chip_is_an_error(espdl: Command, digits: Path) -> None:
    result = espdl("test", digits, "--target", "c")
    assert result.code == 1
    assert "cannot run on c" in result.out


def test_file_that_does_not_tell_its_chip_is_tried_on_each(espdl: Command, digits: Path, tmp_path: Path) -> None:
    record = FbsLoader(digits).load().record
    record.metadata_props = {}
    path = tmp_path / "untold.espdl"
    path.write_bytes(wrap_model(write_model(record)))
    result = espdl("test", path, "--arithmetic", "reference")
    assert result.code == 0
    assert "the file does not tell its chip" in result.out
    assert "esp32s3" in result.out and "esp32p4" in result.out


def test_files_of_the_conformance_data(espdl: Command, conformance: Path) -> None:
    result = espdl("test", *sorted((conformance / "models").glob("*/linear_*.espdl")))
    assert result.code == 0
    assert result.out.count("PASS") == 9
