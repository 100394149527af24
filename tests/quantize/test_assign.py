"""Which tensors share a representation, which are aligned, and what is done so that exponents fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from espdl.chips import get_chip
from espdl.errors import EspdlError
from espdl.quantize.align import align_representations
from espdl.quantize.assign import assign
from espdl.quantize.calibrate import calibrate
from espdl.quantize.graph import Link, QuantGraph, QuantInfo, Role
from espdl.quantize.headroom import ensure_headroom
from espdl.quantize.importer import load_network
from espdl.quantize.parameters import calibrate_parameters, set_bias_exponents, to_integers
from espdl.quantize.pipeline import prepare
from espdl.quantize.platform import get_target_platform
from espdl.quantize.quantizer import quantize_graph
from espdl.quantize.setting import QuantizationFusionSetting, QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.share import share_representations
from tests.quantize.graphs import feeds, network, op, weights


def linked(model: onnx.ModelProto, target: str = "esp32s3", setting: QuantizationSetting | None = None) -> QuantGraph:
    """A graph with shared and aligned representations."""
    prepared = prepare(load_network(model), get_chip(target))
    graph = assign(prepared, get_target_platform(target), setting or QuantizationSettingFactory.espdl_setting())
    share_representations(graph)
    align_representations(graph)
    return graph


def quantized(model: onnx.ModelProto, target: str = "esp32s3", samples: Sequence[Any] = (), bits: int = 8) -> QuantGraph:
    prepared = prepare(load_network(model), get_chip(target))
    setting = QuantizationSettingFactory.espdl_setting(bits)
    return quantize_graph(
        prepared, get_target_platform(target, bits), setting, samples or [feeds(model, seed) for seed in range(3)]
    )


def conv(name: str, source: str, result: str) -> onnx.NodeProto:
    return op("Conv", f"{source} {name}", result, kernel_shape=[1, 1])


IMAGE = [1, 4, 6, 6]
KERNEL = weights(4, 4, 1, 1)


# Sharing


@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_a_layer_and_its_activation_share_an_exponent(activation: str) -> None:
    inputs = "c low high" if activation == "Clip" else "c"
    model = network([conv("w", "x", "c"), op(activation, inputs, "y")], {"x": IMAGE}, {"w": KERNEL, "low": 0.0, "high": 6.0})
    graph = linked(model)
    assert graph.produced["c"].root is graph.produced["y"].root
    assert graph.produced["c"].link is Link.SAME


def test_an_activation_beside_another_reader_does_not_decide() -> None:
    model = network(
        [conv("w", "x", "c"), op("Relu", "c", "r"), op("Sigmoid", "c", "y")], {"x": IMAGE}, {"w": KERNEL}, outputs="r y"
    )
    graph = linked(model)
    assert graph.produced["c"].root is not graph.produced["r"].root


def test_a_rearrangement_keeps_the_exponent_also_of_an_input() -> None:
    model = network([op("MaxPool", "x", "m", kernel_shape=[2, 2]), op("Transpose", "m", "y", perm=[0, 2, 3, 1])], {"x": IMAGE})
    graph = linked(model)
    assert graph.produced["x"].root is graph.produced["m"].root is graph.produced["y"].root


def test_readers_take_a_tensor_as_it_was_written() -> None:
    model = network(
        [conv("w", "x", "a"), conv("v", "a", "y"), op("Sigmoid", "a", "z")],
        {"x": IMAGE},
        {"w": KERNEL, "v": KERNEL},
        outputs="y z",
    )
    graph = linked(model)
    readers = [info for (_, index), info in graph.consumed.items() if info.value == "a" and index == 0]
    assert len(readers) == 2
    assert all(info.root is graph.produced["a"].root for info in readers)


def test_probabilities_stay_float_and_are_quantized_for_the_reader() -> None:
    model = network([op("Softmax", "x", "p", axis=-1), op("MatMul", "p v", "y")], {"x": [1, 5, 6], "v": [1, 6, 7]})
    graph = linked(model)
    assert "p" not in graph.produced
    assert any(info.value == "p" for info in graph.consumed.values())


# Alignment


def forced() -> QuantizationFusionSetting:
    setting = QuantizationSettingFactory.espdl_setting().fusion_setting
    setting.force_alignment_overlap = True
    return setting


def residual(other: str = "") -> onnx.ModelProto:
    nodes = [conv("w", "x", "a"), conv("v", "a", "b"), op("Add", "a b", "s"), op("Sigmoid", "s", "y")]
    return network(nodes, {"x": IMAGE}, {"w": KERNEL, "v": KERNEL})


def test_a_tensor_only_added_is_written_aligned_another_is_converted() -> None:
    graph = linked(residual())
    total = graph.produced["s"].root
    assert graph.produced["b"].root is total
    assert graph.produced["b"].link is Link.ALIGNED
    assert graph.produced["a"].root is not total
    add = next(node for node in graph.nodes() if node.op_type == "Add")
    assert all(graph.input_info(add, index).root is total for index in (0, 1))  # type: ignore[union-attr]


def test_alignment_can_be_forced_on_tensors_read_elsewhere() -> None:
    prepared = prepare(load_network(residual()), get_chip("c"))
    graph = assign(prepared, get_target_platform("c"), QuantizationSettingFactory.espdl_setting())
    share_representations(graph)
    align_representations(graph, forced())
    assert graph.produced["a"].root is graph.produced["s"].root


def test_alignment_reaches_through_rearrangements_that_nobody_else_reads() -> None:
    nodes = [
        conv("w", "x", "a"),
        op("MaxPool", "a", "m", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        op("Concat", "a m", "y", axis=1),
    ]
    graph = linked(network(nodes, {"x": IMAGE}, {"w": KERNEL}))
    assert graph.produced["a"].root is graph.produced["m"].root is graph.produced["y"].root


def test_an_added_constant_takes_the_exponent_of_the_sum() -> None:
    nodes = [op("Sigmoid", "x", "a"), op("Add", "a k", "y")]
    graph = linked(network(nodes, {"x": IMAGE}, {"k": weights(4, 6, 6)}))
    add = next(node for node in graph.nodes() if node.op_type == "Add")
    assert graph.input_info(add, 1).root is graph.produced["y"].root  # type: ignore[union-attr]


def test_compared_tensors_share_an_exponent_that_suits_both() -> None:
    model = network([op("Greater", "x k", "g"), op("Cast", "g", "y", to=1)], {"x": [1, 8]}, {"k": np.full((1, 8), 20.0)})
    prepared = load_network(model)
    prepared.graph.remove(next(node for node in prepared.graph if node.op_type == "Cast"), safe=False)
    greater = next(iter(prepared.graph))
    prepared.graph.outputs[:] = greater.outputs
    graph = quantize_graph(
        prepared, get_target_platform("c"), QuantizationSettingFactory.espdl_setting(), [{"x": np.ones((1, 8), np.float32)}]
    )
    first, second = (graph.input_info(greater, index) for index in (0, 1))
    assert first is not None
    assert second is not None
    assert first.exponents == second.exponents == (-2,)


def test_pointing_in_a_circle_is_not_possible() -> None:
    a, b = QuantInfo("a", 8), QuantInfo("b", 8)
    a.align_to(b)
    b.align_to(a)
    assert a.root is b.root is b


# Widths


def test_a_layer_can_be_sent_to_16_bits() -> None:
    model = residual()
    setting = QuantizationSettingFactory.espdl_setting()
    name = next(node.name for node in prepare(load_network(model), get_chip("c")).graph if node.op_type == "Conv")
    setting.dispatching_table.append(name or "", get_target_platform("c", 16))
    graph = linked(model, "c", setting)
    assert graph.produced["a"].bits == 16
    assert graph.produced["x"].bits == 16
    assert {info.bits for info in graph.consumed.values() if info.value == "a"} == {8}


def test_an_unknown_layer_is_refused_with_the_nearest_name() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.dispatching_table.append("Conv_aa", get_target_platform("c", 16))
    with pytest.raises(EspdlError, match="Conv_a"):
        linked(residual(), "c", setting)


def test_an_operator_without_integers_of_that_width_is_refused() -> None:
    nodes = [op("Resize", "x _ s", "y", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")]
    model = network(nodes, {"x": IMAGE}, {"s": np.array([1, 1, 2, 2], np.float32)})
    prepared = prepare(load_network(model), get_chip("c"))
    with pytest.raises(EspdlError, match=r"Resize cannot run as S16[\s\S]*dispatching_table"):
        assign(prepared, get_target_platform("c", 16), QuantizationSettingFactory.espdl_setting(16))


def test_weights_are_per_channel_where_the_chip_takes_them() -> None:
    for target, count in (("esp32p4", 4), ("esp32s3", 1), ("c", 1)):
        graph = linked(residual(), target)
        calibrate_parameters(graph)
        weight = next(info for info in graph.consumed.values() if info.role is Role.WEIGHT)
        assert len(weight.exponents) == count


# Headroom


def with_bias(bias: Any, kernel: Any = KERNEL) -> onnx.ModelProto:
    return network(
        [op("Conv", "x w b", "y", kernel_shape=[1, 1])], {"x": IMAGE}, {"w": kernel, "b": np.asarray(bias, np.float32)}
    )


def parts(graph: QuantGraph) -> tuple[QuantInfo, QuantInfo, QuantInfo | None, QuantInfo]:
    node = next(iter(graph.nodes()))
    source, weight = graph.input_info(node, 0), graph.input_info(node, 1)
    result = graph.output_info(node.outputs[0])
    assert source is not None
    assert weight is not None
    assert result is not None
    return source, weight, graph.input_info(node, 2), result


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("size", [0.0, 1.0, 3000.0, -1e6])
def test_every_bias_fits_its_width(target: str, size: float) -> None:
    values = np.array([0.1, size, -size, 1.0])
    graph = quantized(with_bias(values), target)
    source, weight, bias, result = parts(graph)
    assert bias is not None
    assert bias.exponents == tuple(source.exponent + e for e in weight.exponents)
    integers = to_integers(values, bias, graph.chip)
    back = np.ldexp(integers.astype(np.float64), np.array(bias.exponents))
    assert np.abs(back - values).max() <= max(2.0 ** max(bias.exponents), 1e-6 * abs(size))
    assert np.abs(integers).max() <= 2 ** (graph.chip.export_bias_bits(8) - 1)
    assert all(result.exponent - source.exponent - e >= 0 for e in weight.exponents)


@pytest.mark.parametrize("target", ["c", "esp32p4"])
def test_products_are_never_shifted_left(target: str) -> None:
    """Weights that cancel: the result is far smaller than its terms."""
    kernel = np.zeros((2, 4, 1, 1), np.float32)
    kernel[:, 0], kernel[:, 1] = 1000.0, -1000.0
    model = network([conv("w", "x", "y")], {"x": IMAGE}, {"w": kernel})
    samples = [{"x": np.full(IMAGE, 2.0, np.float32)}]
    samples[0]["x"][0, 1] += 1e-4
    graph = quantized(model, target, samples)
    source, weight, _, result = parts(graph)
    assert result.exponent >= source.exponent + max(weight.exponents)
    assert any("shifted right only" in warning for warning in graph.warnings)


def test_a_channel_of_zeros_takes_any_exponent() -> None:
    kernel = KERNEL.copy()
    kernel[2] = 0
    graph = quantized(with_bias([0, 0, 1e-3, 0], kernel), "esp32p4")
    source, weight, _, result = parts(graph)
    assert all(0 <= result.exponent - source.exponent - e <= 24 for e in weight.exponents)
    assert not graph.warnings


def test_exponents_that_never_settle_are_refused() -> None:
    """A loop of aligned tensors around a weight above 127: each round the sum asks for a larger exponent."""
    nodes = [conv("w", "x", "a"), conv("v", "a", "b"), op("Add", "a b", "y")]
    model = network(nodes, {"x": IMAGE}, {"w": KERNEL, "v": KERNEL * 1e4})
    prepared = prepare(load_network(model), get_chip("c"))
    graph = assign(prepared, get_target_platform("c"), QuantizationSettingFactory.espdl_setting())
    share_representations(graph)
    align_representations(graph, forced())
    calibrate_parameters(graph)
    calibrate(graph, [feeds(model)])
    with pytest.raises(EspdlError, match="no exponents fit"):
        ensure_headroom(graph)


def test_a_product_of_activations_is_at_least_as_coarse_as_its_terms() -> None:
    model = network([op("Mul", "x z", "y")], {"x": IMAGE, "z": IMAGE})
    tiny = {"x": np.full(IMAGE, 100.0, np.float32), "z": np.zeros(IMAGE, np.float32)}
    graph = quantized(model, "esp32s3", [tiny])
    assert graph.produced["y"].exponent >= graph.produced["x"].exponent + graph.produced["z"].exponent


# Integers


def test_integers_are_rounded_as_the_chip_does_and_saturated() -> None:
    info = QuantInfo("t", 8)
    info.set_exponents((0,))
    values = np.array([0.5, 1.5, -0.5, -1.5, 200.0, -200.0])
    assert to_integers(values, info, get_chip("esp32s3")).tolist() == [1, 2, 0, -1, 127, -128]
    assert to_integers(values, info, get_chip("esp32p4")).tolist() == [0, 2, 0, -2, 127, -128]


@pytest.mark.parametrize(
    ("bits", "dtype", "highest"),
    [(20, np.int32, 2**19 - 1), (32, np.int32, 2**31 - 1), (40, np.int64, 2**39 - 1), (64, np.int64, 2**63 - 1)],
)
def test_wide_biases_saturate_exactly(bits: int, dtype: type, highest: int) -> None:
    info = QuantInfo("b", bits, Role.BIAS)
    info.set_exponents((-10,))
    integers = to_integers(np.array([1e30, -1e30, 1.0]), info, get_chip("c"))
    assert integers.dtype == dtype
    assert integers.tolist() == [highest, -highest - 1, 1024]


def test_bias_exponents_follow_input_and_weight() -> None:
    graph = linked(with_bias([1, 2, 3, 4]), "esp32p4")
    calibrate_parameters(graph)
    calibrate(graph, [feeds(with_bias([1, 2, 3, 4]))])
    set_bias_exponents(graph)
    source, weight, bias, _ = parts(graph)
    assert bias is not None
    assert bias.exponents == tuple(source.exponent + e for e in weight.exponents)


# What the data may not be


def test_nan_in_the_data_names_the_input() -> None:
    bad = feeds(residual())
    bad["x"][0, 0, 0, 0] = np.nan
    with pytest.raises(EspdlError, match=r"sample 1.*NaN") as error:
        quantized(residual(), "c", [feeds(residual()), bad])
    assert "'x'" in str(error.value)


def test_nan_from_a_node_names_the_first_one() -> None:
    model = network([op("Sub", "x k", "d"), op("Log", "d", "l"), op("Relu", "l", "y")], {"x": [1, 4]}, {"k": np.full(4, 1.5)})
    with pytest.raises(EspdlError, match="NaN") as error:
        quantized(model, "c", [{"x": np.array([[2, 3, 1, 4]], np.float32)}])
    assert "Log" in error.value.where


def test_no_data_is_an_error() -> None:
    prepared = prepare(load_network(residual()), get_chip("c"))
    with pytest.raises(EspdlError, match="empty"):
        quantize_graph(prepared, get_target_platform("c"), QuantizationSettingFactory.espdl_setting(), [])
