"""Real exports: what they become, and that they still compute the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from espdl.chips import get_chip
from espdl.quantize.importer import load_network
from espdl.quantize.passes.tools import shape_of
from espdl.quantize.pipeline import FLOAT_PASSES, prepare
from espdl.quantize.setting import QuantizationSettingFactory
from tests.quantize.graphs import assert_equal, counted, feeds, network, op, run, weights

EXPECTED = {
    "attention_block": {
        "LayerNormalization": 2, "Gemm": 6, "Attention": 1, "Add": 2, "Gelu": 1, "Reshape": 4, "Transpose": 4,
    },
    "audio_conv1d": {
        "AveragePool": 1, "Conv": 6, "Gemm": 1, "LeakyRelu": 1, "LogSoftmax": 1, "MaxPool": 1, "ReduceMean": 1, "Relu": 5,
    },
    "autoencoder": {"Conv": 6, "InsertZeros": 2, "Relu": 4, "Sigmoid": 1, "Tanh": 1},
    "gates": {
        "Conv": 7, "Elu": 1, "GlobalAveragePool": 1, "HardSigmoid": 1, "HardSwish": 1, "LeakyRelu": 1, "Mul": 2, "PRelu": 1, "Relu": 1,
        "Sigmoid": 1, "Tanh": 1,
    },
    "mobilenetv2_stack": {"Add": 2, "Clip": 10, "Conv": 14, "Gemm": 1, "ReduceMean": 1, "Softmax": 1},
    "sin_mlp": {"Gemm": 3, "Relu": 2},
    "small_cnn": {"Add": 1, "Clip": 4, "Conv": 4, "Flatten": 1, "Gemm": 1, "GlobalAveragePool": 1},
    "tcn_stream": {"Add": 3, "Conv": 9, "Relu": 8, "Sigmoid": 1},
    "yolo_like": {"Add": 3, "Concat": 5, "Conv": 19, "MaxPool": 3, "Resize": 1, "Sigmoid": 1, "Split": 3, "Swish": 17},
    "gru_net": {"Conv": 1, "GRU": 1, "Gemm": 1, "Relu": 1, "Squeeze": 1, "Transpose": 2},
    "gru_state": {"GRU": 1, "Gemm": 1, "Squeeze": 1},
    "lstm_net": {"Gemm": 2, "LSTM": 1, "Relu": 1, "Squeeze": 1},
    "lstm_state": {"Gemm": 1, "LSTM": 1, "Sigmoid": 1, "Squeeze": 1},
}  # fmt: skip

TASKS = {
    "digits20": {"Conv": 7, "Flatten": 1, "Gemm": 1, "GlobalAveragePool": 1, "MaxPool": 1, "Relu": 7},
    "imagenet_mobilenetv2": {"Add": 10, "Clip": 35, "Conv": 52, "Flatten": 1, "Gemm": 1, "GlobalAveragePool": 1},
    "mnist1d_conv1d": {"Conv": 4, "Flatten": 1, "Gemm": 1, "Relu": 4},
    "mnist1d_gru": {"GRU": 1, "Gather": 1, "Gemm": 1, "Squeeze": 1, "Transpose": 2},
    "orientation": {
        "Conv": 32, "Flatten": 1, "Gemm": 1, "GlobalAveragePool": 3, "HardSigmoid": 2, "HardSwish": 28, "Mul": 3, "Relu": 2, "Softmax": 1,
    },
    "vowels_gru": {"GRU": 1, "Gather": 1, "Gemm": 1, "Squeeze": 1, "Transpose": 2},
}  # fmt: skip


@pytest.mark.parametrize("export", ["op13", "op18", "dynamo18"])
@pytest.mark.parametrize("name", EXPECTED)
def test_every_export_of_a_network_becomes_the_same_operators(conformance: Path, name: str, export: str) -> None:
    path = conformance / "networks" / name / f"{name}_{export}.onnx"
    data = np.load(conformance / "networks" / name / f"{name}.npz")
    model = load_network(path)
    result = prepare(model, get_chip("esp32s3"))

    inputs = {value.name or "": data[f"test_in{index}"] for index, value in enumerate(result.graph.inputs)}
    assert_equal(run(result, inputs), run(str(path), inputs))
    wanted = dict(EXPECTED[name])
    if "Squeeze" in wanted and export == "dynamo18":  # that exporter writes Squeeze as Reshape
        wanted["Reshape"] = wanted.pop("Squeeze")
    assert counted(result) == wanted
    _assert_sound(result)


@pytest.mark.parametrize("name", TASKS)
def test_trained_networks(conformance: Path, name: str) -> None:
    path = conformance / "tasks" / name / "model.onnx"
    result = prepare(load_network(path), get_chip("esp32p4"))
    inputs = feeds(result)
    assert_equal(run(result, inputs), run(str(path), inputs))
    assert counted(result) == TASKS[name]
    _assert_sound(result)


def _assert_sound(model: ir.Model) -> None:
    onnx.checker.check_model(ir.to_proto(model))
    names = [node.name for node in model.graph]
    assert all(names)
    assert len(names) == len(set(names))
    for node in model.graph:
        for value in node.outputs:
            assert value.dtype is not None, (node.name, value.name)
            assert shape_of(value) is not None, (node.name, value.name)


def test_prepare_leaves_the_imported_network_as_it_is(conformance: Path) -> None:
    model = load_network(conformance / "networks/yolo_like/yolo_like_op13.onnx")
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    prepare(model, get_chip("c"))
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_prepare_is_deterministic(conformance: Path) -> None:
    path = conformance / "networks/attention_block/attention_block_op13.onnx"
    first, second = (ir.to_proto(prepare(load_network(path), get_chip("c"))) for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def test_a_prepared_network_can_be_prepared_again(conformance: Path) -> None:
    path = conformance / "networks/attention_block/attention_block_op18.onnx"
    once = prepare(load_network(path), get_chip("c"))
    twice = prepare(load_network(once), get_chip("c"))
    assert counted(twice) == counted(once)


def test_a_setting_switches_its_pass_off() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.convtranspose_decomposition = False
    source = network([op("ConvTranspose", "x w", "y", strides=[2, 2])], {"x": [1, 2, 3, 3]}, {"w": weights(2, 3, 2, 2)})
    assert counted(prepare(load_network(source), get_chip("c"), setting)) == {"ConvTranspose": 1}
    assert counted(prepare(load_network(source), get_chip("c"))) == {"InsertZeros": 1, "Conv": 1}


def test_weights_without_bias_become_gemm_where_channels_have_their_own_exponents() -> None:
    source = network([op("MatMul", "x w", "y")], {"x": [1, 4, 6]}, {"w": weights(6, 5)})
    assert counted(prepare(load_network(source), get_chip("esp32p4"))) == {"Gemm": 1}
    assert counted(prepare(load_network(source), get_chip("esp32s3"))) == {"MatMul": 1}


def test_the_table_of_passes_names_each_pass_once() -> None:
    assert len({row.name for row in FLOAT_PASSES}) == len(FLOAT_PASSES)
    assert all(row.does for row in FLOAT_PASSES)
