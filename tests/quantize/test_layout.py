"""Axis orders, conversions and packing: whatever the order, the file computes what the network computes.

At 16 bits the integer run is within a fraction of a per cent of the float network, so a misplaced axis cannot hide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.chips import get_chip
from espdl.fbs.packing import PackingTag, unpack_matmul
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.emitter import Emitter
from espdl.quantize.layout import between, channels_last, compose, identity, moves_nothing
from espdl.quantize.matmul_packing import pack_computed
from tests.quantize.graphs import feeds, network, op, weights

IMAGE = {"x": [1, 4, 6, 8]}
KERNEL = {"w": weights(5, 4, 3, 3) / 6, "u": weights(4, 4, 1, 1) / 2}
CONV = op("Conv", "x w", "c", kernel_shape=[3, 3], pads=[1, 1, 1, 1])  # [1, 5, 6, 8]
TARGETS = ["c", "esp32s3", "esp32p4"]


def quantized(model: onnx.ModelProto, target: str = "esp32s3", bits: int = 16) -> QuantizedModel:
    samples = [feeds(model, seed) for seed in range(4)]
    return quantize(model, samples, target=target, bits=bits, test_values=True)


def check(model: onnx.ModelProto, target: str = "esp32s3", bits: int = 16, least: float = 60.0) -> Counter[str]:
    """Quantizes, compares with float on other data, runs the embedded test; returns how many nodes of each type the file has."""
    result = quantized(model, target, bits)
    snr = result.snr([feeds(model, seed) for seed in range(4)])
    assert all(decibels > least for decibels in snr.values()), snr
    assert result.model(arithmetic="reference").test()
    return Counter(node.op_type for node in result.record.graph.node)


def image(
    *nodes: onnx.NodeProto,
    constants: Mapping[str, Any] | None = None,
    outputs: str = "y",
    inputs: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    return network(nodes, {**IMAGE, **(inputs or {})}, {**KERNEL, **(constants or {})}, outputs=outputs)


# Orders


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_orders_compose(stored: list[int], wanted: list[int]) -> None:
    array = np.arange(120).reshape(2, 3, 4, 5)
    moved = array.transpose(stored).transpose(between(tuple(stored), tuple(wanted)))
    assert np.array_equal(moved, array.transpose(wanted))
    assert compose(tuple(stored), between(tuple(stored), tuple(wanted))) == tuple(wanted)


def test_only_images_and_sequences_go_channels_last() -> None:
    assert [channels_last(rank) for rank in range(6)] == [(), (0,), (0, 1), (0, 2, 1), (0, 2, 3, 1), (0, 1, 2, 3, 4)]


@given(
    st.lists(st.sampled_from([1, 1, 2, 3]), min_size=1, max_size=5).flatmap(
        lambda s: st.tuples(st.just(s), st.permutations(range(len(s))))
    )
)
def test_a_transpose_that_moves_nothing_is_known(case: tuple[list[int], list[int]]) -> None:
    shape, permutation = case
    array = np.arange(int(np.prod(shape))).reshape(shape)
    assert moves_nothing(shape, tuple(permutation)) == np.array_equal(array.transpose(permutation).ravel(), array.ravel())


# Networks around a convolution

CONSTANTS = {
    "k": weights(5, 1, 1),
    "row": weights(8),
    "plane": weights(6, 8),
    "full": weights(1, 5, 6, 8),
    "one": np.array([2.5]),
}
AXES = {name: np.array(axes, np.int64) for name, axes in {"hw": [2, 3], "ch": [1], "last": [-1], "n1": [-3]}.items()}
CASES: dict[str, tuple[Sequence[onnx.NodeProto], Mapping[str, Any]]] = {
    **{f"add_{name}": ([op("Add", f"c {name}", "y")], {name: CONSTANTS[name]}) for name in CONSTANTS},
    **{f"mul_{name}_first": ([op("Mul", f"{name} c", "y")], {name: CONSTANTS[name]}) for name in CONSTANTS},
    "sub_constant_of_lower_rank": ([op("Sub", "plane c", "y")], {"plane": CONSTANTS["plane"]}),
    "mean_hw": ([op("ReduceMean", "c hw", "y", keepdims=0)], AXES),
    "mean_channels": ([op("ReduceMean", "c ch", "y", keepdims=1)], AXES),
    "max_width_dropped": ([op("ReduceMax", "c last", "y", keepdims=0)], AXES),
    "sum_channels_dropped": ([op("ReduceSum", "c n1", "r", keepdims=0), op("Relu", "r", "y")], AXES),
    "mean_of_all": ([op("ReduceMean", "c", "y", keepdims=1)], {}),
    "softmax_channels": ([op("Softmax", "c", "y", axis=1)], {}),
    "softmax_default_axis": ([op("Softmax", "c", "y")], {}),
    "concat_channels": ([op("Relu", "c", "r"), op("Concat", "c r", "y", axis=1)], {}),
    "concat_width_with_constant": ([op("Concat", "c k", "y", axis=-1)], {"k": weights(1, 5, 6, 2)}),
    "split_channels": (
        [op("Split", "c s", "a b", axis=1), op("Sub", "a a2", "y")],
        {"s": np.array([2, 3]), "a2": weights(1, 2, 6, 8)},
    ),
    "slice_all_axes": (
        [op("Slice", "c b e a s", "y")],
        {"b": np.array([1, 0, 6]), "e": np.array([4, 6, 0]), "a": np.array([1, 2, 3]), "s": np.array([1, 2, -2])},
    ),
    "slice_without_axes": ([op("Slice", "c b e", "y")], {"b": np.array([0, 1]), "e": np.array([1, 4])}),
    "pad": ([op("Pad", "c p v", "y")], {"p": np.array([0, 1, 2, 0, 0, 0, 1, 3]), "v": np.array(0.5)}),
    "pad_edge": ([op("Pad", "c p", "y", mode="edge")], {"p": np.array([0, 0, 2, 0, 0, 0, 1, 3])}),
    "reshape": ([op("Reshape", "c s", "y")], {"s": np.array([1, 10, 24])}),
    "flatten": ([op("Flatten", "c", "y")], {}),
    "gather_one_channel": ([op("Gather", "c i", "g", axis=1), op("Relu", "g", "y")], {"i": np.array(3)}),
    "gather_a_table": ([op("Gather", "c i", "y", axis=2)], {"i": np.array([[3, 0], [1, 1]])}),
    "gather_channels": ([op("Gather", "c i", "y", axis=1)], {"i": np.array([3, 0])}),
    "squeeze_unsqueeze": (
        [op("GlobalAveragePool", "c", "g"), op("Squeeze", "g hw", "s"), op("Unsqueeze", "s a", "y")],
        {**AXES, "a": np.array([0])},
    ),
    "transpose_to_nhwc": ([op("Transpose", "c", "y", perm=[0, 2, 3, 1])], {}),
    "transpose_otherwise": ([op("Transpose", "c", "y", perm=[0, 3, 1, 2])], {}),
    "transpose_twice": (
        [op("Transpose", "c", "t", perm=[0, 2, 1, 3]), op("Relu", "t", "r"), op("Transpose", "r", "y", perm=[3, 1, 0, 2])],
        {},
    ),
    "transpose_then_add": ([op("Transpose", "c", "t", perm=[0, 2, 3, 1]), op("Add", "t k", "y")], {"k": weights(5)}),
    "back_to_a_convolution": (
        [op("Transpose", "c", "t", perm=[0, 1, 3, 2]), op("Conv", "t v", "y", kernel_shape=[1, 1])],
        {"v": weights(3, 5, 1, 1)},
    ),
    "layer_norm": ([op("LayerNormalization", "c g", "y", axis=-1)], {"g": weights(8, positive=True)}),
    "lp_norm_channels": ([op("LpNormalization", "c", "y", axis=1, p=2)], {}),
    "prelu": ([op("PRelu", "c k", "y")], {"k": np.abs(CONSTANTS["k"])}),
    "depth_to_space": (
        [op("Conv", "c v", "d", kernel_shape=[1, 1]), op("DepthToSpace", "d", "y", blocksize=2, mode="CRD")],
        {"v": weights(8, 5, 1, 1)},
    ),
    "float_in_between": ([op("Mul", "c c", "a"), op("Add", "a one", "b"), op("Log", "b", "l"), op("Mul", "l c", "y")], CONSTANTS),
    "matmul_after_transpose": (
        [op("Reshape", "c s", "r"), op("Transpose", "r", "t", perm=[0, 2, 1]), op("MatMul", "r t", "y")],
        {"s": np.array([1, 15, 16])},
    ),
    "two_ranks": (
        [
            op("ReduceMean", "c hw", "m", keepdims=0),
            op("Unsqueeze", "m last", "n"),
            op("MatMul", "m v", "p"),
            op("Add", "c p", "y"),
        ],
        {**AXES, "v": weights(5, 8)},
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_file_computes_what_the_network_computes(case: str) -> None:
    nodes, constants = CASES[case]
    check(image(CONV, *nodes, constants=constants))


@pytest.mark.parametrize("case", ["add_k", "mul_plane_first", "concat_channels", "prelu", "slice_all_axes"])
@pytest.mark.parametrize("target", TARGETS)
def test_also_at_8_bits_for_every_class_of_chips(case: str, target: str) -> None:
    nodes, constants = CASES[case]
    check(image(CONV, *nodes, constants=constants), target, bits=8, least=24)


def test_two_images_in_different_orders_meet_channels_last() -> None:
    model = image(
        CONV, op("Reshape", "z s", "r"), op("Mul", "c r", "y"), constants={"s": np.array([1, 5, 6, 8])}, inputs={"z": [5, 48]}
    )
    counts = check(model)
    assert counts["Transpose"] == 1


def test_sequences_go_channels_last_too() -> None:
    nodes = [
        op("Conv", "x w", "c", kernel_shape=[3], pads=[1, 1]),
        op("Add", "c k", "a"),
        op("Conv", "a v", "y", kernel_shape=[1]),
    ]
    constants = {"w": weights(6, 4, 3), "k": weights(6, 1), "v": weights(3, 6, 1)}
    counts = check(network(nodes, {"x": [1, 4, 12]}, constants))
    assert "Transpose" not in counts


# What is put in, and what is not


def test_elementwise_operators_cost_no_transposes() -> None:
    nodes = [op("Add", "c k", "a"), op("Sigmoid", "a", "s"), op("Mul", "s a", "m"), op("ReduceMean", "m hw", "y", keepdims=0)]
    counts = check(image(CONV, *nodes, constants={**CONSTANTS, **AXES}))
    assert not counts.keys() & {"Transpose", "Reshape"}


def test_pooling_to_one_point_and_flattening_needs_no_transpose() -> None:
    nodes = [op("GlobalAveragePool", "c", "g"), op("Flatten", "g", "f"), op("Gemm", "f m b", "y")]
    counts = check(image(CONV, *nodes, constants={"m": weights(5, 3), "b": weights(3)}))
    assert "Transpose" not in counts


def test_an_image_that_arrives_channels_last_is_taken_as_it_is() -> None:
    nodes = [op("Transpose", "z", "x", perm=[0, 3, 1, 2]), CONV, op("Transpose", "c", "y", perm=[0, 2, 3, 1])]
    model = network(nodes, {"z": [1, 6, 8, 4]}, KERNEL)
    counts = check(model)
    assert "Transpose" not in counts
    graph = quantized(model).record.graph
    assert graph.input[0].shape == (1, 6, 8, 4)
    assert graph.output[0].shape == (1, 6, 8, 5)
    assert graph.output[0].name == "y"


def test_inputs_that_feed_a_convolution_through_other_operators_are_channels_last() -> None:
    nodes = [op("Mul", "x k", "m"), op("Conv", "m w", "y", kernel_shape=[3, 3])]
    result = quantized(network(nodes, IMAGE, {"w": KERNEL["w"], "k": weights(4, 1, 1)}))
    assert result.record.graph.input[0].shape == (1, 6, 8, 4)
    assert [node.op_type for node in result.record.graph.node] == ["Mul", "Conv"]


def test_readers_share_one_conversion() -> None:
    nodes = [CONV, op("Reshape", "c s", "r"), op("Reshape", "c t", "q")]
    counts = check(image(*nodes, constants={"s": np.array([30, 8]), "t": np.array([6, 40])}, outputs="r q"))
    assert counts["Transpose"] == 1


def test_a_relu_goes_into_the_layer_before_it_and_its_name_survives() -> None:
    graph = quantized(image(CONV, op("Relu", "c", "y"))).record.graph
    assert [node.op_type for node in graph.node] == ["Conv"]
    attributes = {attribute.name: attribute.value for attribute in graph.node[0].attribute}
    assert attributes["activation"] == "Relu"
    assert attributes["quant_type"] == "S16"
    assert graph.output[0].name == "y"
    assert "c" not in {value.name for value in graph.value_info}


def test_a_relu_beside_another_reader_stays() -> None:
    counts = check(image(CONV, op("Relu", "c", "r"), op("Sub", "c r", "y")))
    assert counts["Relu"] == 1


def test_attributes_are_in_the_order_of_their_names() -> None:
    for node in quantized(image(CONV, outputs="c")).record.graph.node:
        names = [attribute.name for attribute in node.attribute]
        assert names == sorted(names)


def test_every_variable_is_declared_and_every_constant_is_read() -> None:
    nodes, constants = CASES["float_in_between"]
    graph = quantized(image(CONV, *nodes, constants=constants), bits=8).record.graph
    declared = {value.name for value in graph.value_info}
    constant_names = {tensor.name for tensor in graph.initializer}
    read = {name for node in graph.node for name in node.input if name}
    tables = {str(a.value) for node in graph.node for a in node.attribute if a.name == "lut"}
    assert {name for node in graph.node for name in node.output} <= declared
    assert read <= declared | constant_names
    assert constant_names == (read & constant_names) | tables


def test_float_regions_are_entered_and_left_by_conversions() -> None:
    nodes, constants = CASES["float_in_between"]
    graph = quantized(image(CONV, *nodes, constants=constants), bits=8).record.graph
    types = [(node.op_type, {a.name: a.value for a in node.attribute}["quant_type"]) for node in graph.node]
    assert ("DequantizeLinear", "F32") in types
    assert ("Log", "F32") in types
    assert ("QuantizeLinear", "S8") in types


def test_a_tensor_that_is_input_and_output_of_nothing_else_is_copied() -> None:
    model = network([op("Identity", "x", "y"), op("Relu", "x", "z")], {"x": [1, 5]}, outputs="y z")
    result = quantized(model)
    assert [value.name for value in result.record.graph.output] == ["y", "z"]
    check(model)


def test_one_tensor_under_two_output_names() -> None:
    model = network([op("Relu", "x", "r"), op("Identity", "r", "y"), op("Identity", "r", "z")], {"x": [1, 5]}, outputs="y z")
    check(model)


def test_a_constant_read_in_two_ways_is_stored_twice() -> None:
    nodes = [op("Mul", "x k", "a"), op("Sigmoid", "a", "s"), op("Add", "s k", "y")]
    check(network(nodes, {"x": [1, 6]}, {"k": weights(6)}))


# MatMul with a computed right operand


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([7, 5], [5, 16]),
        ([7, 5], [5, 19]),
        ([2, 3, 5], [2, 5, 40]),
        ([1, 2, 3, 5], [1, 2, 5, 33]),
        ([2, 3, 5], [5, 3]),
        ([4, 1], [1, 20]),
        ([1, 5], [5, 1]),
        ([3, 5], [5]),
    ],
)
def test_a_computed_matrix_is_packed_by_nodes(target: str, bits: int, a: list[int], b: list[int]) -> None:
    counts = check(network([op("MatMul", "a b", "y")], {"a": a, "b": b}), target, bits, 18 if bits == 8 else 70)
    assert counts["MatMul"] == 1


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("lanes_bits", [8, 16])
@given(k=st.integers(1, 6), n=st.integers(1, 40), batch=st.integers(1, 3), swapped=st.booleans())
def test_packing_nodes_make_what_unpacking_reads(target: str, lanes_bits: int, k: int, n: int, batch: int, swapped: bool) -> None:
    chip = get_chip(target)
    out = Emitter(chip, [])
    order = (0, 2, 1) if swapped else identity(3)
    shape = (batch, n, k) if swapped else (batch, k, n)
    source = out.variable("b", shape, order, (lanes_bits, -3))
    values = np.arange(batch * k * n, dtype=np.int32).reshape(batch, k, n)
    packed = pack_computed(out, source, (lanes_bits, -3))
    tensors: dict[str, np.ndarray] = {"b": values.transpose(order), **{name: t.data for name, t in out.constants.items()}}
    for node in out.nodes:
        inputs = [tensors[name] for name in node.input]
        attributes = {a.name: a.value for a in node.attribute}
        if node.op_type == "Reshape":
            result = inputs[0].reshape(inputs[1])
        elif node.op_type == "Transpose":
            result = inputs[0].transpose(attributes["perm"])
        elif node.op_type == "Slice":
            result = inputs[0][:, int(inputs[1][0]) : int(inputs[2][0])]
        else:
            result = np.concatenate(inputs, axis=int(attributes["axis"]))
        tensors[node.output[0]] = result
        assert result.shape == out.variables[node.output[0]].shape
    lanes = chip.lanes(lanes_bits // 8)
    assert np.array_equal(unpack_matmul(tensors[packed.name], (batch, k, n), PackingTag(chip.packing, lanes)), values)
    assert packed.shape == (batch, k, n)
