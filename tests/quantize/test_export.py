"""What quantizing writes: the same bytes every time, three files or none, and what the guide's function promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from espdl.api import espdl_quantize_onnx, get_target_platform
from espdl.deploy import decrypt_file
from espdl.dl import Model
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import parse_packing_tag, read_model, unpack_filter
from espdl.fbs.container import read_container
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.setting import QuantizationSettingFactory
from tests.quantize.graphs import feeds, network, op, weights

NODES = [
    op("Conv", "x w b", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    op("Relu", "c", "r"),
    op("Conv", "r d", "e", kernel_shape=[3, 3], group=19),
    op("Sigmoid", "e", "s"),
    op("Mul", "e s", "m"),
    op("Tanh", "m", "t"),
    op("GlobalAveragePool", "t", "g"),
    op("Flatten", "g", "f"),
    op("Gemm", "f k h", "l", transB=1),
    op("Softmax", "l", "y", axis=1),
]
CONSTANTS = {
    "w": weights(19, 3, 3, 3) / 5,
    "b": weights(19),
    "d": weights(19, 1, 3, 3) / 3,
    "k": weights(7, 19) / 4,
    "h": weights(7),
}


def model() -> onnx.ModelProto:
    return network(NODES, {"x": [1, 3, 8, 8]}, CONSTANTS)


SAMPLES = [feeds(model(), seed)["x"] for seed in range(4)]


def quantized(target: str = "esp32s3", **options: Any) -> QuantizedModel:
    return quantize(model(), SAMPLES, target=target, test_values=True, **options)


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(model(), path)
    return path


# The bytes


@pytest.mark.parametrize("bits", [8, 16])
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, bits: int) -> None:
    for name in ("one", "two"):
        quantized(bits=bits).save(tmp_path / name / "net.espdl")
    for suffix in (".espdl", ".info", ".json"):
        assert (tmp_path / f"one/net{suffix}").read_bytes() == (tmp_path / f"two/net{suffix}").read_bytes()


def test_the_bytes_do_not_depend_on_the_hash_seed(onnx_file: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", *SAMPLES)
    code = (
        "import sys, numpy as np, zlib\n"
        "from espdl.quantize.api import quantize\n"
        f"data = np.load({str(tmp_path / 'data.npz')!r})\n"
        f"model = quantize({str(onnx_file)!r}, [data[n] for n in data.files], target='c', test_values=True)\n"
        "from espdl.quantize.config_json import config_json\n"
        "print(zlib.crc32(model.data), zlib.crc32(config_json(model.graph).encode()))\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
def test_the_file_holds_the_network_for_the_chip(target: str) -> None:
    result = quantized(target, setting=QuantizationSettingFactory.esp_ppq_setting())
    record = read_model(read_container(result.data).payload(read_container(result.data).entries[0]))
    graph = record.graph
    assert record.metadata_props["target"] == target
    assert [node.op_type for node in graph.node] == [
        "Conv",
        "Conv",
        "Swish",
        "Tanh",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
        "Softmax",
    ]
    assert [(v.name, v.data_type, v.shape) for v in graph.input] == [("x", DType.INT8, (1, 8, 8, 3))]
    assert [(v.name, v.data_type, v.shape) for v in graph.output] == [("y", DType.FLOAT, (1, 7))]
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    assert tensors["w"].dims == (3, 3, 3, 19)
    assert tensors["d"].dims == (3, 3, 19, 1)
    assert tensors["k"].dims == (1, 1, 19, 7)
    assert tensors["b"].data_type is DType.INT32
    tables = [tensor for tensor in graph.initializer if "_lut_" in tensor.name]
    assert [tensor.name for tensor in tables] == ["Swish_lut_0", "Tanh_lut_1"]
    assert graph.initializer[:2] == tables
    for name, depthwise, axes in (("w", False, (2, 3, 1, 0)), ("d", True, (2, 3, 0, 1))):
        tensor = tensors[name]
        tag = parse_packing_tag(tensor.doc_string)
        assert tag is not None
        logical = unpack_filter(tensor.data, tensor.dims, tag, depthwise).astype(np.float64)
        wanted = CONSTANTS[name].transpose(axes)[..., 0] if depthwise else CONSTANTS[name].transpose(axes)
        step = np.ldexp(1.0, np.array(tensor.exponents))
        # the default calibration of weights cuts off one value in ten thousand
        assert np.median(np.abs(logical * step - wanted)) <= step.max() / 2
    assert len(tensors["w"].exponents) == (19 if target == "esp32p4" else 1)


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_file_passes_its_own_test(target: str, bits: int) -> None:
    assert quantized(target, bits=bits).model(arithmetic="reference").test()


def test_at_16_bits_functions_become_tables() -> None:
    nodes = {node.op_type: {a.name: a.value for a in node.attribute} for node in quantized(bits=16).record.graph.node}
    assert nodes["LUT"]["int16_lut_step"] == 32
    assert nodes["LUT"]["original_op_type"] in ("Swish", "Tanh")
    setting = QuantizationSettingFactory.espdl_setting(16)
    setting.lut_optimization = False
    types = {node.op_type for node in quantized(bits=16, setting=setting).record.graph.node}
    assert "LUT" not in types


def test_equal_tables_are_stored_once() -> None:
    nodes = [
        op("Concat", "x x", "c", axis=1),
        op("Split", "c n", "a b", axis=1),
        op("Sigmoid", "a", "s"),
        op("Sigmoid", "b", "t"),
        op("Mul", "s t", "y"),
    ]
    result = quantize(network(nodes, {"x": [1, 3]}, {"n": np.array([3, 3])}), [np.array([[1, -2, 3]])], target="c")
    assert [tensor.name for tensor in result.record.graph.initializer if "lut" in tensor.name] == ["Sigmoid_lut_0"]


def test_intermediate_tensors_can_be_test_outputs() -> None:
    result = quantized(test_output_names=["t", "y"])
    assert [tensor.name for tensor in result.record.graph.test_outputs_value] == ["t", "y"]
    assert result.model(arithmetic="reference").test()
    with pytest.raises(EspdlError, match="'c'"):
        quantized(test_output_names=["c"])


def test_test_inputs_may_be_given() -> None:
    result = quantized(test_inputs=[np.full((1, 3, 8, 8), 0.25)])
    (tensor,) = result.record.graph.test_inputs_value
    assert np.ptp(tensor.data) == 0
    assert tensor.dims == (1, 8, 8, 3)


def test_a_model_runs_on_real_values_and_tells_how_good_it_is() -> None:
    result = quantized()
    (output,) = result.run({"x": SAMPLES[0]}).values()
    assert output.shape == (1, 7)
    assert abs(output.sum() - 1) < 1e-3
    assert "y:" in result.report()
    assert result.snr([{"x": sample} for sample in SAMPLES])["y"] > 20


# The files


def test_three_files_are_written(tmp_path: Path) -> None:
    result = quantized()
    paths = result.save(tmp_path / "a/b/net.espdl")
    assert [path.name for path in paths] == ["net.espdl", "net.json", "net.info"] or {p.name for p in paths} == {
        "net.espdl",
        "net.info",
        "net.json",
    }
    assert paths[0].read_bytes() == result.data
    assert sorted(path.name for path in (tmp_path / "a/b").iterdir()) == ["net.espdl", "net.info", "net.json"]
    assert Model(str(paths[0])).chip.name == "esp32s3"
    assert [p.name for p in result.save(tmp_path / "alone.espdl", config=False)] == ["alone.espdl"]
    assert not (tmp_path / "alone.json").exists()


def test_the_json_file_tells_every_representation(tmp_path: Path) -> None:
    result = quantized("esp32p4")
    result.save(tmp_path / "net.espdl")
    config = json.loads((tmp_path / "net.json").read_text())
    node = next(name for name, tensors in config["configs"].items() if "b" in tensors)
    bias, weight, source = (config["configs"][node][name] for name in ("b", "w", "x"))
    assert (bias["bit_width"], bias["state"]) == (32, "PASSIVE")
    assert weight["policy"]["PER_CHANNEL"]
    assert not weight["policy"]["PER_TENSOR"]
    assert config["dispatchings"][node] == "ESPDL_INT8"
    scales = config["values"][str(weight["dominator"])]["scale"]
    assert len(scales) == 19
    assert config["values"][str(source["dominator"])]["zero_point"] == 0.0
    referenced = {str(entry["dominator"]) for tensors in config["configs"].values() for entry in tensors.values()}
    assert referenced <= config["values"].keys()


KILLED = """
import os, signal, sys
import numpy as np
import espdl.quantize.export as export
from espdl.quantize.api import quantize

