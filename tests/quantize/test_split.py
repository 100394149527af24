"""Layers and channels that are split: the network computes the same, and weights get smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from espdl.chips import get_chip
from espdl.errors import EspdlError
from espdl.quantize.api import quantize
from espdl.quantize.importer import load_network
from espdl.quantize.passes.neighbours import find_neighbours
from espdl.quantize.passes.tools import constant
from espdl.quantize.pipeline import prepare
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from tests.quantize.graphs import assert_equal, counted, feeds, network, op, run, weights

IMAGE = {"x": (1, 3, 8, 8)}


def setting(**groups: Any) -> QuantizationSetting:
    found = QuantizationSettingFactory.espdl_setting()
    found.update(groups)
    return found


def prepared_with(source: onnx.ModelProto, found: QuantizationSetting) -> ir.Model:
    result = prepare(load_network(source), get_chip("esp32s3"), found)
    inputs = feeds(source)
    assert_equal(run(result, inputs), run(source, inputs))
    return result


def chain() -> onnx.ModelProto:
    """Conv, Relu, MaxPool, Conv, PRelu, Conv with three channels of the first far larger than the others."""
    large = weights(6, 3, 3, 3, seed=1) * 0.1
    large[[0, 3, 4]] *= 30
    nodes = [
        op("Conv", "x w0 b0", "c0", pads=[1, 1, 1, 1]),
        op("Relu", "c0", "r0"),
        op("MaxPool", "r0", "p0", kernel_shape=[2, 2], strides=[2, 2]),
        op("Conv", "p0 w1", "c1", pads=[1, 1, 1, 1]),
        op("PRelu", "c1 slope", "r1"),
        op("Conv", "r1 w2", "y"),
    ]
    constants = {
        "w0": large, "b0": weights(6, seed=2), "w1": weights(4, 6, 3, 3, seed=3), "w2": weights(2, 4, 1, 1, seed=4) * 3,
        "slope": weights(4, 1, 1, positive=True) * 0.1,
    }  # fmt: skip
    return network(nodes, IMAGE, constants)


def branches() -> onnx.ModelProto:
    """Two layers whose sum a third reads."""
    nodes = [
        op("Conv", "x w0", "c0"), op("Conv", "x w1", "c1"), op("Add", "c0 c1", "s"), op("Relu", "s", "r"), op("Conv", "r w2", "y"),
    ]  # fmt: skip
    return network(
        nodes, IMAGE, {f"w{i}": weights(*shape, seed=i) for i, shape in enumerate([(4, 3, 1, 1)] * 2 + [(2, 4, 1, 1)])}
    )


def test_neighbours_reach_through_relays() -> None:
    model = prepare(load_network(chain()), get_chip("esp32s3"))
    groups = [([n.name for n in g.above], [n.name for n in g.below], g.channels) for g in find_neighbours(model)]
    assert groups == [(["Conv_c0"], ["Conv_c1"], 6), (["Conv_c1"], ["Conv_y"], 4)]
    joined = prepare(load_network(branches()), get_chip("esp32s3"))
    assert not list(find_neighbours(joined))
    (group,) = find_neighbours(joined, level=2)
    assert {n.name for n in group.above} == {"Conv_c0", "Conv_c1"} and [n.name for n in group.below] == ["Conv_y"]


def test_neighbours_need_that_nobody_else_sees_the_channels() -> None:
    nodes = [op("Conv", "x w0", "c0"), op("Relu", "c0", "r"), op("Conv", "r w1", "y"), op("Sigmoid", "r", "z")]
    seen = network(nodes, IMAGE, {"w0": weights(4, 3, 1, 1), "w1": weights(2, 4, 1, 1)}, outputs="y z")
    assert not list(find_neighbours(prepare(load_network(seen), get_chip("c"))))
    added = network(
        [op("Conv", "x w0", "c0"), op("Relu", "c0", "r"), op("Add", "r k", "a"), op("Conv", "a w1", "y")],
        IMAGE,
        {"w0": weights(4, 3, 1, 1), "w1": weights(2, 4, 1, 1), "k": weights(1, 4, 8, 8)},
    )
    assert not list(find_neighbours(prepare(load_network(added), get_chip("c")), level=2))


def test_channels_with_large_weights_on_both_sides_are_doubled() -> None:
    found = setting(channel_split=True, channel_split_setting={"value_threshold": 2.0, "iterations": 1})
    model = prepared_with(chain(), found)
    first, second, _ = (node for node in model.graph if node.op_type == "Conv")
    assert constant(first.inputs[1]).shape[0] == constant(second.inputs[1]).shape[1] == 9  # type: ignore[union-attr]
    large = float(np.abs(constant(first.inputs[1])).max())  # type: ignore[arg-type]
    assert large == pytest.approx(float(np.abs(onnx.numpy_helper.to_array(chain().graph.initializer[0])).max()) / np.sqrt(2))


def test_channels_are_split_again_and_again() -> None:
    once = {"value_threshold": 1.5, "iterations": 1}
    often = once | {"iterations": 6}
    sizes = []
    for group in (once, often):
        model = prepared_with(chain(), setting(channel_split=True, channel_split_setting=group))
        sizes.append(constant(next(n for n in model.graph if n.op_type == "Conv").inputs[1]).shape[0])  # type: ignore[union-attr]
    assert sizes[0] < sizes[1]


def test_channels_of_a_sum_are_split_alike() -> None:
    found = setting(channel_split=True, channel_split_setting={"value_threshold": 1.0, "iterations": 1, "opt_level": 2})
    model = prepared_with(branches(), found)
    widths = [constant(node.inputs[1]).shape for node in model.graph if node.op_type == "Conv"]  # type: ignore[union-attr]
    assert widths[0] == widths[1] and widths[0][0] == widths[2][1] > 4


def test_named_layers_only() -> None:
    group = {"value_threshold": 2.0, "iterations": 1, "interested_layers": ["Conv_y"]}
    model = prepared_with(chain(), setting(channel_split=True, channel_split_setting=group))
    assert constant(next(n for n in model.graph if n.op_type == "Conv").inputs[1]).shape[0] == 6  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"value_threshold": 1e-6, "iterations": 10}, "more than 8 times"),
        ({"interested_layers": ["Conv_c9"]}, "no layer 'Conv_c9'"),
        ({"interested_layers": ["Relu_r0"]}, "nothing can be done at 'Relu_r0'"),
    ],
)
def test_channel_split_refuses(group: dict[str, Any], message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        prepared_with(chain(), setting(channel_split=True, channel_split_setting=group))


@pytest.mark.parametrize("method", ["balance", "random"])
@pytest.mark.parametrize(
    "source",
    [
        chain(),
        network([op("Gemm", "x w b", "g"), op("Relu", "g", "y")], {"x": (1, 6)}, {"w": weights(6, 5), "b": weights(5)}),
        network([op("MatMul", "x w", "g"), op("Sigmoid", "g", "y")], {"x": (1, 4, 6)}, {"w": weights(6, 5)}),
    ],
    ids=["conv", "gemm", "matmul"],
)
def test_a_layer_becomes_the_sum_of_two(source: onnx.ModelProto, method: str) -> None:
    plain = prepare(load_network(source), get_chip("esp32s3"))
    name = next(node.name for node in plain.graph if node.op_type in ("Conv", "Gemm", "MatMul"))
    group = {"interested_layers": [name], "value_threshold": 1.0, "method": method}
    model = prepared_with(source, setting(weight_split=True, weight_split_setting=group))
    by_name = {node.name: node for node in model.graph}
    before = constant(next(node for node in plain.graph if node.name == name).inputs[1])
    rest, part = constant(by_name[name].inputs[1]), constant(by_name[f"{name}_split"].inputs[1])
    assert before is not None and rest is not None and part is not None
    assert part[np.abs(before) <= 1].max(initial=0.0) == 0 and (part[np.abs(before) > 1] != 0).any()
    np.testing.assert_allclose(rest + part, before, atol=1e-6)
    if method == "balance":
        assert np.abs(rest).max() <= max(1.0, np.abs(before).max() / 2)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({}, "without layers"),
        ({"interested_layers": ["Conv_c0"], "method": "half"}, "no method 'half'"),
        ({"interested_layers": ["Conv_9"]}, "no layer"),
        ({"interested_layers": ["Relu_r0"]}, "no weights to split"),
        ({"interested_layers": ["Conv_c0"], "value_threshold": 100.0}, "largest is"),
    ],
)
def test_weight_split_refuses(group: dict[str, Any], message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        prepared_with(chain(), setting(weight_split=True, weight_split_setting=group))


def test_split_networks_become_files() -> None:
    samples = list(np.random.default_rng(0).standard_normal((4, 1, 3, 8, 8)).astype(np.float32))
    found = setting(
        channel_split=True, channel_split_setting={"value_threshold": 2.0, "iterations": 1},
        weight_split=True, weight_split_setting={"interested_layers": ["Conv_c1"]},
    )  # fmt: skip
    quantized = quantize(chain(), samples, target="esp32s3", setting=found, test_values=True)
    assert quantized.model(arithmetic="reference").test()
    assert min(quantized.snr(quantized.samples).values()) > 15
    assert counted(quantized.graph.model)["Add"] == 1
