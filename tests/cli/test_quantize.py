"""``espdl quantize`` and ``espdl check``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from espdl.dl import Model
from tests.cli.conftest import Command


@pytest.fixture
def unsupported(tmp_path: Path) -> Path:
    """A network with a node that no chip runs."""
    nodes = [
        helper.make_node("Relu", ["x"], ["y"], "first"),
        helper.make_node("Det", ["y"], ["z"], "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 3])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
    )
    path = tmp_path / "unsupported.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def test_files_and_figures(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    output = tmp_path / "sub/net.espdl"
    result = espdl("quantize", network, "-o", output, "--target", "esp32p4", "--calib", calibration, "--test-values", "--json")
    assert result.code == 0
    found = result.json
    assert found["target"] == "esp32p4"
    assert found["samples"] == 6
    assert set(found["files"]) == {str(output.with_suffix(suffix)) for suffix in (".espdl", ".info", ".json")}
    assert found["files"][0] == str(output)
    assert found["snr_db"]["logits"] > 10
    assert found["test_passed"] is True
    assert {path.name for path in output.parent.iterdir()} == {"net.espdl", "net.info", "net.json"}
    assert Model(output).chip.name == "esp32p4"


def test_quantization_types(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.espdl"
    common = ("quantize", network, "-o", output, "--target", "esp32s3")
    data = ("--calib", calibration)
    for options, kind, bits, inputs in (
        (("--quant-type", "w8a16", *data), "w8a16", 16, "INT16"),
        (("--quant-type", "none"), "none", 0, "FLOAT"),
        (("--bits", "16", *data), "w16a16", 16, "INT16"),
        (data, "w8a8", 8, "INT8"),
    ):
        result = espdl(*common, *options, "--json")
        assert (result.code, result.json["quant_type"], result.json["bits"]) == (0, kind, bits)
        assert Model(output).get_input().dtype.name == inputs
    assert "float" in espdl(*common, "--quant-type", "none").out
    for wrong in ((), ("--quant-type", "w8a16"), ("--bits", "8", "--quant-type", "w8a8", *data), ("--quant-type", "w4a4", *data)):
        assert espdl(*common, *wrong).code == 2


def test_every_verb_knows_every_chip(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    output, image = tmp_path / "net.espdl", tmp_path / "in.npz"
    np.savez(image, image=np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1))
    target = ("--target", "esp32s31")
    assert espdl("check", network, *target, "--json").json["runs"]
    assert espdl("quantize", network, "-o", output, *target, "--calib", calibration, "--test-values").code == 0
    for result in (espdl("test", output), espdl("test", output, *target), espdl("test", output, "--target", "esp32p4")):
        assert result.code == 0
    result = espdl("run", output, "--inputs", image, "--outputs", tmp_path / "out.npz", "--json")
    assert (result.code, result.json["target"]) == (0, "esp32s31")
    assert espdl("profile", output, *target).code == 0
    refused = espdl("run", output, "--inputs", image, "--outputs", tmp_path / "out.npz", "--target", "esp32s3")
    assert refused.code == 1
    assert "cannot run on esp32s3" in refused.err
    assert "esp32s31" in espdl("inspect", output).out


def test_text(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.espdl"
    result = espdl("quantize", network, "-o", output, "--target", "c", "--calib", calibration, "--calib-steps", 3)
    assert result.code == 0
    for text in ("3 samples", "SNR of logits", "net.info", "c, 8 bits"):
        assert text in result.out
    assert espdl("test", output).code == 1, "no test values were asked for"


def test_same_call_same_bytes(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        espdl("quantize", network, "-o", tmp_path / f"{name}.espdl", "--target", "esp32s3", "--calib", calibration)
    assert (tmp_path / "a.espdl").read_bytes() == (tmp_path / "b.espdl").read_bytes()


def test_mixed_precision(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.espdl"
    common = ["quantize", network, "-o", output, "--target", "esp32p4", "--calib", calibration]
    found = espdl(*common, "--mixed-precision", "--more-latency", "3", "--json").json["mixed_precision"]
    assert found["steps"] and found["measured_db"] > found["snr_db"]
    assert found["mixed_us"] <= 4 * found["narrow_us"] and found["more_latency"] == 3
    assert output.stat().st_size == found["mixed_bytes"]
    assert espdl(*common, "--json").json["mixed_precision"] is None
    text = espdl(*common, "--mixed-precision", "--more-latency", "3").out
    assert "mixed precision:" in text and "in 16 bits" in text and "of the noise" in text


def test_mixed_precision_in_a_recipe(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("mixed_precision = true\n[mixed_precision_setting]\nmore_latency = 3\nsnr_db = inf\n")
    call = ["quantize", network, "-o", tmp_path / "net.espdl", "--target", "esp32p4", "--calib", calibration, "--setting", recipe]
    assert espdl(*call, "--json").json["mixed_precision"]["steps"]
    assert espdl(*call, "--more-latency", "3").code == 2
    refused = espdl(*call, "--bits", "16")
    assert refused.code == 1 and "mixed_precision chooses layers of an 8-bit network" in refused.err


def test_recipe_is_used(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('[quantize_activation_setting]\ncalib_algorithm = "minmax"\n')
    for name, option in (("a", []), ("b", ["--setting", tmp_path / "recipe.toml"])):
        result = espdl("quantize", network, "-o", tmp_path / f"{name}.espdl", "--target", "c", "--calib", calibration, *option)
        assert result.code == 0
    assert (tmp_path / "a.espdl").read_bytes() != (tmp_path / "b.espdl").read_bytes()


@pytest.mark.parametrize(
    ("recipe", "text"),
    [("equalisation = true", "equalization"), ("tqt_optimisation = true", "tqt_optimization"), ("x", "cannot be read")],
)
def test_recipe_that_cannot_be_followed(
    espdl: Command, network: Path, calibration: Path, tmp_path: Path, recipe: str, text: str
) -> None:
    (tmp_path / "recipe.toml").write_text(recipe)
    arguments = ["-o", tmp_path / "a.espdl", "--target", "c", "--calib", calibration, "--setting", tmp_path / "recipe.toml"]
    result = espdl("quantize", network, *arguments)
    assert result.code == 1
    assert text in result.err
    assert not (tmp_path / "a.espdl").exists()


def test_failure_leaves_the_old_file(espdl: Command, network: Path, digits: Path, tmp_path: Path) -> None:
    output = tmp_path / "net.espdl"
    output.write_bytes(digits.read_bytes())
    samples = np.zeros((3, 1, 8, 8), np.float32)
    samples[2, 0, 4, 4] = np.nan
    np.save(tmp_path / "nan.npy", samples)
    result = espdl("quantize", network, "-o", output, "--target", "esp32s3", "--calib", tmp_path / "nan.npy")
    assert result.code == 1
    assert "NaN" in result.err
    assert output.read_bytes() == digits.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"net.espdl", "nan.npy"}


@pytest.mark.parametrize("calibration", ["nowhere/", "nowhere.npy", "nowhere:function", "README"])
def test_missing_calibration_data(espdl: Command, network: Path, tmp_path: Path, calibration: str) -> None:
    result = espdl("quantize", network, "-o", tmp_path / "a.espdl", "--target", "c", "--calib", calibration)
    assert result.code == 1
    assert "calibration" in result.err


def test_pictures_are_cut_out_of_resized_ones(espdl: Command, network: Path, tmp_path: Path) -> None:
    Image.fromarray(np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)).save(tmp_path / "a.png")
    arguments = ["quantize", network, "-o", tmp_path / "a.espdl", "--target", "c", "--calib", tmp_path]
    assert espdl(*arguments, "--resize", 10).code == 0
    assert "smaller than the network's 8 x 8" in espdl(*arguments, "--resize", 6).err


def test_scales_out_of_range(espdl: Command, network: Path, calibration: Path, tmp_path: Path) -> None:
    arguments = ["quantize", network, "-o", tmp_path / "a.espdl", "--target", "c", "--calib", calibration]
    assert "divide by 255" in espdl(*arguments, "--mean", "127.5").err
    assert espdl(*arguments, "--std", "a,b").code == 2


def test_unsupported_network_is_refused_before_work(espdl: Command, unsupported: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 1, 3, 3), np.float32))
    result = espdl("quantize", unsupported, "-o", tmp_path / "a.espdl", "--target", "c", "--calib", tmp_path / "x.npy")
    assert result.code == 1
    assert "'second'" in result.err
    assert "Det" in result.err


def test_check(espdl: Command, network: Path, unsupported: Path) -> None:
    fine = espdl("check", network, "--target", "esp32s3")
    assert fine.code == 0
    assert "can run on esp32s3" in fine.out
    assert max(map(len, fine.out.splitlines())) <= 100
    bad = espdl("check", unsupported, "--target", "esp32s3")
    assert bad.code == 1
    assert "cannot run on esp32s3" in bad.out
    found = espdl("check", unsupported, "--target", "esp32s3", "--json")
    assert found.code == 1
    assert found.json["runs"] is False
    statuses = {node["name"]: node["status"] for node in found.json["nodes"]}
    assert statuses == {"first": "supported", "second": "unsupported"}


def test_dynamic_shapes_are_frozen(espdl: Command, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], "relu")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
    )
    path = tmp_path / "dynamic.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    refused = espdl("check", path, "--target", "c")
    assert refused.code == 1
    assert "'x'" in refused.err
    for shape in ("x=1,3,8,8", "1,3,8,8"):
        assert espdl("check", path, "--target", "c", "--input-shape", shape).code == 0


def test_check_of_a_file_that_is_no_network(espdl: Command, digits: Path) -> None:
    result = espdl("check", digits, "--target", "c")
    assert result.code == 1
    assert "digits.espdl" in result.err


@pytest.mark.parametrize(
    ("name", "why"), [("net.onnx", "is read"), ("net.json", "cannot be a .json file"), ("net", "not a file")]
)
def test_outputs_that_cannot_be(espdl: Command, network: Path, calibration: Path, tmp_path: Path, name: str, why: str) -> None:
    source = tmp_path / "net.onnx"
    source.write_bytes(network.read_bytes())
    (tmp_path / "net.info").mkdir()
    result = espdl("quantize", source, "-o", tmp_path / name, "--target", "c", "--calib", calibration)
    assert result.code == 1
    assert why in result.err
    assert source.read_bytes() == network.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "net.info"}


def test_an_exact_output_in_json(espdl: Command, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), tmp_path / "net.onnx")
    np.save(tmp_path / "data.npy", np.array([[1, -1, 0.5, 0.25]], np.float32))
    arguments = ["-o", tmp_path / "net.espdl", "--target", "c", "--calib", tmp_path / "data.npy", "--json"]
    result = espdl("quantize", tmp_path / "net.onnx", *arguments)
    assert result.json["snr_db"] == {"y": None}
    assert "Infinity" not in result.out
