"""Differences planted in small models: two sides, and where and why they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.dtypes import DType
from espdl.fbs import FbsLoader, records, wrap_model, write_model
from espdl.report.explain import Side, Value, run_side
from espdl.report.explain.sides import random_inputs
from tests.models import INPUT_SHAPE, node_file, small_file, small_records, weight

Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Planted:
    """Two sides and what must be found.

    Attributes:
        index: of the first element that differs; None where it is only checked against the arrays.
    """

    first: Side
    second: Side
    cause: str
    node: str
    tensor: str
    index: tuple[int, ...] | None = None


def run(data: bytes, target: str, inputs: Mapping[str, NDArray] | None = None, **rules: Any) -> Side:
    model = Model(data, target=target, **rules)
    return run_side(target, model, random_inputs(model) if inputs is None else inputs)


def dump(side: Side, **changed: NDArray) -> Side:
    """The tensors of a side as of a device, some of them with other values."""
    values = {name: replace(value, data=changed.get(name, value.data)) for name, value in side.values.items()}
    return Side("dump", values)


def edited(target: str, edit: Callable[[records.Model], None]) -> bytes:
    """The small network with something changed."""
    model = small_records(target)
    edit(model)
    return wrap_model(write_model(model))


def _constant(model: records.Model, name: str) -> records.Tensor:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def gemm(weights: NDArray, bias: NDArray, target: str, x_shape: tuple[int, ...], shift: int) -> bytes:
    """One Gemm, int8: ``x`` to ``y``, sums divided by ``2**shift``; weights [N, K]."""
    outputs, depth = weights.shape
    matrix = weight("w", weights.reshape(outputs, 1, 1, depth), target, (0,), (1, 1, depth, outputs))
    biases = records.Tensor("b", (outputs,), DType.INT32, bias.astype(np.int32), (0,))
    x, y = (
        records.ValueInfo("x", DType.INT8, x_shape, (0,)),
        records.ValueInfo("y", DType.INT8, (*x_shape[:-1], outputs), (shift,)),
    )
    node = records.Node("Gemm", "/fc", ["x", "w", "b"], ["y"], [records.Attribute("quant_type", "S8")])
    return wrap_model(write_model(records.Model(records.Graph("g", [node], [matrix, biases], [x], [y], [x, y]))))


def gemm16(weights: NDArray, shift: int) -> bytes:
    """One Gemm, int16, plain C: weights [N, K]."""
    outputs, depth = weights.shape
    matrix = records.Tensor(
        "w", (1, 1, depth, outputs), DType.INT16, weights.reshape(1, 1, depth, outputs), (0,), "layout ==> NHWC"
    )
    x, y = records.ValueInfo("x", DType.INT16, (1, depth), (0,)), records.ValueInfo("y", DType.INT16, (1, outputs), (shift,))
    node = records.Node("Gemm", "/fc", ["x", "w"], ["y"], [records.Attribute("quant_type", "S16")])
    return wrap_model(write_model(records.Model(records.Graph("g", [node], [matrix], [x], [y], [x, y]))))


def rounding_of_sums() -> Planted:
    data = small_file("esp32s3")
    return Planted(run(data, "esp32s3"), run(data, "esp32p4"), "rounding", "/conv", "c")


def rounding_of_means() -> Planted:
    data = node_file("GlobalAveragePool", [((1, 2, 2, 8), np.int8, -4)], [((1, 1, 1, 8), np.int8, -4)], quant_type="S8")
    x = np.zeros((1, 2, 2, 8), np.int8)
    x[0, 0, 0, 5] = 2  # a mean of one half
    return Planted(run(data, "c", {"x0": x}), run(data, "esp32p4", {"x0": x}), "rounding", "/node", "y0", (0, 0, 0, 5))


def rounding_in_a_dump() -> Planted:
    data = small_file("esp32s3")
    return Planted(run(data, "esp32s3"), dump(run(data, "esp32p4")), "rounding", "/conv", "c")


def lane_saturation() -> Planted:
    data = gemm(np.full((16, 64), 100), np.zeros(16), "esp32s3", (1, 64), 16)
    x = {"x": np.where(np.arange(64) < 60, 127, -128).astype(np.int8)[None]}  # 762000 on its way, 710800 in the end
    return Planted(
        run(data, "esp32s3", x, arithmetic="reference"), run(data, "esp32s3", x), "lane-saturation", "/fc", "y", (0, 0)
    )


def lane_saturation_in_a_dump() -> Planted:
    planted = lane_saturation()
    return replace(planted, second=dump(planted.second))


def bias_wrap() -> Planted:
    bias = np.zeros(16)
    bias[3] = 600_000
    data = gemm(np.ones((16, 16)), bias, "esp32s3", (1, 16), 14)
    return Planted(run(data, "esp32s3", arithmetic="reference"), run(data, "esp32s3"), "bias-wrap", "/fc", "y", (0, 3))


def bias_wrap_in_a_dump() -> Planted:
    planted = bias_wrap()
    return replace(planted, first=planted.second, second=dump(planted.first))


def accumulator_wrap() -> Planted:
    data = gemm(np.full((2, 64), 127), np.full(2, 2**31 - 1000), "c", (1, 64), 25)
    x = {"x": np.full((1, 64), 127, np.int8)}
    return Planted(run(data, "c", x, arithmetic="reference"), run(data, "c", x), "accumulator-wrap", "/fc", "y", (0, 0))


_TABLE16 = np.arange(-128, 129, dtype=np.int16) * 3


def lut_rule() -> Planted:
    data = node_file("LUT", [((4,), np.int16, -8)], [((4,), np.int16, -8)], lut=_TABLE16, quant_type="S16")
    x = {"x0": np.array([0, 256, 100, 200], np.int16)}
    second = run(data, "esp32s3", x, int16_lut="interpolating")
    return Planted(run(data, "esp32s3", x), second, "lut-rule", "/node", "y0", (2,))


def lut_rule_in_a_dump() -> Planted:
    planted = lut_rule()
    return replace(planted, second=dump(planted.second))


def _sigmoid(table: NDArray[np.int8] | None) -> bytes:
    more = {} if table is None else {"lut": table}
    return node_file("Sigmoid", [((256,), np.int8, -4)], [((256,), np.int8, -7)], quant_type="S8", **more)


_ALL = {"x0": np.arange(-128, 128).astype(np.int8)}


def _sigmoid_table() -> NDArray[np.int8]:
    table = run(_sigmoid(None), "esp32s3", _ALL).values["y0"].data.copy()
    table[140] -= 3
    return table


def lut_recomputed() -> Planted:
    first = run(_sigmoid(_sigmoid_table()), "esp32s3", _ALL)
    return Planted(first, run(_sigmoid(None), "esp32s3", _ALL), "lut-recomputed", "/node", "y0", (140,))


def lut_recomputed_in_a_dump() -> Planted:
    planted = lut_recomputed()
    return replace(planted, second=dump(planted.second))


def lut_table() -> Planted:
    other = _sigmoid_table()
    other[7] += 9
    first, second = (run(_sigmoid(table), "esp32s3", _ALL) for table in (_sigmoid_table(), other))
    return Planted(first, second, "lut-table", "/node", "y0", (7,))


def float_last_place() -> Planted:
    data = node_file("Div", [((1, 8), np.int16, 0), ((1, 8), np.int16, 0)], [((1, 8), np.int16, 0)], quant_type="S16")
    x = {"x0": np.array([[7, 9, 100, 3, 8, 5, 1, 2]], np.int16), "x1": np.full((1, 8), 2, np.int16)}
    first = run(data, "esp32s3", x)
    other = first.values["y0"].data.copy()
    other[0, 3] -= 1  # 3 / 2 lies on a tie; so do 7, 9, 5 and 1: a rule that rounds all of them otherwise does not give this
    return Planted(first, dump(first, y0=other), "float-last-place", "/node", "y0", (0, 3))


def float_accumulation() -> Planted:
    generator = np.random.default_rng(0)
    weights = generator.integers(-3000, 3000, (2048, 64)).astype(np.int16)
    data = gemm16(weights, 8)
    x = generator.integers(-250, 250, (1, 64)).astype(np.int16)
    first = run(data, "c", {"x": x})
    exact = weights.astype(np.int64) @ x[0].astype(np.int64)
    tie = int(np.flatnonzero((exact % 256 == 128) & (np.abs(exact) >> 8 < 32000))[0])
    other = first.values["y"].data.copy()
    other[0, tie] -= 1  # binary32 has lost the half
    return Planted(first, dump(first, y=other), "float-accumulation", "/fc", "y", (0, tie))


def float_product() -> Planted:
    data = node_file("Mul", [((1, 8), np.int16, 0), ((1, 8), np.int16, 0)], [((1, 8), np.int16, 15)], quant_type="S16")
    a, b = np.full((1, 8), 4, np.int16), np.full((1, 8), 4, np.int16)
    a[0, 2], b[0, 2] = 32767, 16383  # 536821761 / 2**15 is just under a tie that binary32 rounds it to
    for left in range(32767, 20000, -1):
        products = left * np.arange(16385, 32767)
        exact, rounded = (products + 2**14) >> 15, np.floor(products.astype(np.float32) * np.float32(2**-15) + np.float32(0.5))
        found = np.flatnonzero(exact != rounded)
        if found.size:
            a[0, 2], b[0, 2] = left, 16385 + found[0]
            break
    x = {"x0": a, "x1": b}
    return Planted(
        run(data, "esp32s3", x, arithmetic="reference"), run(data, "esp32s3", x), "float-product", "/node", "y0", (0, 2)
    )


def requantize_overflow() -> Planted:
    data = node_file("RequantizeLinear", [((1, 64), np.int8, 0)], [((1, 64), np.int8, -7)], quant_type="S8")
    x = np.zeros((1, 64), np.int8)
    x[0, 9] = 1
    return Planted(
        run(data, "esp32s3", {"x0": x}, arithmetic="reference"),
        run(data, "esp32s3", {"x0": x}),
        "requantize-overflow",
        "/node",
        "y0",
        (0, 9),
    )


def requantize_overflow_in_a_dump() -> Planted:
    planted = requantize_overflow()
    return replace(planted, second=dump(planted.second))


def layout_of_a_dump() -> Planted:
    first = run(small_file("esp32s3"), "esp32s3")
    turned = np.ascontiguousarray(first.values["c"].data.transpose(0, 3, 1, 2)).reshape(1, 6, 6, 20)
    return Planted(first, dump(first, c=turned), "layout", "/conv", "c")


def packing_of_weights() -> Planted:
    def edit(model: records.Model) -> None:
        tensor = _constant(model, "fc.weight")
        tensor.data = np.ascontiguousarray(tensor.data.reshape(5, 20).T).reshape(tensor.dims)

    return Planted(run(small_file("esp32s3"), "esp32s3"), run(edited("esp32s3", edit), "esp32s3"), "packing", "/fc", "y")


def other_weights() -> Planted:
    def edit(model: records.Model) -> None:
        tensor = _constant(model, "conv.weight")
        tensor.data = tensor.data.copy()
        tensor.data.reshape(-1)[100] ^= 0x55

    return Planted(run(small_file("esp32s3"), "esp32s3"), run(edited("esp32s3", edit), "esp32s3"), "weights", "/conv", "c")


def other_bias() -> Planted:
    def edit(model: records.Model) -> None:
        tensor = _constant(model, "conv.bias")
        tensor.data = tensor.data.copy()
        tensor.data[11] += 5000

    return Planted(run(small_file("esp32s3"), "esp32s3"), run(edited("esp32s3", edit), "esp32s3"), "weights", "/conv", "c")


def other_exponent() -> Planted:
    def edit(model: records.Model) -> None:
        graph = model.graph
        graph.value_info = [replace(v, exponents=(-2,)) if v.name == "y" else v for v in graph.value_info]
        graph.output = [replace(v, exponents=(-2,)) for v in graph.output]

    return Planted(run(small_file("esp32s3"), "esp32s3"), run(edited("esp32s3", edit), "esp32s3"), "exponents", "/fc", "y")


def other_exponent_in_a_dump() -> Planted:
    planted = other_exponent()
    return replace(planted, second=dump(planted.second))


def other_attribute() -> Planted:
    def edit(model: records.Model) -> None:
        model.graph.node[0].attribute[0] = records.Attribute("activation", "Linear")

    return Planted(run(small_file("esp32s3"), "esp32s3"), run(edited("esp32s3", edit), "esp32s3"), "graph", "/conv", "c")


def other_operator() -> Planted:
    def edit(model: records.Model) -> None:
        node = model.graph.node[1]
        model.graph.node[1] = records.Node("Sub", node.name, node.input, node.output, node.attribute)

    return Planted(run(small_file("esp32s3"), "esp32s3"), run(edited("esp32s3", edit), "esp32s3"), "graph", "/add", "a")


def other_input() -> Planted:
    data = small_file("esp32s3")
    second = run(data, "esp32s3", {"x": np.random.default_rng(9).integers(-128, 128, INPUT_SHAPE, dtype=np.int8)})
    return Planted(run(data, "esp32s3"), second, "input", "", "x", (0, 0, 0, 0))


def input_colours() -> Planted:
    data = small_file("esp32s3")
    first = run(data, "esp32s3")
    second = run(data, "esp32s3", {"x": np.ascontiguousarray(first.values["x"].data[..., ::-1])})
    return Planted(first, dump(second), "layout", "", "x")


def input_scale() -> Planted:
    data = small_file("esp32s3")
    real = np.random.default_rng(2).uniform(0, 0.9, INPUT_SHAPE).astype(np.float32)
    return Planted(run(data, "esp32s3", {"x": real}), dump(run(data, "esp32s3", {"x": real * 2 - 1})), "input", "", "x")


def overwritten() -> Planted:
    data = small_file("esp32s3")
    first = run(data, "esp32s3")
    model = Model(data, target="esp32s3")
    model.get_intermediate("c")
    model.run(dict(first.inputs or {}))
    return Planted(first, dump(first, c=model.get_intermediate("c").data.copy()), "overwritten", "/conv", "c")


def noise() -> Planted:
    first = run(small_file("esp32s3"), "esp32s3")
    other = first.values["a"].data.copy()
    other[0, 1, 2, 3] ^= 0x40
    return Planted(first, dump(first, a=other), "unexplained", "/add", "a", (0, 1, 2, 3))


PLANTED: tuple[Callable[[], Planted], ...] = (
    rounding_of_sums,
    rounding_of_means,
    rounding_in_a_dump,
    lane_saturation,
    lane_saturation_in_a_dump,
    bias_wrap,
    bias_wrap_in_a_dump,
    accumulator_wrap,
    lut_rule,
    lut_rule_in_a_dump,
    lut_recomputed,
    lut_recomputed_in_a_dump,
    lut_table,
    float_last_place,
    float_accumulation,
    float_product,
    requantize_overflow,
    requantize_overflow_in_a_dump,
    layout_of_a_dump,
    packing_of_weights,
    other_weights,
    other_bias,
    other_exponent,
    other_exponent_in_a_dump,
    other_attribute,
    other_operator,
    other_input,
    input_colours,
    input_scale,
    overwritten,
    noise,
)


def small_model_of(data: bytes) -> records.Model:
    return FbsLoader(data).load().record


def value(name: str, array: NDArray, exponent: int = 0) -> Value:
    return Value(name, DType.of(array.dtype), array, exponent)
