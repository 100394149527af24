"""``espdl conformance``."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from espdl.dtypes import DType
from espdl.fbs import records, wrap_model, write_model
from espdl.fbs.container import pack
from tests.cli.conftest import Command

QUANT_TYPES = {DType.INT8: "S8", DType.INT16: "S16", DType.FLOAT: "F32"}
SHAPE = (2, 3)


def add_bytes(dtype: DType = DType.INT8, change: float = 0, *, test_values: bool = True, target: str = "") -> bytes:
    """A file of one Add of its input to itself; ``change`` is added to the expected value of element [1, 2]."""
    exponents = () if dtype is DType.FLOAT else (-4,)
    x = np.arange(6, dtype=dtype.numpy).reshape(SHAPE)
    y = x + x
    y[1, 2] += dtype.numpy.type(change)
    values = [records.ValueInfo(name, dtype, SHAPE, exponents) for name in ("x", "y")]
    node = records.Node("Add", "/add", ["x", "x"], ["y"], [records.Attribute("quant_type", QUANT_TYPES[dtype])])
    graph = records.Graph("add", [node], [], values[:1], values[1:], values)
    if test_values:
        graph.test_inputs_value = [records.Tensor("x", SHAPE, dtype, x, exponents)]
        graph.test_outputs_value = [records.Tensor("y", SHAPE, dtype, y, exponents)]
    return wrap_model(write_model(records.Model(graph, metadata_props={"target": target} if target else {})))


def put(root: Path, place: str, content: bytes) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Files of three chips: passing, failing, within a tolerance, without test values, and a broken one."""
    root = tmp_path / "files"
    put(root, "esp32p4/deep/down/good.espdl", add_bytes())
    put(root, "esp32p4/bad.espdl", add_bytes(change=3))
    put(root, "esp32s3/near.espdl", add_bytes(DType.INT16, 1))
    put(root, "esp32s3/near_float.espdl", add_bytes(DType.FLOAT, 1e-5))
    put(root, "told.espdl", add_bytes(target="c"))
    put(root, "esp32s3/silent.espdl", add_bytes(test_values=False))
    put(root, "esp32s3/broken.espdl", add_bytes()[:200])
    put(root, "esp32s3/readme.txt", b"not a model")
    return root


