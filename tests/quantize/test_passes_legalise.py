"""Rewritings into what the chip has. ``prepared`` asserts that the numbers stay the same."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.quantize.graphs import counted, network, op, ops, prepared, weights

X = {"x": [1, 4, 7, 6]}


class TestConvTranspose:
    @pytest.mark.parametrize(
        ("stride", "pad", "dilation", "group"), list(itertools.product([1, 2, 3], [0, 1, 2], [1, 2], [1, 4]))
    )
    def test_becomes_insert_zeros_and_conv(self, stride: int, pad: int, dilation: int, group: int) -> None:
        node = op("ConvTranspose", "x w b", "y", strides=[stride] * 2, pads=[pad] * 4, dilations=[dilation] * 2, group=group)
        result = prepared(
            network([node], X, {"w": weights(4, 8 // group if group == 1 else 1, 3, 3), "b": weights(8 if group == 1 else 4)})
        )
        assert set(ops(result)) <= {"InsertZeros", "Conv", "Slice"}
        assert ("InsertZeros" in ops(result)) == (stride > 1)
        conv = next(node for node in result.graph if node.op_type == "Conv")
        assert conv.name == "ConvTranspose_y"
        assert min(conv.attributes["pads"].as_ints()) >= 0

    @pytest.mark.parametrize(
        "attributes",
        [
            {"strides": [2, 3], "output_padding": [1, 2]},
            {"strides": [2, 2], "output_padding": [1, 1], "pads": [1, 0, 2, 1]},
            {"strides": [2, 2], "pads": [0, 0, 4, 3], "output_padding": [1, 0]},
            {"strides": [1, 1], "pads": [3, 0, 0, 3]},
            {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
            {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
            {"strides": [2, 2], "auto_pad": "VALID"},
            {"strides": [2, 2], "output_shape": [14, 13]},
        ],
    )
    def test_paddings(self, attributes: dict[str, object]) -> None:
        result = prepared(network([op("ConvTranspose", "x w", "y", **attributes)], X, {"w": weights(4, 2, 3, 3)}))
        assert "ConvTranspose" not in ops(result)

    @pytest.mark.parametrize("kernel", [1, 2, 5])
    def test_one_dimension(self, kernel: int) -> None:
        node = op("ConvTranspose", "x w", "y", strides=[2], output_padding=[1])
        assert ops(prepared(network([node], {"x": [1, 4, 9]}, {"w": weights(4, 3, kernel)}))) == ["InsertZeros", "Conv"]

    def test_groups_of_several_channels(self) -> None:
        result = prepared(network([op("ConvTranspose", "x w", "y", group=2, strides=[2, 2])], X, {"w": weights(4, 3, 3, 3)}))
        assert counted(result) == {"InsertZeros": 1, "Split": 1, "Conv": 2, "Concat": 1}

    def test_a_variable_weight_stays(self) -> None:
        assert ops(prepared(network([op("ConvTranspose", "x w", "y")], {**X, "w": [4, 2, 3, 3]}))) == ["ConvTranspose"]


class TestConv:
    @pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER", "VALID"])
    @pytest.mark.parametrize("stride", [1, 2])
    def test_automatic_pads_become_numbers(self, automatic: str, stride: int) -> None:
        node = op("Conv", "x w", "y", auto_pad=automatic, strides=[stride] * 2)
        result = prepared(network([node], X, {"w": weights(5, 4, 4, 3)}))
        attributes = result.graph.node(0).attributes
        assert "auto_pad" not in attributes
        assert set(attributes) == {"kernel_shape", "strides", "dilations", "pads", "group"}

    @pytest.mark.parametrize("bias", [True, False])
    def test_groups_become_convolutions_of_their_own(self, bias: bool) -> None:
        source = network([op("Conv", "x w b" if bias else "x w", "y", group=2)], X, {"w": weights(6, 2, 3, 3), "b": weights(6)})
        assert counted(prepared(source)) == {"Split": 1, "Conv": 2, "Concat": 1}

    def test_several_outputs_per_channel(self) -> None:
        assert ops(prepared(network([op("Conv", "x w", "y", group=4)], X, {"w": weights(12, 1, 3, 3)}))) == ["Gather", "Conv"]

    def test_depthwise_stays(self) -> None:
        assert ops(prepared(network([op("Conv", "x w", "y", group=4)], X, {"w": weights(4, 1, 3, 3)}))) == ["Conv"]


class TestPool:
    @pytest.mark.parametrize("shape", [[1, 4, 7, 6], [1, 4, 9]])
    @pytest.mark.parametrize("opset", [13, 18])
    def test_mean_over_space_is_global_average(self, shape: list[int], opset: int) -> None:
        axes = list(range(2, len(shape)))
        node = op("ReduceMean", "x", "y", axes=axes) if opset < 18 else op("ReduceMean", "x axes", "y")
        assert ops(prepared(network([node], {"x": shape}, {"axes": [axis - len(shape) for axis in axes]}, opset=opset))) == [
            "GlobalAveragePool"
        ]

    def test_other_means_stay(self) -> None:
        assert ops(prepared(network([op("ReduceMean", "x axes", "y", keepdims=0)], X, {"axes": [2, 3]}))) == ["ReduceMean"]
        assert ops(prepared(network([op("ReduceMean", "x axes", "y")], X, {"axes": [1, 2]}))) == ["ReduceMean"]

    def test_global_maximum(self) -> None:
        assert ops(prepared(network([op("GlobalMaxPool", "x", "y")], X))) == ["ReduceMax"]

    @pytest.mark.parametrize("size", [6, 7, 8, 9])
    @pytest.mark.parametrize("pad", [0, 1])
    def test_maximum_with_ceil_mode(self, size: int, pad: int) -> None:
        node = op("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, pads=[pad] * 4)
        result = prepared(network([node], {"x": [1, 2, size, size]}))
        assert ops(result) == ["MaxPool"]
        assert "ceil_mode" not in result.graph.node(0).attributes

    @pytest.mark.parametrize(("include", "ceil", "pad"), list(itertools.product([0, 1], [0, 1], [0, 1])))
    @pytest.mark.parametrize("size", [7, 8])
    def test_average(self, include: int, ceil: int, pad: int, size: int) -> None:
        node = op(
            "AveragePool",
            "x",
            "y",
            kernel_shape=[3, 2],
            strides=[2, 2],
            ceil_mode=ceil,
            pads=[pad] * 4,
            count_include_pad=include,
        )
        result = prepared(network([node], {"x": [1, 2, size, size]}))
        assert ops(result)[0] == "AveragePool"
        attributes = result.graph.node(0).attributes
        assert "ceil_mode" not in attributes
        if any(attributes["pads"].as_ints()):
            assert attributes["count_include_pad"].as_int() == 1

    def test_pad_before_average(self) -> None:
        nodes = [op("Pad", "x p", "h"), op("AveragePool", "h", "y", kernel_shape=[3, 3])]
        assert ops(prepared(network(nodes, X, {"p": [0, 0, 1, 1, 0, 0, 1, 1]}))) == ["AveragePool"]


class TestResize:
    @pytest.mark.parametrize("transform", ["half_pixel", "asymmetric", "pytorch_half_pixel"])
    @pytest.mark.parametrize("factor", [2, 3, 4])
    def test_enlarging_by_whole_numbers_is_written_in_one_way(self, transform: str, factor: int) -> None:
        mode = "floor" if transform == "asymmetric" else "round_prefer_floor"
        node = op("Resize", "x _ s", "y", mode="nearest", coordinate_transformation_mode=transform, nearest_mode=mode)
        result = prepared(network([node], X, {"s": np.array([1, 1, factor, factor], np.float32)}))
        attributes = result.graph.node(0).attributes
        assert attributes["coordinate_transformation_mode"].as_string() == "asymmetric"
        assert attributes["nearest_mode"].as_string() == "floor"

    def test_sizes_of_some_axes_become_scales_of_all(self) -> None:
        node = op("Resize", "x _ _ s", "y", mode="linear", coordinate_transformation_mode="pytorch_half_pixel", axes=[2, 3])
        result = prepared(network([node], X, {"s": [14, 9]}))
        node_after = result.graph.node(0)
        assert len(node_after.inputs) == 3
        assert node_after.inputs[2].const_value.numpy().tolist() == [1.0, 1.0, 2.0, 1.5]
        assert node_after.attributes["coordinate_transformation_mode"].as_string() == "half_pixel"
        assert "axes" not in node_after.attributes

    @pytest.mark.parametrize("opset", [9, 10, 11, 13])
    def test_old_opsets(self, opset: int) -> None:
        scales = np.array([1, 1, 2, 2], np.float32)
        inputs = "x s" if opset < 11 else "x roi s"
        node = op("Upsample" if opset == 9 else "Resize", inputs, "y", mode="nearest")
        constants = {"s": scales, "roi": np.zeros(0, np.float32)} if opset >= 11 else {"s": scales}
        assert ops(prepared(network([node], X, constants, opset=opset))) == ["Resize"]

    def test_same_size_vanishes(self) -> None:
        nodes = [op("Resize", "x _ s", "h"), op("Relu", "h", "y")]
        assert ops(prepared(network(nodes, X, {"s": np.ones(4, np.float32)}))) == ["Relu"]


class TestDepth:
    @pytest.mark.parametrize(("mode", "wanted"), [("DCR", ["Gather", "DepthToSpace"]), ("CRD", ["DepthToSpace"])])
    def test_depth_to_space(self, mode: str, wanted: list[str]) -> None:
        node = op("DepthToSpace", "x", "y", blocksize=2, mode=mode)
        assert ops(prepared(network([node], {"x": [1, 12, 3, 4]}))) == wanted

    def test_space_to_depth(self) -> None:
        node = op("SpaceToDepth", "x", "y", blocksize=2)
        assert counted(prepared(network([node], {"x": [1, 3, 6, 4]}))) == {"Slice": 4, "Concat": 1}
        assert ops(prepared(network([node], {"x": [1, 1, 6, 4]}))) == ["SpaceToDepth"]


class TestArithmetic:
    @pytest.mark.parametrize(("exponent", "wanted"), [(2.0, ["Mul"]), (0.5, ["Sqrt"]), (3.0, ["Pow"]), (1.0, ["Identity"])])
    def test_powers(self, exponent: float, wanted: list[str]) -> None:
        nodes = [op("Exp", "x", "e"), op("Pow", "e p", "y")]
        result = prepared(network(nodes, X, {"p": np.float32(exponent)}))
        assert ops(result) == ["Exp", *(name for name in wanted if name != "Identity")]

    def test_others(self) -> None:
        assert ops(prepared(network([op("Exp", "x", "e"), op("Reciprocal", "e", "y")], X))) == ["Exp", "Div"]
        assert counted(prepared(network([op("Abs", "x", "y")], X))) == {"Neg": 1, "Relu": 2, "Add": 1}
        assert ops(prepared(network([op("Sum", "x x x", "y")], X))) == ["Add", "Add"]
        assert ops(prepared(network([op("Mean", "x x", "y")], X))) == ["Add", "Mul"]
        assert ops(prepared(network([op("PRelu", "x s", "y")], X, {"s": np.array([0.2])}))) == ["LeakyRelu"]
        assert ops(prepared(network([op("PRelu", "x s", "y")], X, {"s": weights(4, 1, 1)}))) == ["PRelu"]

    def test_expand_before_broadcasting_vanishes(self) -> None:
        nodes = [op("Expand", "z s", "e"), op("Mul", "x e", "y")]
        assert ops(prepared(network(nodes, {**X, "z": [1, 4, 1, 1]}, {"s": [1, 4, 7, 6]}))) == ["Mul"]

    def test_expand_and_tile_become_concat(self) -> None:
        assert ops(prepared(network([op("Expand", "x s", "y")], {"x": [4, 1]}, {"s": [1, 4, 3]}))) == ["Reshape", "Concat"]
        assert ops(prepared(network([op("Tile", "x r", "y")], {"x": [1, 3, 2]}, {"r": [1, 2, 3]}))) == ["Concat", "Concat"]


class TestSizes:
    def test_axes_are_written_out(self) -> None:
        result = prepared(network([op("Concat", "x x", "c", axis=-3), op("Softmax", "c", "y")], X))
        assert [node.attributes["axis"].as_int() for node in result.graph] == [1, 3]

    def test_reduce_without_axes(self) -> None:
        result = prepared(network([op("ReduceMax", "x", "y", keepdims=0)], X))
        assert result.graph.node(0).inputs[1].const_value.numpy().tolist() == [0, 1, 2, 3]

    def test_reduce_that_does_nothing_vanishes(self) -> None:
        nodes = [op("Relu", "x", "r"), op("ReduceSum", "r", "s", noop_with_empty_axes=1), op("Tanh", "s", "y")]
        assert ops(prepared(network(nodes, X))) == ["Relu", "Tanh"]

    def test_split_sizes(self) -> None:
        nodes = [op("Split", "x", "a b", axis=-2, num_outputs=2), op("Concat", "b a", "y", axis=2)]
        result = prepared(network(nodes, X))
        assert result.graph.node(0).inputs[1].const_value.numpy().tolist() == [4, 3]
        assert set(result.graph.node(0).attributes) == {"axis"}

    def test_reshape_holds_its_result(self) -> None:
        result = prepared(network([op("Reshape", "x s", "y")], X, {"s": [0, -1, 2]}))
        assert result.graph.node(0).inputs[1].const_value.numpy().tolist() == [1, 84, 2]

    def test_slice_bounds(self) -> None:
        result = prepared(network([op("Slice", "x s e a", "y")], X, {"s": [-3], "e": [1000], "a": [-1]}))
        lists = [value.const_value.numpy().tolist() for value in result.graph.node(0).inputs[1:]]
        assert lists == [[3], [6], [3], [1]]

    def test_slice_backwards(self) -> None:
        constants = {"s": [-1], "e": [np.iinfo(np.int64).min], "a": [2], "t": [-1]}
        assert ops(prepared(network([op("Slice", "x s e a t", "y")], X, constants))) == ["Slice"]

    def test_negative_indices_of_gather(self) -> None:
        result = prepared(network([op("Gather", "x i", "y", axis=2)], X, {"i": np.array(-1)}))
        assert result.graph.node(0).inputs[1].const_value.numpy().tolist() == 6
        assert result.graph.node(0).inputs[1].shape == ()


class TestRecurrent:
    @pytest.mark.parametrize(("kind", "gates", "states"), [("GRU", 3, 1), ("LSTM", 4, 2)])
    def test_zero_states_and_full_lengths_are_dropped(self, kind: str, gates: int, states: int) -> None:
        names = ["x", "w", "r", "b", "n", *["z"] * states]
        attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
        constants = {
            "w": weights(1, gates * 5, 3),
            "r": weights(1, gates * 5, 5),
            "b": weights(1, gates * 10),
            "z": np.zeros((1, 1, 5), np.float32),
            "n": np.array([7], np.int32),
        }
        node = op(kind, " ".join(names), "y", hidden_size=5, **attributes)
        result = prepared(network([node], {"x": [7, 1, 3]}, constants))
        assert len(result.graph.node(0).inputs) == 4

    def test_other_states_stay(self) -> None:
        constants = {"w": weights(1, 20, 3), "r": weights(1, 20, 5), "h": np.zeros((1, 1, 5)), "c": weights(1, 1, 5)}
        result = prepared(network([op("LSTM", "x w r _ _ h c", "y", hidden_size=5)], {"x": [7, 1, 3]}, constants))
        assert len(result.graph.node(0).inputs) == 7
