"""Fusions: what they take in, and what they leave alone. ``prepared`` asserts that the numbers stay the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest

from espdl.chips import get_chip
from espdl.errors import EspdlError
from espdl.quantize.importer import load_network
from espdl.quantize.pipeline import prepare
from tests.quantize.graphs import counted, network, op, ops, prepared, weights

X = {"x": [1, 4, 6, 5]}


def batchnorm(inputs: str, channels: int, output: str = "y") -> tuple[onnx.NodeProto, dict[str, Any]]:
    constants = {
        "gamma": weights(channels, seed=1),
        "beta": weights(channels, seed=2),
        "mean": weights(channels, seed=3),
        "var": weights(channels, seed=4, positive=True),
    }
    return op("BatchNormalization", f"{inputs} gamma beta mean var", output, epsilon=1e-3), constants


class TestBatchNorm:
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize(
        ("layer", "shape", "weight", "attributes"),
        [
            ("Conv", [1, 4, 6, 5], (6, 4, 3, 3), {}),
            ("Conv", [1, 4, 9], (6, 4, 3), {}),
            ("Conv", [1, 4, 6, 5], (4, 1, 3, 3), {"group": 4}),
            ("Gemm", [2, 4], (6, 4), {"transB": 1}),
            ("Gemm", [2, 4], (4, 6), {}),
        ],
    )
    def test_becomes_part_of_the_layer_before(
        self, layer: str, shape: list[int], weight: tuple[int, ...], attributes: dict[str, int], bias: bool
    ) -> None:
        channels = weight[1] if layer == "Gemm" and not attributes else weight[0]
        node, constants = batchnorm("h", channels)
        constants["w"] = weights(*weight)
        if bias:
            constants["b"] = weights(channels, seed=9)
        result = prepared(network([op(layer, "x w b" if bias else "x w", "h", **attributes), node], {"x": shape}, constants))
        assert ops(result) == [layer]
        assert result.graph.node(0).name == f"{layer}_h"

    @pytest.mark.parametrize("group", [1, 2])
    def test_becomes_part_of_a_transposed_convolution(self, group: int) -> None:
        node, constants = batchnorm("h", 6)
        constants["w"] = weights(4, 6 // group, 3, 3)
        result = prepared(network([op("ConvTranspose", "x w", "h", group=group), node], X, constants))
        assert "BatchNormalization" not in ops(result)
        assert "Mul" not in ops(result)

    def test_stays_apart_where_the_layer_has_other_consumers(self) -> None:
        node, constants = batchnorm("h", 4, "n")
        constants["w"] = weights(4, 4, 1, 1)
        result = prepared(network([op("Conv", "x w", "h"), node, op("Add", "h n", "y")], X, constants))
        assert ops(result) == ["Conv", "Conv", "Add"]

    @pytest.mark.parametrize("shape", [[1, 4, 6, 5], [1, 4, 7]])
    def test_alone_becomes_a_depthwise_convolution_of_the_right_rank(self, shape: list[int]) -> None:
        node, constants = batchnorm("r", 4)
        result = prepared(network([op("Relu", "x", "r"), node], {"x": shape}, constants))
        assert ops(result) == ["Relu", "Conv"]
        assert result.graph.node(1).attributes["group"].as_int() == 4
        assert len(result.graph.node(1).attributes["kernel_shape"].as_ints()) == len(shape) - 2

    def test_alone_on_a_matrix_becomes_mul_and_add(self) -> None:
        node, constants = batchnorm("r", 4)
        assert ops(prepared(network([op("Relu", "x", "r"), node], {"x": [1, 4]}, constants))) == ["Relu", "Mul", "Add"]

    def test_negative_variance_is_an_error_that_names_the_node(self) -> None:
        node, constants = batchnorm("x", 4)
        constants["var"] = -constants["var"]
        with pytest.raises(EspdlError, match=r"BatchNormalization_y.*variance is negative"):
            prepare(load_network(network([node], X, constants)), get_chip("c"))


class TestBias:
    @pytest.mark.parametrize("shape", [(6, 1, 1), (1, 6, 1, 1), (1,), ()])
    def test_add_becomes_the_bias_of_a_convolution(self, shape: tuple[int, ...]) -> None:
        constants = {"w": weights(6, 4, 3, 3), "b": weights(*shape, seed=5) if shape else np.float32(0.7)}
        result = prepared(network([op("Conv", "x w", "h"), op("Add", "h b", "y")], X, constants))
        assert ops(result) == ["Conv"]
        assert result.graph.node(0).inputs[2].shape == (6,)

    def test_add_to_a_layer_with_bias_adds_up(self) -> None:
        constants = {"w": weights(6, 4, 3, 3), "b": weights(6), "c": weights(6, 1, 1, seed=5)}
        assert ops(prepared(network([op("Conv", "x w b", "h"), op("Add", "c h", "y")], X, constants))) == ["Conv"]

    def test_sub_becomes_bias_but_not_the_other_way_round(self) -> None:
        constants = {"w": weights(6, 4, 3, 3), "c": weights(6, 1, 1, seed=5)}
        assert ops(prepared(network([op("Conv", "x w", "h"), op("Sub", "h c", "y")], X, constants))) == ["Conv"]
        assert ops(prepared(network([op("Conv", "x w", "h"), op("Sub", "c h", "y")], X, constants))) == ["Conv", "Sub"]

    @pytest.mark.parametrize("shape", [(1, 1, 4, 3), (6, 4, 3), (3,)])
    def test_a_constant_that_varies_in_space_stays(self, shape: tuple[int, ...]) -> None:
        constants = {"w": weights(6, 4, 3, 3), "b": weights(*shape, seed=5)}
        assert ops(prepared(network([op("Conv", "x w", "h"), op("Add", "h b", "y")], X, constants))) == ["Conv", "Add"]

    def test_stays_where_the_layer_is_a_graph_output(self) -> None:
        constants = {"w": weights(6, 4, 3, 3), "b": weights(6, 1, 1)}
        assert ops(prepared(network([op("Conv", "x w", "h"), op("Add", "h b", "y")], X, constants, outputs="h y"))) == [
            "Conv",
            "Add",
        ]

    @pytest.mark.parametrize(("node", "count"), [("Mul", 1), ("Div", 1)])
    def test_a_factor_per_channel_becomes_part_of_the_weights(self, node: str, count: int) -> None:
        constants = {"w": weights(6, 4, 3, 3), "b": weights(6), "s": weights(6, 1, 1, seed=5)}
        assert len(ops(prepared(network([op("Conv", "x w b", "h"), op(node, "h s", "y")], X, constants)))) == count

    def test_one_divided_by_a_layer_stays(self) -> None:
        constants = {"w": weights(6, 4, 1, 1, positive=True), "b": np.full(6, 100.0), "s": np.float32(1)}
        assert ops(prepared(network([op("Conv", "x w b", "h"), op("Div", "s h", "y")], X, constants))) == ["Conv", "Div"]


class TestGemm:
    def test_matmul_and_add_on_a_matrix(self) -> None:
        result = prepared(
            network([op("MatMul", "x w", "h"), op("Add", "b h", "y")], {"x": [3, 4]}, {"w": weights(4, 5), "b": weights(5)})
        )
        assert ops(result) == ["Gemm"]
        assert result.graph.node(0).domain == ""

    @pytest.mark.parametrize("shape", [[1, 3, 4], [1, 2, 3, 4]])
    def test_matmul_and_add_on_other_ranks_is_the_chips_gemm(self, shape: list[int]) -> None:
        result = prepared(
            network([op("MatMul", "x w", "h"), op("Add", "h b", "y")], {"x": shape}, {"w": weights(4, 5), "b": weights(5)})
        )
        assert ops(result) == ["Gemm"]
        assert result.graph.node(0).domain == "espdl"
        assert result.graph.node(0).outputs[0].shape == (*shape[:-1], 5)

    def test_matmul_of_two_variables_stays(self) -> None:
        inputs = {"x": [1, 3, 4], "z": [1, 4, 5]}
        assert ops(prepared(network([op("MatMul", "x z", "h"), op("Add", "h b", "y")], inputs, {"b": weights(5)}))) == [
            "MatMul",
            "Add",
        ]

    def test_matmul_with_a_matrix_added_keeps_the_add(self) -> None:
        source = network(
            [op("MatMul", "x w", "h"), op("Add", "h b", "y")], {"x": [1, 3, 4]}, {"w": weights(4, 5), "b": weights(3, 5)}
        )
        assert ops(prepared(source, "c")) == ["MatMul", "Add"]
        assert ops(prepared(source, "esp32p4")) == ["Gemm", "Add"]

    def test_factors_go_into_the_constants(self) -> None:
        node = op("Gemm", "x w b", "y", alpha=0.5, beta=3.0, transB=1)
        result = prepared(network([node], {"x": [2, 4]}, {"w": weights(5, 4), "b": weights(1, 5)}))
        assert ops(result) == ["Gemm"]
        assert set(result.graph.node(0).attributes) == {"transB"}
        assert result.graph.node(0).inputs[2].shape == (5,)

    def test_a_transposed_input_gets_a_transpose(self) -> None:
        source = network([op("Gemm", "x w b", "y", transA=1)], {"x": [4, 2]}, {"w": weights(4, 5), "b": np.float32(2)})
        assert ops(prepared(source)) == ["Transpose", "Gemm"]

    def test_a_matrix_as_addend_becomes_an_add(self) -> None:
        source = network([op("Gemm", "x w b", "y", beta=2.0)], {"x": [3, 4]}, {"w": weights(4, 5), "b": weights(3, 5)})
        assert ops(prepared(source)) == ["Gemm", "Add"]

    def test_a_variable_weight_makes_it_matmul(self) -> None:
        source = network([op("Gemm", "x z b", "y", alpha=2.0, transB=1)], {"x": [3, 4], "z": [5, 4]}, {"b": weights(5)})
        assert sorted(ops(prepared(source))) == ["Add", "MatMul", "Mul", "Transpose"]


class TestActivations:
    @pytest.mark.parametrize("order", ["x s", "s x"])
    def test_swish(self, order: str) -> None:
        result = prepared(network([op("Sigmoid", "x", "s"), op("Mul", order, "y")], X))
        assert ops(result) == ["Swish"]
        assert result.graph.node(0).name == "Swish_s"

    def test_swish_of_opset_24(self) -> None:
        assert ops(prepared(network([op("Swish", "x", "y")], X, opset=24))) == ["Swish"]

    def test_a_gate_is_no_swish(self) -> None:
        assert ops(prepared(network([op("Sigmoid", "x", "s"), op("Mul", "s z", "y")], {**X, "z": [1, 4, 6, 5]}))) == [
            "Sigmoid",
            "Mul",
        ]

    def test_a_sigmoid_that_others_read_stays(self) -> None:
        assert ops(prepared(network([op("Sigmoid", "x", "s"), op("Mul", "s x", "y")], X, outputs="y s"))) == ["Sigmoid", "Mul"]

    @pytest.mark.parametrize(
        "nodes",
        [
            [
                op("Div", "x root2", "a"),
                op("Erf", "a", "e"),
                op("Add", "e one", "b"),
                op("Mul", "x b", "c"),
                op("Mul", "c half", "y"),
            ],
            [
                op("Mul", "x root", "a"),
                op("Erf", "a", "e"),
                op("Add", "one e", "b"),
                op("Mul", "b x", "c"),
                op("Mul", "half c", "y"),
            ],
            [
                op("Div", "x root2", "a"),
                op("Erf", "a", "e"),
                op("Add", "e one", "b"),
                op("Mul", "x half", "c"),
                op("Mul", "c b", "y"),
            ],
            [
                op("Div", "x root2", "a"),
                op("Erf", "a", "e"),
                op("Add", "e one", "b"),
                op("Mul", "b half", "c"),
                op("Mul", "x c", "y"),
            ],
            [
                op("Div", "x root2", "a"),
                op("Erf", "a", "e"),
                op("Add", "e one", "b"),
                op("Mul", "x b", "c"),
                op("Div", "c two", "y"),
            ],
        ],
    )
    def test_gelu_in_every_order(self, nodes: list[onnx.NodeProto]) -> None:
        constants = {
            name: np.float32(v)
            for name, v in (("root2", 1.41421356), ("root", 0.70710678), ("one", 1), ("half", 0.5), ("two", 2))
        }
        result = prepared(network(nodes, X, constants))
        assert ops(result) == ["Gelu"]

    @pytest.mark.parametrize("cube", ["pow", "mul", "horner"])
    def test_gelu_with_tanh(self, cube: str) -> None:
        root = math.sqrt(2 / math.pi)
        constants = {name: np.float32(v) for name, v in (("k", 0.044715), ("r", root), ("one", 1), ("half", 0.5), ("three", 3.0))}
        if cube == "pow":
            inner = [op("Pow", "x three", "c"), op("Mul", "c k", "kc"), op("Add", "x kc", "p"), op("Mul", "p r", "t")]
        elif cube == "mul":
            inner = [
                op("Mul", "x x", "q"),
                op("Mul", "q x", "c"),
                op("Mul", "k c", "kc"),
                op("Add", "kc x", "p"),
                op("Mul", "r p", "t"),
            ]
        else:
            inner = [
                op("Mul", "x r", "xr"), op("Mul", "x x", "q"), op("Mul", "q k", "kq"), op("Add", "kq one", "p"), op("Mul", "xr p", "t"),
            ]  # fmt: skip
        outer = [op("Tanh", "t", "h"), op("Add", "h one", "a"), op("Mul", "x a", "m"), op("Mul", "m half", "y")]
        result = prepared(network([*inner, *outer], X, constants))
        assert ops(result) == ["Gelu"]
        assert result.graph.node(0).attributes["approximate"].as_string() == "tanh"

    def test_erf_with_another_scale_is_no_gelu(self) -> None:
        constants = {"r": np.float32(0.5), "one": np.float32(1), "half": np.float32(0.5)}
        nodes = [
            op("Mul", "x r", "a"),
            op("Erf", "a", "e"),
            op("Add", "e one", "b"),
            op("Mul", "x b", "c"),
            op("Mul", "c half", "y"),
        ]
        assert "Gelu" not in ops(prepared(network(nodes, X, constants)))

    def test_hard_swish_from_hard_sigmoid(self) -> None:
        result = prepared(network([op("HardSigmoid", "x", "g", alpha=1 / 6), op("Mul", "g x", "y")], X))
        assert ops(result) == ["HardSwish"]
        other = prepared(network([op("HardSigmoid", "x", "g", alpha=0.2), op("Mul", "g x", "y")], X))
        assert ops(other) == ["HardSigmoid", "Mul"]

    @pytest.mark.parametrize("order", ["product", "gate"])
    def test_hard_swish_from_clip(self, order: str) -> None:
        constants = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
        gate = [op("Add", "x three", "a"), op("Clip", "a zero six", "c")]
        if order == "product":
            tail = [op("Mul", "x c", "m"), op("Div", "m six", "y")]
        else:
            tail = [op("Div", "c six", "m"), op("Mul", "m x", "y")]
        assert ops(prepared(network([*gate, *tail], X, constants))) == ["HardSwish"]

    def test_hard_sigmoid_from_clip(self) -> None:
        constants = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
        nodes = [op("Add", "x three", "a"), op("Clip", "a zero six", "c"), op("Div", "c six", "y")]
        result = prepared(network(nodes, X, constants))
        assert ops(result) == ["HardSigmoid"]
        assert result.graph.node(0).attributes["alpha"].as_float() == pytest.approx(1 / 6)
        assert result.graph.node(0).attributes["beta"].as_float() == pytest.approx(0.5)

    @pytest.mark.parametrize(
        ("nodes", "wanted"),
        [
            ([op("Max", "x zero", "y")], ["Relu"]),
            ([op("Clip", "x zero", "y")], ["Relu"]),
            ([op("Max", "x zero", "a"), op("Min", "a six", "y")], ["Clip"]),
            ([op("Relu", "x", "a"), op("Min", "six a", "y")], ["Clip"]),
            ([op("Clip", "x _ six", "y")], ["Clip"]),
            ([op("Clip", "x", "y")], ["Clip"]),
            ([op("Max", "x z", "y")], ["Max"]),
        ],
    )
    def test_bounds(self, nodes: list[onnx.NodeProto], wanted: list[str]) -> None:
        inputs = {**X, "z": [1, 4, 6, 5]} if any("z" in node.input for node in nodes) else X
        constants = {"zero": np.float32(0), "six": np.full((1,), 6.0)}
        if "Clip" in {node.op_type for node in nodes}:
            constants["six"] = np.float32(6)
        result = prepared(network(nodes, inputs, constants))
        assert ops(result) == wanted
        if wanted == ["Clip"]:
            assert len(result.graph.node(0).inputs) == 3
            assert all(value.shape == () for value in result.graph.node(0).inputs[1:])


def layer_norm(axes: list[int], *, power: bool = True, reciprocal: bool = False, affine: str = "sb") -> list[onnx.NodeProto]:
    nodes = [
        op("ReduceMean", "x", "m", axes=axes),
        op("Sub", "x m", "d"),
        op("Pow", "d two", "q") if power else op("Mul", "d d", "q"),
        op("ReduceMean", "q", "v", axes=axes),
        op("Add", "v eps", "e"),
        op("Sqrt", "e", "r"),
    ]
    nodes += [op("Reciprocal", "r", "i"), op("Mul", "d i", "n0")] if reciprocal else [op("Div", "d r", "n0")]
    name = "n0"
    if "s" in affine:
        nodes.append(op("Mul", f"{name} s", "n1"))
        name = "n1"
    if "b" in affine:
        nodes.append(op("Add", f"{name} b", "n2"))
        name = "n2"
    nodes[-1].output[0] = "y"
    return nodes


class TestNormalisation:
    @pytest.mark.parametrize("affine", ["sb", "s", "b", ""])
    @pytest.mark.parametrize(("power", "reciprocal"), [(True, False), (False, True)])
    def test_layer_norm(self, affine: str, power: bool, reciprocal: bool) -> None:
        constants = {"two": np.float32(2), "eps": np.float32(1e-3), "s": weights(8), "b": weights(8, seed=3)}
        nodes = layer_norm([-1], power=power, reciprocal=reciprocal, affine=affine)
        result = prepared(network(nodes, {"x": [1, 6, 8]}, constants, opset=13))
        assert ops(result) == ["LayerNormalization"]
        node = result.graph.node(0)
        assert node.attributes["axis"].as_int() == 2
        assert node.attributes["epsilon"].as_float() == pytest.approx(1e-3)
        assert node.inputs[1].shape == (8,)
        assert len(node.inputs) == (3 if "b" in affine else 2)

    def test_layer_norm_over_two_axes(self) -> None:
        constants = {"two": np.float32(2), "eps": np.float32(1e-3), "s": weights(6, 8), "b": weights(8)}
        result = prepared(network(layer_norm([1, 2]), {"x": [1, 6, 8]}, constants, opset=13))
        assert ops(result) == ["LayerNormalization"]
        assert result.graph.node(0).inputs[2].shape == (6, 8)

    def test_normalisation_over_channels_is_not_fused(self) -> None:
        constants = {"two": np.float32(2), "eps": np.float32(1e-3), "s": weights(6, 1), "b": weights(6, 1)}
        assert "LayerNormalization" not in ops(prepared(network(layer_norm([1]), {"x": [1, 6, 8]}, constants, opset=13)))

    @pytest.mark.parametrize("form", ["div", "reciprocal", "one"])
    def test_rms_norm(self, form: str) -> None:
        tail = {
            "div": [op("Div", "x r", "n")],
            "reciprocal": [op("Reciprocal", "r", "i"), op("Mul", "x i", "n")],
            "one": [op("Div", "one r", "i"), op("Mul", "i x", "n")],
        }[form]
        head = [op("Pow", "x two", "q"), op("ReduceMean", "q axes", "v"), op("Add", "v eps", "e"), op("Sqrt", "e", "r")]
        constants = {"two": np.float32(2), "one": np.float32(1), "eps": np.float32(1e-5), "s": weights(8), "axes": [2]}
        result = prepared(network([*head, *tail, op("Mul", "s n", "y")], {"x": [1, 6, 8]}, constants))
        assert ops(result) == ["RMSNormalization"]

    def test_power_other_than_two_is_no_rms_norm(self) -> None:
        head = [op("Pow", "x four", "q"), op("ReduceMean", "q axes", "v"), op("Add", "v eps", "e"), op("Sqrt", "e", "r")]
        constants = {"four": np.float32(4), "eps": np.float32(1e-5), "axes": [2]}
        assert "RMSNormalization" not in ops(prepared(network([*head, op("Div", "x r", "y")], {"x": [1, 6, 8]}, constants)))

    @pytest.mark.parametrize("p", [1, 2])
    def test_lp_norm(self, p: int) -> None:
        nodes = [
            op(f"ReduceL{p}", "x axes", "n", keepdims=1),
            op("Clip", "n tiny", "c"),
            op("Expand", "c shape", "e"),
            op("Div", "x e", "y"),
        ]
        result = prepared(network(nodes, {"x": [1, 6, 8]}, {"axes": [1], "tiny": np.float32(1e-12), "shape": [1, 6, 8]}))
        assert ops(result) == ["LpNormalization"]
        assert result.graph.node(0).attributes["p"].as_int() == p

    def test_a_large_lower_bound_is_no_lp_norm(self) -> None:
        nodes = [op("ReduceL2", "x axes", "n", keepdims=1), op("Clip", "n tiny", "c"), op("Div", "x c", "y")]
        assert "LpNormalization" not in ops(prepared(network(nodes, {"x": [1, 6, 8]}, {"axes": [1], "tiny": np.float32(9)})))


class TestPad:
    def test_pad_becomes_pads_of_the_convolution(self) -> None:
        nodes = [op("Pad", "x p", "h"), op("Conv", "h w", "y", pads=[0, 1, 0, 1])]
        result = prepared(network(nodes, X, {"p": [0, 0, 1, 0, 0, 0, 2, 1], "w": weights(3, 4, 3, 3)}))
        assert ops(result) == ["Conv"]
        assert list(result.graph.node(0).attributes["pads"].as_ints()) == [1, 1, 2, 2]

    def test_pads_of_some_axes(self) -> None:
        nodes = [op("Pad", "x p _ axes", "h"), op("Conv", "h w", "y")]
        assert ops(prepared(network(nodes, {"x": [1, 4, 9]}, {"p": [2, 0], "axes": [-1], "w": weights(3, 4, 3)}))) == ["Conv"]

    @pytest.mark.parametrize(
        ("pads", "value", "mode"),
        [
            ([0, 0, 1, 1, 0, 0, 1, 1], 1.0, "constant"),
            ([0, 0, 1, 1, 0, 0, 1, 1], 0.0, "reflect"),
            ([0, 0, -1, 0, 0, 0, 0, 0], 0.0, "constant"),
        ],
    )
    def test_other_pads_stay(self, pads: list[int], value: float, mode: str) -> None:
        nodes = [op("Pad", "x p v" if mode == "constant" else "x p", "h", mode=mode), op("Conv", "h w", "y")]
        result = prepared(network(nodes, X, {"p": pads, "v": np.float32(value), "w": weights(3, 4, 3, 3)}))
        assert ops(result) == ["Pad", "Conv"]

    def test_channel_pad_stays(self) -> None:
        nodes = [op("Pad", "x p", "h"), op("Conv", "h w", "y")]
        assert ops(prepared(network(nodes, X, {"p": [0, 1, 0, 0, 0, 0, 0, 0], "w": weights(3, 5, 3, 3)}))) == ["Pad", "Conv"]


class TestOrder:
    def test_transposes_in_a_row_become_one(self) -> None:
        nodes = [op("Transpose", "x", "a", perm=[0, 2, 3, 1]), op("Transpose", "a", "y", perm=[0, 2, 1, 3])]
        result = prepared(network(nodes, X))
        assert ops(result) == ["Transpose"]
        assert list(result.graph.node(0).attributes["perm"].as_ints()) == [0, 3, 2, 1]

    def test_transposes_that_undo_each_other_vanish(self) -> None:
        nodes = [op("Relu", "x", "r"), op("Transpose", "r", "a", perm=[0, 2, 3, 1]), op("Transpose", "a", "b", perm=[0, 3, 1, 2])]
        assert ops(prepared(network([*nodes, op("Tanh", "b", "y")], X))) == ["Relu", "Tanh"]

    def test_slices_of_all_parts_become_a_split(self) -> None:
        nodes = [
            op("Slice", "x s1 e1 axes", "a"),
            op("Slice", "x s0 e0 axes", "b"),
            op("Relu", "a", "ra"),
            op("Concat", "ra b", "y", axis=1),
        ]
        constants = {"s0": [0], "e0": [1], "s1": [1], "e1": [np.iinfo(np.int64).max], "axes": [1]}
        result = prepared(network(nodes, X, constants))
        assert ops(result) == ["Split", "Relu", "Concat"]

    def test_slices_with_a_gap_stay(self) -> None:
        nodes = [op("Slice", "x s0 e0 axes", "a"), op("Slice", "x s1 e1 axes", "b"), op("Concat", "a b", "y", axis=1)]
        constants = {"s0": [0], "e0": [1], "s1": [2], "e1": [4], "axes": [1]}
        assert counted(prepared(network(nodes, X, constants))) == {"Slice": 2, "Concat": 1}

    def test_reshape_to_a_row_is_flatten(self) -> None:
        assert ops(prepared(network([op("Reshape", "x s", "y")], X, {"s": [1, -1]}))) == ["Flatten"]
        assert ops(prepared(network([op("Reshape", "x s", "y")], X, {"s": [2, -1]}))) == ["Reshape"]

    def test_neutral_arithmetic_vanishes(self) -> None:
        constants = {"zero": np.zeros((4, 1, 1)), "one": np.float32(1)}
        nodes = [
            op("Relu", "x", "r"),
            op("Add", "r zero", "a"),
            op("Mul", "one a", "m"),
            op("Div", "m one", "d"),
            op("Tanh", "d", "y"),
        ]
        assert ops(prepared(network(nodes, X, constants))) == ["Relu", "Tanh"]

    def test_one_minus_x_stays(self) -> None:
        assert ops(prepared(network([op("Sub", "zero x", "y")], X, {"zero": np.float32(0)}))) == ["Sub"]
