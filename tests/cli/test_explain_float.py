"""``espdl explain`` beside the float network: what is not rounding is found in files that were tampered with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espdl.fbs import FbsLoader, records, wrap_model, write_model
from tests.cli.conftest import Command


def _node(model: records.Model, op_type: str) -> records.Node:
    return next(node for node in model.graph.node if node.op_type == op_type)


def _set_exponent(model: records.Model, name: str, exponent: int) -> None:
    graph = model.graph
    graph.value_info = [replace(v, exponents=(exponent,)) if v.name == name else v for v in graph.value_info]
    graph.output = [replace(v, exponents=(exponent,)) if v.name == name else v for v in graph.output]


def small_exponent(model: records.Model) -> str:
    _set_exponent(model, "logits", -8)
    return _node(model, "Gemm").name


def large_exponent(model: records.Model) -> str:
    _set_exponent(model, "logits", 1)
    return _node(model, "Gemm").name


def other_weights(model: records.Model) -> str:
    node = _node(model, "Gemm")
    tensor = next(t for t in model.graph.initializer if t.name == node.input[1])
    tensor.data = (tensor.data // 2).astype(tensor.data.dtype)
    return node.name


def other_table(model: records.Model) -> str:
    node = _node(model, "Swish")
    name = next(entry.value for entry in node.attribute if entry.name == "lut")
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.data = tensor.data.copy()
    tensor.data.reshape(-1)[120:140] += 5
    return node.name


def other_operator(model: records.Model) -> str:
    place = next(index for index, node in enumerate(model.graph.node) if node.op_type == "Add")
    node = model.graph.node[place]
    model.graph.node[place] = records.Node("Sub", node.name, node.input, node.output, node.attribute)
    return node.name


Tamper = Callable[[records.Model], str]


@pytest.fixture
def explained(espdl: Command, network: Path, calibration: Path, digits: Path, tmp_path: Path) -> Callable[[Tamper], Any]:
    def run(tamper: Tamper) -> Any:
        model = FbsLoader(digits).load().record
        node = tamper(model)
        path = tmp_path / "tampered.espdl"
        path.write_bytes(wrap_model(write_model(model)))
        shutil.copy(digits.with_suffix(".json"), path.with_suffix(".json"))
        result = espdl("explain", network, path, "--data", calibration, "--most", 100, "--json")
        assert result.code == 1
        return next(finding for finding in result.json["findings"] if finding["node"] == node)

    return run


@pytest.mark.parametrize(
    ("tamper", "cause"),
    [
        (small_exponent, "clipping"),
        (large_exponent, "exponent-too-large"),
        (other_weights, "weights"),
        (other_table, "lut-table"),
        (other_operator, "function"),
    ],
)
def test_tampering_is_found(explained: Callable[[Tamper], Any], tamper: Tamper, cause: str) -> None:
    assert explained(tamper)["cause"] == cause


def test_an_untouched_file_has_rounding_and_clipping_only(espdl: Command, network: Path, calibration: Path, digits: Path) -> None:
    found = espdl("explain", network, digits, "--data", calibration, "--most", 100, "--json").json
    assert {finding["cause"] for finding in found["findings"]} <= {"clipping"}
    assert all(0 <= entry["own"] < 0.1 for entry in found["noise"])
    assert len(found["noise"]) > 20
    text = espdl("explain", digits, network)
    assert "output 'logits': SNR" in text.out


def test_a_sample_of_another_scale(espdl: Command, network: Path, calibration: Path, digits: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", np.load(calibration) * 255)
    result = espdl("explain", network, digits, "--data", tmp_path / "pixels.npy")
    assert result.code == 1
    assert "first error that is not rounding: input 'image'" in result.out
    assert "scaled otherwise than" in result.out


def test_what_the_file_was_fed_with(espdl: Command, network: Path, calibration: Path, digits: Path, tmp_path: Path) -> None:
    sample = np.load(calibration)[0].transpose(1, 2, 0)[None]  # as the file takes it
    for array, says in (
        (sample.transpose(0, 2, 1, 3), "it was turned from NCHW to NHWC twice"),
        (sample * 0.5, "times 0.5 plus 0"),
    ):
        np.savez(tmp_path / "fed.npz", image=np.ascontiguousarray(array))
        result = espdl("explain", network, digits, "--data", calibration, "--data-b", tmp_path / "fed.npz", "--json")
        assert says in result.json["findings"][0]["text"]


def test_a_dump_without_its_file(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('preset = "esp_ppq"\n')  # without balanced channels, whose units a dump does not tell
    digits = tmp_path / "digits.espdl"
    arguments = ["-o", digits, "--target", "esp32s3", "--calib", calibration, "--setting", tmp_path / "recipe.toml"]
    assert espdl("quantize", network, *arguments).code == 0
    sample = np.load(calibration)[0].transpose(1, 2, 0)[None]
    sample = np.ascontiguousarray(sample)
    np.save(tmp_path / "one.npy", np.load(calibration)[:1])
    dumps = []
    for number, image in enumerate((sample, sample * 0.25)):
        np.savez(tmp_path / "in.npz", image=image)
        dumps.append(tmp_path / f"console{number}.log")
        run = espdl("run", digits, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz", "--dump", dumps[-1])
        assert run.code == 0
    right = espdl("explain", network, dumps[0], "--data", tmp_path / "one.npy", "--target", "esp32s3")
    assert right.code == 0, right.out
    assert "noise jumps nowhere" in right.out
    assert espdl("explain", dumps[1], network, "--target", "esp32s3").code == 0  # on its own inputs
    wrong = espdl("explain", network, dumps[1], "--data", tmp_path / "one.npy", "--target", "esp32s3", "--json")
    assert wrong.code == 1
    assert "times 0.25" in wrong.json["findings"][0]["text"]


def test_two_networks_and_foreign_dumps_are_refused(espdl: Command, network: Path, tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text('espdl-tensor "nothing" int8 0 1 dec 1\n')
    result = espdl("explain", network, log)
    assert result.code == 1
    assert "no tensor of the network" in result.err
    assert "both are float networks" in espdl("explain", network, network).err