def write_index(root: Path, verdicts: dict[str, str]) -> None:
    """An index beside the files that says what the C++ code makes of each."""
    with open(root / "INDEX.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["target", "op", "dtype", "file", "esp_dl_9_8_7_cpp"])
        for place, verdict in verdicts.items():
            target, op, name = place.split("/")
            writer.writerow([target, op, "s8", name, verdict])


def test_matrix_of_operator_type_and_chip(espdl: Command, directory: Path) -> None:
    result = espdl("conformance", directory, "--json")
    assert result.code == 1
    cells = {(cell["operator"], cell["chip"], cell["dtype"]): (cell["passed"], cell["failed"]) for cell in result.json["matrix"]}
    assert cells == {
        ("Add", "esp32p4", "int8"): (1, 1),
        ("Add", "esp32s3", "int16"): (1, 0),
        ("Add", "esp32s3", "float32"): (1, 0),
        ("Add", "c", "int8"): (1, 0),
        ("unreadable", "esp32s3", "none"): (0, 1),
    }
    assert result.json["counts"] == {"pass": 4, "fail": 1, "error": 1, "skip": 1, "other chip": 0}
    assert result.json["tolerance"]["int16"] == {"elements": 1, "of": 6, "files": 1, "largest": 1.0}
    assert result.json["tolerance"]["float32"]["elements"] == 1
    assert result.json["arithmetic"] == "reference"


def test_text_names_the_first_wrong_element_and_what_is_apart(espdl: Command, directory: Path) -> None:
    result = espdl("conformance", directory)
    assert result.code == 1
    text = " ".join(result.out.split())
    assert "FAIL esp32p4/bad.espdl (esp32p4): y[1, 2]: expected 13, got 10 (1 of 6 wrong)" in text
    assert "ERROR esp32s3/broken.espdl (esp32s3): " in text
    assert "1 file without test values: esp32s3/silent.espdl" in text
    assert "int16: 5 of 6 values equal, within 1: 1 in 1 file" in text
    assert "float32: 5 of 6 values equal, within 2e-5: 1 in 1 file" in text
    assert "4 pass, 1 fail, 1 cannot be loaded or run" in text
    assert re.search(r"^Add +1 +1~ +1 +· +1/2$", result.out, re.MULTILINE), "int8; int16, float32, unreadable; int8"
    assert max(map(len, result.out.splitlines())) <= 100


def test_a_wide_matrix_is_several_tables(espdl: Command, tmp_path: Path) -> None:
    chips = ("c", "esp32", "esp32c3", "esp32s2", "esp32s3", "esp32p4", "esp32s31")
    for chip in chips:
        for dtype in QUANT_TYPES:
            put(tmp_path, f"{chip}/{dtype.name}.espdl", add_bytes(dtype))
    result = espdl("conformance", tmp_path)
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 100
    assert result.out.count("operator ") == 2
    for chip in chips:
        assert len(re.findall(rf"\b{chip}\b", result.out)) == 1


@pytest.mark.parametrize(("verdict", "code", "comparison"), [("fails", 0, "both_fail"), ("passes", 1, "only_cpp")])
def test_only_what_passes_in_cpp_and_fails_here_is_a_failure(
    espdl: Command, tmp_path: Path, verdict: str, code: int, comparison: str
) -> None:
    put(tmp_path, "c/Add/good.espdl", add_bytes())
    put(tmp_path, "c/Add/newer.espdl", add_bytes())
    put(tmp_path, "c/Add/bad.espdl", add_bytes(change=1))
    write_index(tmp_path, {"c/Add/good.espdl": "passes", "c/Add/newer.espdl": "fails", "c/Add/bad.espdl": verdict})
    result = espdl("conformance", tmp_path)
    assert result.code == code
    assert "C++ 9.8.7" in result.out
    assert ("2+1" in result.out) is (verdict == "fails")
    found = espdl("conformance", tmp_path / "c", "--json").json
    assert found["cpp"] == "C++ 9.8.7", "the index above counts"
    assert found["comparison"] == {"both_pass": 1, "only_here": 1, "both_fail": 0, "only_cpp": 0} | {comparison: 1}
    (bad,) = (file for file in found["files"] if file["file"].endswith("bad.espdl"))
    assert bad["failed"] is (verdict == "passes")
    assert bool(bad["causes"]) is (verdict == "fails"), "what fails in both is explained"
    assert bad["outputs"][0]["first"] == [1, 2]


def test_an_index_that_cannot_be_read_is_1(espdl: Command, directory: Path) -> None:
    (directory / "INDEX.csv").write_bytes(b"\xff\xfe\x00")
    result = espdl("conformance", directory)
    assert result.code == 1
    assert "INDEX.csv" in result.err


def test_files_for_other_chips_are_left_out(espdl: Command, directory: Path) -> None:
    result = espdl("conformance", directory, "--target", "esp32s31", "--json")
    assert result.json["counts"] == {"pass": 1, "fail": 1, "error": 1, "skip": 0, "other chip": 4}
    assert {cell["chip"] for cell in result.json["matrix"] if cell["operator"] == "Add"} == {"esp32s31"}


def test_every_model_of_a_package_is_a_case(espdl: Command, tmp_path: Path) -> None:
    put(tmp_path, "both.espdl", pack([("good.espdl", add_bytes(target="c")), ("bad.espdl", add_bytes(change=1, target="c"))]))
    files = espdl("conformance", tmp_path, "--json").json["files"]
    assert [(file["file"], file["outcome"]) for file in files] == [
        ("both.espdl[bad.espdl]", "fail"),
        ("both.espdl[good.espdl]", "pass"),
    ]


def test_several_processes_give_the_same(espdl: Command, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = espdl("conformance", directory, "--jobs", 1, "--json").json
    monkeypatch.setattr("espdl.report.conformance.runner.FEW", 0)
    monkeypatch.setattr("espdl.report.conformance.runner.CHUNK", 3)
    several = espdl("conformance", directory, "--jobs", 2, "--json").json
    assert several["files"] == one["files"]
    assert several["jobs"] == 2


def test_page_stands_alone_and_names_failures(espdl: Command, directory: Path, tmp_path: Path) -> None:
    put(directory, "esp32s3/<b>&.espdl", add_bytes(change=1))
    path = tmp_path / "report.html"
    result = espdl("conformance", directory, "--report", path)
    assert result.code == 1
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=|https?://|@import", page)
    assert "prefers-color-scheme: dark" in page
    assert "esp32p4/bad.espdl" in page and "expected 13, got 10" in page
    assert "&lt;b&gt;&amp;.espdl" in page and "<b>&." not in page
    for kind in ("failure", "int16", "float32", "apart"):
        assert f'<tr data-kind="{kind}"' in page
    assert "$" not in page, "every placeholder is filled in"


def test_report_as_data_is_what_json_prints(espdl: Command, directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    printed = espdl("conformance", directory, "--report", path, "--json").json
    assert json.loads(path.read_text()) == printed


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nowhere"], 2, "does not exist"),
        ([".", "--report", "report.pdf"], 2, ".html"),
        ([".", "--jobs", "0"], 2, "--jobs"),
        (["empty"], 1, "no .espdl file"),
        (["silent"], 1, "nothing was tested"),
    ],
)
def test_what_cannot_be_tested(
    espdl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, text: str
) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path, "silent/silent.espdl", add_bytes(test_values=False, target="c"))
    monkeypatch.chdir(tmp_path)
    result = espdl("conformance", *arguments)
    assert result.code == code
    assert text in result.out + result.err


@pytest.mark.slow
@pytest.mark.parametrize("arithmetic", ["reference", "silicon"])
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_all_that_the_cpp_code_passes_passes(espdl: Command, conformance: Path, arithmetic: str, backend: str) -> None:
    result = espdl("conformance", conformance / "ops", "--arithmetic", arithmetic, "--backend", backend, "--json")
    found = result.json
    assert result.code == 0
    assert found["comparison"]["both_pass"] == 1835
    assert found["comparison"]["only_cpp"] == 0
    assert found["failures"] == 0
    for file in found["files"]:
        assert bool(file["causes"]) is (file["cpp"] == "fails"), file["file"]
        assert all("not explained" not in cause["rule"] for cause in file["causes"]), file["file"]
