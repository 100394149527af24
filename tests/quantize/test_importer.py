"""Import: everything that can be wrong with a file is said at once and by name; everything else comes out in one form."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from espdl.dl.module.base import MODULE_TYPES, Module
from espdl.errors import EspdlError
from espdl.quantize.importer import load_network
from tests.quantize.graphs import assert_equal, feeds, network, op, ops, run, weights

X = {"x": [1, 4, 6, 5]}
CONV = {"w": weights(6, 4, 3, 3)}


def small() -> onnx.ModelProto:
    return network([op("Conv", "x w", "h"), op("Relu", "h", "y")], X, CONV)


class TestFiles:
    def test_path_proto_and_model_are_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        onnx.save(small(), path)
        content = path.read_bytes()
        models = [load_network(path), load_network(str(path)), load_network(small()), load_network(ir.from_proto(small()))]
        protos = [ir.to_proto(model).SerializeToString(deterministic=True) for model in models]
        assert len(set(protos)) == 1
        assert path.read_bytes() == content

    def test_the_given_model_is_not_changed(self) -> None:
        source = ir.from_proto(small())
        before = ir.to_proto(source).SerializeToString(deterministic=True)
        load_network(source)
        assert ir.to_proto(source).SerializeToString(deterministic=True) == before

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(EspdlError, match=r"absent\.onnx: there is no such file"):
            load_network(tmp_path / "absent.onnx")

    def test_directory(self, tmp_path: Path) -> None:
        with pytest.raises(EspdlError, match="no such file"):
            load_network(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x00" * 64, b"EDL2" + bytes(range(200))])
    def test_other_files(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "net.onnx"
        path.write_bytes(content)
        with pytest.raises(EspdlError, match=r"net\.onnx: this is not an ONNX"):
            load_network(path)

    def test_truncated_files(self, tmp_path: Path) -> None:
        content = small().SerializeToString()
        path = tmp_path / "net.onnx"
        for size in range(0, len(content), 16):
            path.write_bytes(content[:size])
            with pytest.raises(EspdlError, match=r"net\.onnx"):
                load_network(path)

    def test_flipped_bytes_never_crash(self, tmp_path: Path) -> None:
        content = bytearray(small().SerializeToString())
        rng = np.random.default_rng(0)
        path = tmp_path / "net.onnx"
        for place in rng.integers(0, len(content), 300):
            changed = bytearray(content)
            changed[place] ^= 1 << rng.integers(8)
            path.write_bytes(changed)
            with contextlib.suppress(EspdlError):
                load_network(path)

    def test_something_else(self) -> None:
        with pytest.raises(EspdlError, match="cannot be read from int"):
            load_network(3)  # type: ignore[arg-type]

    def test_external_data(self, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        onnx.save_model(small(), path, save_as_external_data=True, location="net.data", size_threshold=0)
        model = load_network(path)
        inputs = feeds(small())
        assert_equal(run(model, inputs), run(small(), inputs), 0)

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("location", "../elsewhere.data", "outside the directory"),
            ("location", "/etc/passwd", "outside the directory"),
            ("location", "gone.data", "'gone.data' is missing"),
            ("length", "99999999", "cut short"),
            ("offset", "-5", "cut short"),
            ("offset", "many", "not a number"),
        ],
    )
    def test_external_data_that_lies(self, tmp_path: Path, key: str, value: str, message: str) -> None:
        path = tmp_path / "net.onnx"
        onnx.save_model(small(), path, save_as_external_data=True, location="net.data", size_threshold=0)
        proto = onnx.load(path, load_external_data=False)
        for entry in proto.graph.initializer[0].external_data:
            if entry.key == key:
                entry.value = value
        path.write_bytes(proto.SerializeToString())
        with pytest.raises(EspdlError, match=message) as caught:
            load_network(path)
        assert "initializer 'w'" in str(caught.value)

    def test_external_data_of_another_shape(self, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        onnx.save_model(small(), path, save_as_external_data=True, location="net.data", size_threshold=0)
        proto = onnx.load(path, load_external_data=False)
        proto.graph.initializer[0].dims[0] = 1000
        path.write_bytes(proto.SerializeToString())
        with pytest.raises(EspdlError, match=r"net\.onnx: .*cannot be read"):
            load_network(path)

    def test_two_gigabytes(self, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        with path.open("wb") as file:
            file.truncate(2 << 30)
        with pytest.raises(EspdlError, match=r"the file has 2\.0 GiB"):
            load_network(path)


class TestStructure:
    def test_a_format_from_the_future(self) -> None:
        proto = small()
        proto.ir_version = 99
        with pytest.raises(EspdlError, match="version 99"):
            load_network(proto)

    def test_no_outputs(self) -> None:
        proto = small()
        del proto.graph.output[:]
        with pytest.raises(EspdlError, match="no outputs"):
            load_network(proto)

    def test_no_inputs(self) -> None:
        with pytest.raises(EspdlError, match="no inputs"):
            load_network(network([op("Relu", "k", "y")], {}, {"k": weights(3)}))

    def test_an_input_that_does_not_exist(self) -> None:
        with pytest.raises(EspdlError, match=r"node 'Conv_y' \(Conv\).*'missing' does not exist"):
            load_network(network([op("Conv", "x missing", "y")], X))

    def test_an_output_that_nobody_makes(self) -> None:
        with pytest.raises(EspdlError, match="graph output 'z'"):
            load_network(network([op("Relu", "x", "y")], X, outputs="y z"))

    def test_a_value_defined_twice(self) -> None:
        with pytest.raises(EspdlError, match=r"'y' is (defined twice|redeclared)"):
            load_network(network([op("Relu", "x", "y"), op("Tanh", "x", "y")], X))

    def test_a_circle(self) -> None:
        with pytest.raises(EspdlError, match="circle"):
            load_network(network([op("Add", "x b", "a"), op("Relu", "a", "b"), op("Tanh", "b", "y")], X))

    def test_nodes_in_any_order(self) -> None:
        assert ops(load_network(network([op("Tanh", "h", "y"), op("Relu", "x", "h")], X))) == ["Relu", "Tanh"]

    def test_control_flow(self) -> None:
        body = helper.make_graph(
            [op("Relu", "x", "b")], "body", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)]
        )
        node = helper.make_node("If", ["c"], ["y"], name="branch", then_branch=body, else_branch=body)
        with pytest.raises(EspdlError, match=r"node 'branch' \(If\).*control flow"):
            load_network(network([op("ReduceMax", "x", "m", keepdims=0), op("Cast", "m", "c", to=TensorProto.BOOL), node], X))

    @pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.STRING, TensorProto.COMPLEX64])
    def test_inputs_of_other_types(self, kind: int) -> None:
        proto = network([op("Relu", "x", "y")], X)
        proto.graph.input[0].type.tensor_type.elem_type = kind
        with pytest.raises(EspdlError, match=r"input 'x': the input is"):
            load_network(proto)

    def test_half_precision_weights(self) -> None:
        proto = network([op("Conv", "x w", "y")], X)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weights(6, 4, 3, 3).astype(np.float16), "w"))
        with pytest.raises(EspdlError, match=r"initializer 'w'.*'Conv_y'.*FLOAT16"):
            load_network(proto)

    def test_a_size_that_depends_on_the_data(self) -> None:
        with pytest.raises(EspdlError, match=r"NonZero_n.*depends on the data"):
            load_network(network([op("NonZero", "x", "n"), op("Cast", "n", "y", to=TensorProto.FLOAT)], X))

    def test_inputs_that_do_not_fit_name_the_node_and_what_feeds_it(self) -> None:
        with pytest.raises(EspdlError, match=r"node 'Gemm_y' \(Gemm\), fed by Flatten 'Flatten_f' <- Relu 'Relu_r' <- input 'x'"):
            load_network(
                network([op("Relu", "x", "r"), op("Flatten", "r", "f"), op("Gemm", "f w", "y")], X, {"w": weights(7, 3)})
            )

    def test_channels_that_do_not_fit(self) -> None:
        with pytest.raises(EspdlError, match=r"3 input channels.* has 4"):
            load_network(network([op("Conv", "x w", "y")], X, {"w": weights(6, 3, 3, 3)}))

    def test_an_operator_nobody_knows_is_left_for_the_check(self) -> None:
        source = network([op("Relu", "x", "h"), op("Odd", "h", "o", domain="acme"), op("Tanh", "o", "y")], X, domains={"acme": 1})
        assert ops(load_network(source)) == ["Relu", "Odd", "Tanh"]

    def test_functions_are_inlined(self) -> None:
        twice = helper.make_function("acme", "Twice", ["a"], ["b"], [op("Add", "a a", "b")], [helper.make_opsetid("", 18)])
        source = network([op("Twice", "x", "y", domain="acme")], X, domains={"acme": 1})
        source.functions.append(twice)
        assert ops(load_network(source)) == ["Add"]

    def test_functions_named_as_operators_of_onnx_are_inlined(self) -> None:
        body = [op("Relu", "a", "r"), op("Add", "r r", "b")]
        odd = helper.make_function("torch.nn", "Softmax", ["a"], ["b"], body, [helper.make_opsetid("", 18)])
        source = network([op("Softmax", "x", "y", domain="torch.nn")], X, domains={"torch.nn": 1})
        source.functions.append(odd)
        assert ops(load_network(source)) == ["Relu", "Add"]

    def test_functions_of_the_users_own_operators_stay(self) -> None:
        class Doubled(Module, op_type="DoubledForThisTest"):
            pass

        try:
            body = [op("Add", "a a", "b")]
            function = helper.make_function("acme", Doubled.op_type, ["a"], ["b"], body, [helper.make_opsetid("", 18)])
            source = network([op(Doubled.op_type, "x", "h", domain="acme"), op("Relu", "h", "y")], X, domains={"acme": 1})
            source.functions.append(function)
            model = load_network(source)
            assert ops(model) == [Doubled.op_type, "Relu"]
            assert model.graph.outputs[0].shape == (1, 4, 6, 5)
            inputs = feeds(source)
            assert_equal(run(model, inputs), run(source, inputs))
        finally:
            del MODULE_TYPES[Doubled.op_type]


class TestNumbers:
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights_that_are_no_numbers(self, value: float) -> None:
        broken = CONV["w"].copy()
        broken[1, 2, 0, 1] = value
        with pytest.raises(EspdlError, match=r"initializer 'w', read by node 'Conv_h' \(Conv\).*(NaN|infinite)"):
            load_network(network([op("Conv", "x w", "h"), op("Relu", "h", "y")], X, {"w": broken}))

    def test_nan_in_a_constant_node(self) -> None:
        value = onnx.numpy_helper.from_array(np.array([np.nan], np.float32))
        with pytest.raises(EspdlError, match=r"Constant_c.*NaN"):
            load_network(network([op("Constant", "", "c", value=value), op("Add", "x c", "y")], X))

    def test_nan_that_folding_makes(self) -> None:
        with pytest.raises(EspdlError, match=r"NaN"):
            load_network(network([op("Sqrt", "c", "r"), op("Mul", "x r", "y")], X, {"c": np.array([-1.0])}))

    def test_a_mask_may_be_infinite(self) -> None:
        mask = np.triu(np.full((4, 4), -np.inf), 1)
        assert ops(load_network(network([op("Add", "x m", "a"), op("Softmax", "a", "y")], {"x": [1, 4, 4]}, {"m": mask}))) == [
            "Add",
            "Softmax",
        ]

    def test_a_constant_of_a_billion_elements(self) -> None:
        with pytest.raises(EspdlError, match=r"constant of .* elements would be needed"):
            load_network(network([op("ConstantOfShape", "s", "c"), op("Add", "x c", "y")], {"x": [1]}, {"s": [1 << 20, 1 << 20]}))


class TestShapes:
    DYNAMIC = {"x": ["batch", 4, "height", "width"]}

    def test_dynamic_sizes_are_named(self) -> None:
        with pytest.raises(EspdlError, match=r"input 'x': dimension 2 \(height\) is dynamic") as caught:
            load_network(network([op("Relu", "x", "y")], self.DYNAMIC))
        assert "input_shapes={'x': [1, 4, ..., ...]}" in str(caught.value)

    def test_a_dynamic_batch_is_one(self) -> None:
        model = load_network(network([op("Relu", "x", "y")], {"x": ["batch_size", 4, 6, 5]}))
        assert model.graph.outputs[0].shape == (1, 4, 6, 5)

    @pytest.mark.parametrize("shapes", [{"x": [1, 4, 9, 8]}, [[1, 4, 9, 8]], [1, 4, 9, 8], ((1, 4, 9, 8),)])
    def test_shapes_by_name_or_in_order(self, shapes: object) -> None:
        model = load_network(network([op("Conv", "x w", "y")], self.DYNAMIC, CONV), shapes)
        assert model.graph.outputs[0].shape == (1, 6, 7, 6)

    def test_some_inputs_only(self) -> None:
        source = network([op("Add", "x z", "y")], {"x": [1, "n"], "z": [1, 5]})
        assert load_network(source, {"x": [1, 5]}).graph.inputs[0].shape == (1, 5)
        assert load_network(source, [[1, 5], None]).graph.inputs[0].shape == (1, 5)

    @pytest.mark.parametrize(
        ("shapes", "message"),
        [
            ({"z": [1, 4, 6, 5]}, "no input 'z'"),
            ({"x": [1, 4, 6]}, "has 3 dimensions, the network's has 4"),
            ({"x": [1, 3, 6, 5]}, "dimension 1 is fixed to 4"),
            ({"x": [2, 4, 6, 5]}, "dimension 0 is fixed to 1"),
            ({"x": [1, 4, 0, 5]}, "is not a shape"),
            ({"x": "abcd"}, "is not a shape"),
            ([[1, 4, 6, 5], [1]], "2 input shapes given for 1 input"),
        ],
    )
    def test_wrong_shapes(self, shapes: object, message: str) -> None:
        with pytest.raises(EspdlError, match=message):
            load_network(small(), shapes)  # type: ignore[arg-type]

    def test_chains_of_shape_arithmetic_vanish(self) -> None:
        nodes = [
            op("Shape", "x", "s"),
            op("Gather", "s zero", "n"),
            op("Gather", "s two", "h"),
            op("Mul", "h five", "hw"),
            op("Unsqueeze", "n first", "n1"),
            op("Unsqueeze", "hw first", "hw1"),
            op("Concat", "n1 minus hw1", "target", axis=0),
            op("Reshape", "x target", "y"),
        ]
        constants = {"zero": np.array(0), "two": np.array(2), "five": np.array(5), "first": [0], "minus": [-1]}
        model = load_network(network(nodes, self.DYNAMIC, constants), [1, 4, 6, 5])
        assert ops(model) == ["Reshape"]
        assert model.graph.outputs[0].shape == (1, 4, 30)


class TestBatch:
    @staticmethod
    def classifier(batch: object, target: list[int], **attributes: int) -> onnx.ModelProto:
        nodes = [op("Conv", "x w", "h"), op("Reshape", "h s", "f", **attributes), op("Gemm", "f v", "y")]
        return network(nodes, {"x": [batch, 4, 6, 5]}, {**CONV, "s": target, "v": weights(72, 3)})

    @pytest.mark.parametrize("target", [[8, 72], [8, -1], [-1, 72], [0, -1]])
    @pytest.mark.parametrize("shapes", [None, {"x": [1, 4, 6, 5]}])
    def test_a_batch_in_the_file_becomes_one(self, target: list[int], shapes: dict[str, list[int]] | None) -> None:
        source = self.classifier(8, target)
        model = load_network(source, shapes)
        assert model.graph.inputs[0].shape == (1, 4, 6, 5)
        inputs = feeds(source)
        one = {"x": inputs["x"][2:3]}
        assert_equal(run(model, one), [run(source, inputs)[0][2:3]])

    @pytest.mark.parametrize("target", [[8, 72], [8, -1]])
    def test_a_batch_in_a_constant_of_a_dynamic_network(self, target: list[int]) -> None:
        model = load_network(self.classifier("batch", target))
        assert model.graph.outputs[0].shape == (1, 3)

    def test_a_batch_inside_an_attention_reshape(self) -> None:
        nodes = [op("Reshape", "x s", "h"), op("Transpose", "h", "t", perm=[0, 2, 1, 3]), op("Reshape", "t r", "y")]
        source = network(nodes, {"x": [4, 5, 6]}, {"s": [4, 5, 3, 2], "r": [12, 5, 2]})
        model = load_network(source, [1, 5, 6])
        assert model.graph.outputs[0].shape == (3, 5, 2)

    def test_recurrent_states(self) -> None:
        constants = {"w": weights(1, 15, 3), "r": weights(1, 15, 5), "h": np.zeros((1, 4, 5))}
        nodes = [op("Transpose", "x", "t", perm=[1, 0, 2]), op("GRU", "t w r _ _ h", "y", hidden_size=5)]
        assert load_network(network(nodes, {"x": [4, 7, 3]}, constants), [1, 7, 3]).graph.outputs[0].shape == (7, 1, 1, 5)

    def test_states_that_differ_between_samples(self) -> None:
        constants = {"w": weights(1, 15, 3), "r": weights(1, 15, 5), "h": weights(1, 4, 5)}
        nodes = [op("Transpose", "x", "t", perm=[1, 0, 2]), op("GRU", "t w r _ _ h", "y", hidden_size=5)]
        with pytest.raises(EspdlError, match="differs between the 4 samples"):
            load_network(network(nodes, {"x": [4, 7, 3]}, constants), [1, 7, 3])

    def test_a_leading_sequence_is_no_batch(self) -> None:
        constants = {"w": weights(1, 15, 3), "r": weights(1, 15, 5)}
        assert load_network(network([op("GRU", "x w r", "y", hidden_size=5)], {"x": [8, 1, 3]}, constants)).graph.inputs[
            0
        ].shape == (8, 1, 3)


class TestForm:
    def test_names(self) -> None:
        source = network([op("Relu", "x", "a"), op("Relu", "a", "b"), op("Relu", "b", "c"), op("Tanh", "c", "y")], X)
        for node, name in zip(source.graph.node, ["same", "same", "", ""], strict=True):
            node.name = name
        names = [node.name for node in load_network(source).graph]
        assert names == ["same", "same_1", "Relu_0", "Tanh_0"]
        assert [node.name for node in load_network(source).graph] == names

    def test_idle_and_dead_nodes_vanish(self) -> None:
        nodes = [
            op("Identity", "x", "a"),
            op("Dropout", "a", "b"),
            op("Cast", "b", "c", to=TensorProto.FLOAT),
            op("Relu", "c", "y"),
            op("Tanh", "c", "unused"),
        ]
        model = load_network(network(nodes, X, {"never": weights(3)}))
        assert ops(model) == ["Relu"]
        assert not model.graph.initializers

    def test_an_output_behind_an_idle_node_keeps_its_name(self) -> None:
        model = load_network(network([op("Relu", "x", "a"), op("Identity", "a", "y")], X))
        assert ops(model) == ["Relu"]
        assert model.graph.outputs[0].name == "y"

    def test_an_input_that_is_an_output(self) -> None:
        model = load_network(network([op("Identity", "x", "y")], X))
        assert ops(model) == ["Identity"]

    def test_a_constant_output(self) -> None:
        source = network([op("Relu", "x", "y"), op("Sqrt", "c", "z")], X, {"c": np.array([4.0])}, outputs="y z")
        inputs = feeds(source)
        assert_equal(run(load_network(source), inputs), run(source, inputs))

    def test_initializers_among_the_inputs(self) -> None:
        source = small()
        source.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [6, 4, 3, 3]))
        assert [value.name for value in load_network(source).graph.inputs] == ["x"]

    @pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 16, 17, 18, 20, 21, 22, 23, 24])
    def test_opsets(self, opset: int) -> None:
        axes = {"axes": [2, 3]} if opset < 18 else {}
        nodes = [
            op("Conv", "x w", "h"),
            op("Clip", "h", "c", min=0.0, max=6.0) if opset < 11 else op("Clip", "h low high", "c"),
            op("Softmax", "c", "s", axis=3),
            op("ReduceMean", "s", "m", **axes) if axes else op("ReduceMean", "s axes", "m"),
            op("Flatten", "m", "f"),
            op("Gemm", "f v b", "y"),
        ]
        constants = {**CONV, "v": weights(6, 3), "b": weights(3), "low": np.float32(0), "high": np.float32(6), "axes": [2, 3]}
        source = network(nodes, X, constants, opset=opset)
        model = load_network(source)
        assert model.opset_imports[""] == 24
        inputs = feeds(source)
        assert_equal(run(model, inputs), run(source, inputs))
        assert ops(model) == ["Conv", "Clip", "Softmax", "ReduceMean", "Flatten", "Gemm"]

    def test_the_long_name_of_the_standard_domain(self) -> None:
        source = small()
        source.opset_import[0].domain = "ai.onnx"
        assert ops(load_network(source)) == ["Conv", "Relu"]
        source.graph.node[0].domain = "ai.onnx"
        assert ops(load_network(source)) == ["Conv", "Relu"]

    @pytest.mark.parametrize("opset", [5, 25])
    def test_opsets_out_of_range(self, opset: int) -> None:
        with pytest.raises(EspdlError, match=f"opset {opset}"):
            load_network(network([op("Relu", "x", "y")], X, opset=opset))

    def test_large_weights_survive_the_conversion(self) -> None:
        source = network([op("Conv", "x w", "h"), op("Relu", "h", "y")], X, {"w": weights(64, 4, 5, 5)}, opset=11)
        inputs = feeds(source)
        assert_equal(run(load_network(source), inputs), run(source, inputs), 0)

    def test_other_domains_survive_the_conversion(self) -> None:
        source = network(
            [op("Relu", "x", "h"), op("Odd", "h", "o", domain="acme", size=3), op("Tanh", "o", "y")],
            X,
            opset=12,
            domains={"acme": 2},
        )
        assert ops(load_network(source)) == ["Relu", "Odd", "Tanh"]
