"""``espdl report``, and the drawing and the table of ``espdl inspect``."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_report_with_the_float_network(espdl: Command, digits: Path, network: Path, calibration: Path, tmp_path: Path) -> None:
    page = tmp_path / "digits.html"
    result = espdl("report", digits, "-o", page, "--float", network, "--data", calibration)
    assert result.code == 0
    assert "against the float network" in result.out
    assert "6 samples" in result.out
    text = page.read_text(encoding="utf-8")
    for words in ("<!doctype html>", "SNR of the noisiest output", "noise it adds", 'id="errors-rows"', "float network "):
        assert words in text
    assert f"{len(text.encode()) / 1024:.1f} KB" in result.out
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    noisy = [node for node in data["nodes"] if node["noise"] is not None]
    assert {node["op"] for node in noisy} == {"Conv", "Gemm"}
    assert all("noise it alone adds" in dict(node["facts"]) for node in noisy)


def test_report_lies_beside_by_default(espdl: Command, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = espdl("report", digits, "--json").json
    assert found["report"] == "digits.html"
    assert found["report_bytes"] == (tmp_path / "digits.html").stat().st_size
    assert found["memory"]["fits"] is True
    assert found["latency"]["interval"] == 0.9
    assert found["samples"] == "the test values in the file"
    assert found["errors_measured"] is False


def test_report_of_an_encrypted_file(espdl: Command, digits: Path, network: Path, calibration: Path, tmp_path: Path) -> None:
    key, secret, page = tmp_path / "key.bin", tmp_path / "secret.espdl", tmp_path / "page.html"
    key.write_bytes(bytes(range(16)))
    assert espdl("encrypt", digits, "-o", secret, "--key-file", key).code == 0
    shutil.copy(digits.with_suffix(".json"), secret.with_suffix(".json"))
    assert espdl("report", secret, "-o", page).code == 1
    result = espdl("report", secret, "-o", page, "--key-file", key, "--float", network, "--data", calibration)
    assert result.code == 0 and "against the float network" in result.out


def test_report_refuses(espdl: Command, digits: Path, network: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = espdl("report", digits, "-o", page, "--float", network)
    assert result.code == 1 and "--data" in result.err
    result = espdl("report", digits, "-o", page, "--data", "nowhere.npy")
    assert result.code == 1 and "nowhere.npy" in result.err
    result = espdl("report", digits, "-o", page, "--module", "N0R99")
    assert result.code == 1 and "no module" in result.err
    assert not page.exists()


def test_inspect_draws_the_graph(espdl: Command, digits: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "digits.svg"
    result = espdl("inspect", digits, "--graph", drawing)
    assert result.code == 0 and str(drawing) in result.out.replace("\n", "")
    root = ElementTree.parse(drawing).getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "logits" in texts and texts.count("Swish") == 8


def test_inspect_lists_tensors(espdl: Command, digits: Path) -> None:
    result = espdl("inspect", digits, "--tensors")
    assert "Variables and what they can hold" in result.out
    assert "Parameters and what they hold" in result.out
    assert max(map(len, result.out.splitlines())) <= 100
    rows = espdl("inspect", digits, "--json").json["tensors"]
    image = next(row for row in rows if row["name"] == "image")
    assert (image["kind"], image["shape"], image["layout"], image["size"]) == ("input", [1, 8, 8, 1], "NHWC", 64)
    assert "classifier.weight" in {row["name"] for row in rows}