left = int(sys.argv[3])
def counting(function):
    def step(*arguments):
        global left
        result = function(*arguments)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return step

export.write_atomically = counting(export.write_atomically)
data = np.load(sys.argv[2])
quantize(sys.argv[1], [data], target="c").save(sys.argv[4])
"""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_export_leaves_the_older_files(onnx_file: Path, tmp_path: Path, after: int) -> None:
    np.save(tmp_path / "data.npy", SAMPLES[0])
    target = tmp_path / "out/net.espdl"
    old = quantized("esp32p4")
    old.save(target)
    before = {path.name: path.read_bytes() for path in target.parent.iterdir()}
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    arguments = [sys.executable, str(script), str(onnx_file), str(tmp_path / "data.npy"), str(after), str(target)]
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == -9
    assert {path.name: path.read_bytes() for path in target.parent.iterdir() if path.is_file()} == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EspdlError, match=r"net\.espdl"):
        quantized().save(tmp_path / "file/net.espdl")


# The guide's function


def test_the_function_of_the_guide(onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = onnx_file.read_bytes()
    graph = espdl_quantize_onnx(
        onnx_import_file=str(onnx_file),
        espdl_export_file=str(tmp_path / "out/net.espdl"),
        calib_dataloader=[(sample, np.array(3)) for sample in SAMPLES],
        calib_steps=8,
        input_shape=[1, 3, 8, 8],
        target="esp32p4",
        num_of_bits=8,
        collate_fn=lambda batch: batch[0],
        setting=None,
        device="cpu",
        error_report=True,
        skip_export=False,
        export_test_values=True,
        verbose=0,
        inputs=None,
        metadata_props={"author": "me"},
        model_version=3,
    )
    assert " dB" in capsys.readouterr().out
    assert onnx_file.read_bytes() == before
    written = Model(str(tmp_path / "out/net.espdl"), arithmetic="reference")
    assert written.test()
    assert written.get_metadata_prop("author") == "me"
    assert graph.record.model_version == 3


def test_an_encrypted_file_is_the_plain_one_under_its_key(
    onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"calib_dataloader": SAMPLES, "calib_steps": 4, "input_shape": [1, 3, 8, 8], "error_report": False}
    plain = espdl_quantize_onnx(onnx_file, tmp_path / "plain.espdl", **given)
    key = bytes(range(16))
    espdl_quantize_onnx(onnx_file, tmp_path / "secret.espdl", encrypt_data=key, **given)
    monkeypatch.setenv("ESPDL_KEY", key.hex())
    espdl_quantize_onnx(onnx_file, tmp_path / "from_environment.espdl", encrypt_data=True, **given)
    secret = (tmp_path / "secret.espdl").read_bytes()
    assert secret == (tmp_path / "from_environment.espdl").read_bytes()
    assert secret[16:] != plain.data[16:]
    decrypt_file(tmp_path / "secret.espdl", tmp_path / "open.espdl", key)
    assert (tmp_path / "open.espdl").read_bytes() == plain.data


def test_the_configuration_goes_where_it_is_asked_for(onnx_file: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"calib_dataloader": SAMPLES, "calib_steps": 4, "input_shape": [1, 3, 8, 8], "error_report": False}
    espdl_quantize_onnx(onnx_file, tmp_path / "net.espdl", config_path=tmp_path / "other" / "config.json", **given)
    assert sorted(path.name for path in tmp_path.glob("net.*")) == ["net.espdl", "net.info", "net.onnx"]
    assert json.loads((tmp_path / "other" / "config.json").read_text())["configs"]
    with pytest.raises(EspdlError, match="one name"):
        espdl_quantize_onnx(onnx_file, tmp_path / "net.espdl", config_path=tmp_path / "net.info", **given)


def test_a_quantized_model_is_shown_in_one_line(onnx_file: Path, tmp_path: Path) -> None:
    model = espdl_quantize_onnx(onnx_file, tmp_path / "net.espdl", SAMPLES, 4, [1, 3, 8, 8], error_report=False, target="c")
    assert re.fullmatch(r"<QuantizedModel '.*': \d+ operators?, [\d.]+ KB for c>", repr(model))


def test_nothing_is_written_when_export_is_skipped(onnx_file: Path, tmp_path: Path) -> None:
    espdl_quantize_onnx(onnx_file, tmp_path / "net.espdl", SAMPLES, 4, [[1, 3, 8, 8]], error_report=False, skip_export=True)
    assert not (tmp_path / "net.espdl").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"auto_streaming": True}, "auto_streaming"),
        ({"streaming_table": {"x": 1}}, "streaming_table"),
        ({"streaming_input_shape": [1, 3, 4, 8]}, "auto_streaming=True"),
        ({"auto_streaming": True, "streaming_input_shape": [1, 2, 8, 8]}, "cannot be streamed"),
        ({"debug": True}, "w16a16"),
        ({"quant_type": "w4a4"}, "w4a4"),
        ({"encrypt_data": True}, "encrypt_data"),
        ({"encrypt_data": b"short"}, "16 bytes"),
        ({"config_path": 3}, "config_path"),
        ({"config_path": "net.json", "export_config": False}, "export_config"),
        ({"metadata_props": ["a"]}, "metadata_props"),
        ({"metadata_props": {"a": 1}}, "metadata_props"),
        ({"metadata_props": {"target": "c"}}, "target"),
        ({"model_version": "1.0"}, "model_version"),
        ({"int16_lut_step": 100}, "power of two"),
        ({"test_output_names": ["y"]}, "export_test_values"),
        ({"num_of_bits": None}, "quantization type"),
        ({"quant_type": ""}, "quantization type"),
        ({"target": None}, "esp32c3"),
        ({"calib_steps": "4"}, "calib_steps"),
        ({"calib_steps": 2.0}, "calib_steps"),
        ({"setting": {"equalization": True}}, "espdl_setting"),
        ({"dispatching_override": {"Conv_c": 16}}, "get_target_platform"),
        ({"dispatching_override": {"Conv_c": get_target_platform("esp32p4", 16)}}, "esp32p4"),
        ({"device": "cuda"}, "cuda"),
        ({"target": "esp8266"}, "esp32c3"),
        ({"dispatching_method": "pplnn"}, "allin"),
        ({"num_bits": 8}, "num_bits"),
        ({"calib_dataloader": []}, "empty"),
        ({"calib_steps": 0}, "calib_steps"),
        ({"input_shape": [1, 3, 9, 8]}, ""),
        ({"input_shape": [1, [3, 8, 8]]}, "mixes"),
        ({"calib_dataloader": [np.zeros((1, 8, 8, 3))]}, "channels first"),
        ({"onnx_import_file": "missing.onnx"}, "missing.onnx"),
        ({"dispatching_override": {"Conv_z": get_target_platform("c", 16)}}, "Conv_c"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    onnx_file: Path, tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    given: dict[str, Any] = {
        "onnx_import_file": onnx_file,
        "espdl_export_file": tmp_path / "net.espdl",
        "calib_dataloader": SAMPLES,
        "calib_steps": 2,
        "input_shape": [1, 3, 8, 8],
        "target": "c",
        **options,
    }
    with pytest.raises(EspdlError) as error:
        espdl_quantize_onnx(**given)
    assert text in str(error.value)
    assert not (tmp_path / "net.espdl").exists()


def test_hand_made_scales_are_taken() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.quant_config_modify = True
    name = next(node.name for node in quantized().graph.nodes() if node.op_type == "Tanh") or ""
    setting.quant_config_modify_setting.custom_config = {name: 2.0**-6}
    assert quantized(setting=setting).graph.produced["t"].exponent == -6
    setting.quant_config_modify_setting.custom_config = {name: 0.3}
    with pytest.raises(EspdlError, match="power of two"):
        quantized(setting=setting)
    setting.quant_config_modify_setting.custom_config = {"Tanh_u": 1.0}
    with pytest.raises(EspdlError, match="Tanh_t"):
        quantized(setting=setting)


def test_operators_that_cannot_run_are_all_named() -> None:
    nodes = [op("Det", "x", "d"), op("Einsum", "d", "y", equation="...->...")]
    with pytest.raises(EspdlError) as error:
        quantize(network(nodes, {"x": [2, 3, 3]}), [np.zeros((2, 3, 3))], target="c")
    assert "Det" in str(error.value)
    assert "Einsum" in str(error.value)


def test_an_input_without_axes() -> None:
    source = network([op("Add", "x z", "y")], {"x": (), "z": (1, 4)}, {})
    samples = [{"x": np.float32(number), "z": np.full((1, 4), number, np.float32)} for number in (-1, 0.5, 2)]
    result = quantize(source, samples, target="c")
    assert result.snr(result.samples)["y"] > 25
