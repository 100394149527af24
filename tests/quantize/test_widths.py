"""Layers in other widths than the rest: the dispatching table, custom widths of tensors, names of layers that were fused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from espdl.api import get_target_platform
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from tests.quantize.graphs import feeds, network, op, weights

NODES = [
    op("Conv", "x w b", "c", kernel_shape=[3, 3]),
    op("Relu", "c", "r"),
    op("Conv", "r v", "d", kernel_shape=[1, 1]),
    op("Sigmoid", "d", "s"),
    op("Mul", "d s", "m"),
    op("GlobalAveragePool", "m", "g"),
    op("Flatten", "g", "f"),
    op("MatMul", "f k", "l"),
    op("Add", "l h", "y"),
]
CONSTANTS = {"w": weights(16, 3, 3, 3) / 5, "b": weights(16), "v": weights(8, 16, 1, 1) / 4, "k": weights(8, 5), "h": weights(5)}
SOURCE = network(NODES, {"x": [1, 3, 8, 8]}, CONSTANTS)
SAMPLES = [feeds(SOURCE, seed) for seed in range(6)]


def fresh() -> QuantizationSetting:
    return QuantizationSettingFactory.espdl_setting()


def quantized(setting: QuantizationSetting, target: str = "esp32s3", bits: int | str = 8) -> QuantizedModel:
    return quantize(SOURCE, SAMPLES, target=target, bits=bits, setting=setting, test_values=True)


def kinds(result: QuantizedModel) -> dict[str, Any]:
    return {
        node.name: next(entry.value for entry in node.attribute if entry.name == "quant_type")
        for node in result.record.graph.node
    }


def types(result: QuantizedModel) -> dict[str, DType]:
    return {value.name: value.data_type for value in result.record.graph.value_info}


# The dispatching table


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
def test_a_relu_follows_the_layer_that_it_is_part_of(target: str) -> None:
    setting = fresh()
    setting.dispatching_table.append("Conv_c", get_target_platform(target, 16))
    result = quantized(setting, target)
    assert kinds(result)["Conv_c"] == "S16"
    assert "Relu_r" not in kinds(result)
    assert types(result)["r"] is DType.INT16
    assert kinds(result)["Conv_d"] == "S8"
    for arithmetic in ("reference", "silicon"):
        assert result.model(arithmetic=arithmetic).test()


def test_a_relu_that_has_a_width_of_its_own_keeps_it() -> None:
    setting = fresh()
    setting.dispatching_table.append("Conv_c", get_target_platform("esp32s3", 16))
    setting.dispatching_table.append("Relu_r", get_target_platform("esp32s3", 8))
    result = quantized(setting)
    assert (kinds(result)["Conv_c"], kinds(result)["Relu_r"]) == ("S16", "S8")
    assert result.model(arithmetic="reference").test()


def test_16_bits_in_every_layer_by_hand_are_16_bits() -> None:
    setting = QuantizationSettingFactory.espdl_setting(16)
    for node in quantized(fresh()).graph.nodes():
        setting.dispatching_table.append(node.name or "", get_target_platform("esp32s3", 16))
    result = quantized(setting)
    assert set(kinds(result).values()) == {"S16"}
    assert min(result.snr(result.samples).values()) > 60


@pytest.mark.parametrize(
    ("given", "becomes"),
    [("Sigmoid_s", "Swish"), ("Mul_m", "Swish"), ("MatMul_l", "Gemm"), ("Add_y", "Gemm"), ("Flatten_f", "Flatten")],
)
def test_a_layer_may_be_named_as_in_the_onnx_file(given: str, becomes: str) -> None:
    setting = fresh()
    setting.dispatching_table.append(given, get_target_platform("esp32p4", 16))
    setting.quantize_activation_setting.calib_algorithm_per_layer[given] = "minmax"
    result = quantized(setting, "esp32p4")
    found = {node.op_type for node in result.record.graph.node if kinds(result)[node.name] == "S16"} - {"RequantizeLinear"}
    assert found == {becomes}
    assert list(setting.dispatching_table.platforms) == [given]  # the caller's setting stays as it is


def test_a_scale_set_by_hand_goes_to_the_node_that_writes_the_tensor() -> None:
    setting = fresh()
    setting.quant_config_modify = True
    setting.quant_config_modify_setting.custom_config["Mul_m"] = 2.0**-2
    result = quantized(setting)
    assert next(value for value in result.record.graph.value_info if value.name == "m").exponents == (-2,)
    setting.quant_config_modify_setting.custom_config = {"Sigmoid_s": 2.0**-7}
    with pytest.raises(EspdlError, match="no layer 'Sigmoid_s'"):
        quantized(setting)


# Widths of tensors


@pytest.mark.parametrize("entries", [{"output_0": 16}, {"input_0": 16}, {"input_0": 16, "output_0": 16}])
def test_an_operator_runs_in_the_widest_of_its_activations(entries: dict[str, int]) -> None:
    setting = fresh()
    setting.custom_tqc["Conv_d"] = {slot: {"bit_width": bits} for slot, bits in entries.items()}
    result = quantized(setting)
    assert kinds(result)["Conv_d"] == "S16"
    assert types(result)["d"] is DType.INT16
    assert kinds(result)["Conv_c"] == "S8"
    assert result.model(arithmetic="reference").test()


def test_8_bit_weights_for_one_16_bit_layer() -> None:
    setting = fresh()
    setting.custom_tqc["Conv_d"] = {"input_1": {"bit_width": 8}, "output_0": {"bit_width": 16}}
    assert kinds(quantized(setting))["Conv_d"] == "W8A16"
    setting = QuantizationSettingFactory.espdl_setting(16)
    setting.custom_tqc["Conv_d"] = {"input_1": {"bit_width": 8}}
    found = kinds(quantized(setting, bits=16))
    assert (found["Conv_c"], found["Conv_d"]) == ("S16", "W8A16")
    setting.custom_tqc["Conv_d"] = {"input_1": {"bit_width": 16}}
    found = kinds(quantized(setting, bits="w8a16"))
    assert (found["Conv_c"], found["Conv_d"]) == ("W8A16", "S16")


def test_8_bits_for_one_layer_of_a_16_bit_network() -> None:
    setting = QuantizationSettingFactory.espdl_setting(16)
    setting.custom_tqc["Conv_d"] = {"input_0": {"bit_width": 8}, "output_0": {"bit_width": 8}, "input_1": {"bit_width": 8}}
    result = quantized(setting, bits=16)
    assert kinds(result)["Conv_d"] == "S8"
    assert result.model(arithmetic="reference").test()


@pytest.mark.parametrize(
    ("layer", "entries", "message"),
    [
        ("Conv_e", {"output_0": {"bit_width": 16}}, "Conv_"),
        ("Conv_d", {"output": {"bit_width": 16}}, "no tensor of a node"),
        ("Conv_d", {"output_1": {"bit_width": 16}}, "no output_1"),
        ("Conv_d", {"output_0": {"bit_width": 4}}, "8 or 16"),
        ("Conv_d", {"output_0": {"bits": 8}}, "8 or 16"),
        ("Conv_d", {"output_0": 16}, "8 or 16"),
        ("Conv_d", {"input_1": {"bit_width": 16}}, "do not go with"),
        ("Conv_c", {"input_2": {"bit_width": 16}}, "follows from the others"),
        ("Conv_d", {"input_0": {"bit_width": 8}, "output_0": {"bit_width": 16}}, "one width"),
    ],
)
def test_widths_that_cannot_be_are_refused(layer: str, entries: Any, message: str) -> None:
    setting = fresh()
    setting.custom_tqc[layer] = entries
    with pytest.raises(EspdlError, match=message):
        quantized(setting)


# Tables of 16-bit operators


def test_the_step_of_16_bit_tables() -> None:
    found = {}
    for step in (1, 32, 256):
        setting = QuantizationSettingFactory.espdl_setting(16)
        setting.lut_optimization_setting.step = step
        result = quantized(setting, bits=16)
        node = next(node for node in result.record.graph.node if node.op_type == "LUT")
        attributes = {entry.name: entry.value for entry in node.attribute}
        assert (attributes["original_op_type"], attributes["int16_lut_step"]) == ("Swish", step)
        table = next(tensor for tensor in result.record.graph.initializer if tensor.name == attributes["lut"])
        assert table.data.size == 65536 // step + (step > 1)
        assert result.model(arithmetic="reference").test()
        found[step] = result.snr(result.samples)["y"]
    assert found[1] >= found[32] > found[256]


def test_without_tables_the_chip_computes_in_float() -> None:
    setting = QuantizationSettingFactory.espdl_setting(16)
    setting.lut_optimization = False
    assert "LUT" not in {node.op_type for node in quantized(setting, bits=16).record.graph.node}
    setting = QuantizationSettingFactory.espdl_setting(16)
    setting.lut_optimization_setting.target_ops = ["Tanh"]
    assert "LUT" not in {node.op_type for node in quantized(setting, bits=16).record.graph.node}


@pytest.mark.parametrize("step", [-1, 0, 48])
def test_an_operator_that_is_always_looked_up_needs_a_step(step: int) -> None:
    gelu = network([op("Gelu", "x", "y")], {"x": [1, 4]}, opset=20)
    data = [np.ones((1, 4), np.float32)]
    setting = QuantizationSettingFactory.espdl_setting(16)
    setting.lut_optimization = False
    with pytest.raises(EspdlError, match="int16_lut_step"):
        quantize(gelu, data, target="c", bits=16, setting=setting, table_step=step)
