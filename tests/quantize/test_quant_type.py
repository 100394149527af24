"""Quantization types: 16-bit activations with 8-bit weights, and float files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espdl.api import espdl_quantize_onnx, get_target_platform
from espdl.chips import get_chip
from espdl.dl import Model
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import read_model
from espdl.fbs.packing import parse_packing_tag, unpack_filter
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.parameters import to_integers
from espdl.quantize.setting import QuantizationSettingFactory
from tests.quantize.graphs import feeds, network, op, run, weights
from tests.quantize.test_networks import calibration

NODES = [
    op("Conv", "x w b", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    op("Relu", "c", "r"),
    op("Conv", "r d", "e", kernel_shape=[3, 3], group=19),
    op("GlobalAveragePool", "e", "g"),
    op("Flatten", "g", "f"),
    op("Gemm", "f k h", "l", transB=1),
    op("MatMul", "l m", "o"),
    op("Transpose", "o", "p", perm=[1, 0]),
    op("MatMul", "p o", "y"),
]
CONSTANTS = {
    "w": weights(19, 3, 3, 3) / 5,
    "b": weights(19),
    "d": weights(19, 1, 3, 3) / 3,
    "k": weights(7, 19) / 4,
    "h": weights(7),
    "m": weights(7, 5) / 2,
}
SOURCE = network(NODES, {"x": [1, 3, 8, 8]}, CONSTANTS)
SAMPLES = [feeds(SOURCE, seed)["x"] for seed in range(4)]
TARGETS = ("c", "esp32s3", "esp32p4", "esp32s31", "esp32c3")


def quant_types(result: QuantizedModel) -> list[tuple[str, Any]]:
    return [
        (node.op_type, next(entry.value for entry in node.attribute if entry.name == "quant_type"))
        for node in result.record.graph.node
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_8_bit_weights_with_16_bit_activations(target: str) -> None:
    result = quantize(SOURCE, SAMPLES, target=target, bits="w8a16", test_values=True)
    found = [entry for entry in quant_types(result) if entry[0] in ("Conv", "Gemm", "MatMul")]
    # The depthwise filter and the product of two activations stay at 16 bits.
    product = "Gemm" if get_chip(target).per_channel_weights else "MatMul"  # which of the two keeps the exponents per channel
    kinds = ["W8A16", "S16", "W8A16", "W8A16", "S16"]
    assert found == list(zip(["Conv", "Conv", "Gemm", product, "MatMul"], kinds, strict=True))
    assert {quant_type for _, quant_type in quant_types(result)} == {"W8A16", "S16"}
    constants = {tensor.name: tensor for tensor in result.record.graph.initializer}
    assert constants["w"].data_type is DType.INT8
    assert constants["d"].data_type is DType.INT16
    assert constants["b"].data_type is DType.INT64
    chip = get_chip(target)
    assert len(constants["w"].exponents) == (19 if chip.per_channel_weights else 1)
    if chip.vector_bytes:
        assert constants["w"].doc_string.endswith("(N/8)HWC8_UNALIGNED")
    assert [value.data_type for value in result.record.graph.input] == [DType.INT16]
    assert any("W8A16" in warning for warning in result.warnings)
    assert result.graph.platforms["Conv_c"] == f"{chip.platform}_W8A16"
    assert result.graph.platforms["MatMul_y"] == f"{chip.platform}_INT16"
    for arithmetic in ("reference", "silicon"):
        assert result.model(arithmetic=arithmetic).test()
    assert min(result.snr(result.samples).values()) > 28


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
def test_8_bit_weights_lie_where_the_chip_looks_for_them(target: str) -> None:
    result = quantize(SOURCE, SAMPLES, target=target, bits="w8a16")
    stored = next(tensor for tensor in result.record.graph.initializer if tensor.name == "w")
    node = next(node for node in result.graph.nodes() if node.name == "Conv_c")
    info = result.graph.input_info(node, 1)
    assert info is not None and info.bits == 8
    unpacked = unpack_filter(stored.data, stored.dims, parse_packing_tag(stored.doc_string), False)
    expected = to_integers(CONSTANTS["w"], info, result.graph.chip)
    np.testing.assert_array_equal(np.transpose(unpacked, (3, 2, 0, 1)), expected)


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
def test_8_bit_weights_are_those_of_esp_ppq(conformance: Path, target: str) -> None:
    """Types, shapes, packing and exponents equal those of the published file, and so do the bytes of weights."""
    name = "audio_conv1d"
    with np.load(conformance / "networks" / name / f"{name}.npz") as archive:
        samples = calibration({key: archive[key] for key in archive.files})
    result = quantize(conformance / "networks" / name / f"{name}_op18.onnx", samples, target=target, bits="w8a16")
    ours = {tensor.name: tensor for tensor in result.record.graph.initializer}
    file = conformance / "ops" / target / "Network" / f"{name}_w8a16.espdl"
    theirs = {tensor.name: tensor for tensor in read_model(file.read_bytes()[16:]).graph.initializer}
    common = [key for key in ours if key in theirs and ours[key].data.size > 3]
    assert len(common) > 10
    for key in common:
        a, b = ours[key], theirs[key]
        assert (a.data_type, a.dims, a.doc_string, a.exponents) == (b.data_type, b.dims, b.doc_string, b.exponents), key
        if a.data_type is not DType.INT64:  # biases: ESP-PPQ rounds in binary32
            np.testing.assert_array_equal(a.data, b.data, key)


def test_a_single_layer_with_8_bit_weights() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.dispatching_table.append("Conv_c", get_target_platform("esp32s3", "w8a16"))
    result = quantize(SOURCE, SAMPLES, target="esp32s3", setting=setting, test_values=True)
    counts = Counter(quant_type for op_type, quant_type in quant_types(result) if op_type in ("Conv", "Gemm", "MatMul"))
    assert counts["W8A16"] == 1 and counts["S16"] == 0
    assert result.model(arithmetic="reference").test()


# Float files


@pytest.mark.parametrize("target", ["c", "esp32p4"])
def test_a_float_file(target: str) -> None:
    result = quantize(SOURCE, None, target=target, bits="none")
    assert {quant_type for _, quant_type in quant_types(result)} == {"F32"}
    values, constants = result.record.graph.value_info, {tensor.name: tensor for tensor in result.record.graph.initializer}
    assert {value.data_type for value in values} == {DType.FLOAT}
    assert {value.exponents for value in values} == {(0,)}
    assert result.record.graph.input[0].shape == (1, 8, 8, 3)  # channels last, as ever
    assert constants["w"].dims == (19, 3, 3, 3)  # weights as in the network
    assert constants["k"].dims == (7, 19)
    np.testing.assert_array_equal(constants["w"].data, CONSTANTS["w"])
    for sample in SAMPLES:
        (expected,) = run(SOURCE, {"x": sample})
        np.testing.assert_allclose(result.run({"x": sample})["y"], expected, rtol=1e-4, atol=1e-5)
    assert result.warnings == ["ESP-DL refuses to load Conv, Gemm, MatMul in float32: only espdl runs the file"]
    assert set(result.graph.platforms.values()) == {"FP32"}


NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
SINGLE = {
    "Gelu": ([op("Gelu", "x", "y")], {}),
    "Resize": ([op("Resize", "x _ s", "y", **NEAREST)], {"s": [1.0, 1.0, 2.0, 2.0]}),
    "MaxPool": ([op("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[2, 2])], {}),
    "Max": ([op("Neg", "x", "n"), op("Max", "x n", "y")], {}),
    "Min": ([op("Neg", "x", "n"), op("Min", "x n", "y")], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
def test_operators_that_the_chip_has_for_integers_only_run_in_float_here(name: str) -> None:
    nodes, constants = SINGLE[name]
    source = network(nodes, {"x": [1, 4, 6, 5]}, constants, opset=20)
    sample = feeds(source)
    result = quantize(source, [sample], target="c", bits="none")
    assert any(name in warning for warning in result.warnings)
    np.testing.assert_allclose(result.run(sample)["y"], run(source, sample)[0], rtol=1e-5, atol=1e-6)


def test_an_operator_that_the_chip_spoils_in_float_is_refused() -> None:
    """The chip takes one of two float entries that ReverseSequence swaps through an integer."""
    nodes = [op("Reshape", "x t", "z"), op("ReverseSequence", "z l", "y", batch_axis=1, time_axis=0)]
    source = network(nodes, {"x": [1, 4, 6, 5]}, {"t": [4, 6, 5], "l": [4, 2, 3, 1, 4, 4]}, opset=20)
    with pytest.raises(EspdlError, match="ReverseSequence cannot run as F32"):
        quantize(source, [feeds(source)], target="c", bits="none")


def test_test_values_of_a_float_file_need_an_input() -> None:
    with pytest.raises(EspdlError, match="test values need an input"):
        quantize(SOURCE, None, target="c", bits="none", test_values=True)
    assert quantize(SOURCE, None, target="c", bits="none", test_values=True, test_inputs=[SAMPLES[0]]).model().test()


def test_calibration_data_are_needed_for_the_one_layer_that_is_quantized() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.dispatching_table.append("Conv_c", get_target_platform("c"))
    with pytest.raises(EspdlError, match="empty"):
        quantize(SOURCE, None, target="c", bits="none", setting=setting)
    result = quantize(SOURCE, SAMPLES, target="c", bits="none", setting=setting)
    assert Counter(quant_type for _, quant_type in quant_types(result))["S8"] >= 1
    assert min(result.snr(result.samples).values()) > 15


def test_one_layer_in_float() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.dispatching_table.append("Gemm_l", get_target_platform("esp32s3", "none"))
    result = quantize(SOURCE, SAMPLES, target="esp32s3", setting=setting, test_values=True)
    assert ("Gemm", "F32") in quant_types(result)
    assert result.model(arithmetic="silicon").test()
    assert result.warnings == ["ESP-DL refuses to load Gemm in float32: only espdl runs the file"]


@pytest.mark.parametrize(
    ("options", "platform", "first"),
    [
        ({"quant_type": "W8A16"}, "ESPDL_S3_W8A16", DType.INT16),
        ({"quant_type": "w8a8", "num_of_bits": 16}, "ESPDL_S3_INT8", DType.INT8),
        ({"quant_type": "none"}, "FP32", DType.FLOAT),
        ({"float": True}, "FP32", DType.FLOAT),
        ({"quant_type": "w16a16", "debug": True}, "ESPDL_S3_H_PRE_INT16", DType.INT16),
        ({"num_of_bits": 16, "hi_precision": True}, "ESPDL_S3_H_PRE_INT16", DType.INT16),
    ],
)
def test_the_guides_function_takes_them(tmp_path: Path, options: dict[str, Any], platform: str, first: DType) -> None:
    source = tmp_path / "net.onnx"
    source.write_bytes(SOURCE.SerializeToString())
    output = tmp_path / "net.espdl"
    espdl_quantize_onnx(
        source, output, SAMPLES, 4, [1, 3, 8, 8], target="esp32s3", error_report=False, export_test_values=True, **options
    )
    assert Model(output).test()
    (image,) = Model(output).get_inputs().values()
    assert image.dtype is first
    assert json.loads(output.with_suffix(".json").read_text())["dispatchings"]["Conv_c"] == platform
