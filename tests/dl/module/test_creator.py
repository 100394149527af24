"""The register of operators, and what every operator must say of itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from espdl.dl.module import MODULE_TYPES, Module, ModuleCreator, NodeFacts
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Layout
from espdl.dtypes import Inplace, QuantType
from espdl.errors import EspdlError
from tests.dl.module.harness import run, tensor

IN_FILES = [
    "Conv",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Mod",
    "Resize",
    "GlobalAveragePool",
    "AveragePool",
    "Concat",
    "Sigmoid",
    "Tanh",
    "Relu",
    "LeakyRelu",
    "HardSigmoid",
    "HardSwish",
    "Gelu",
    "LUT",
    "Gemm",
    "QuantizeLinear",
    "DequantizeLinear",
    "RequantizeLinear",
    "PRelu",
    "Clip",
    "Flatten",
    "Reshape",
    "Transpose",
    "Exp",
    "Log",
    "Sqrt",
    "Squeeze",
    "Unsqueeze",
    "Softmax",
    "LogSoftmax",
    "MaxPool",
    "Slice",
    "Pad",
    "MatMul",
    "Neg",
    "SpaceToDepth",
    "Split",
    "Gather",
    "Elu",
    "Greater",
    "GreaterOrEqual",
    "Equal",
    "Less",
    "LessOrEqual",
    "ReverseSequence",
    "ScatterND",
    "Identity",
    "Swish",
    "ReduceL1",
    "ReduceL2",
    "ReduceMin",
    "ReduceMax",
    "ReduceSum",
    "ReduceProd",
    "ReduceMean",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "DepthToSpace",
    "StreamingCache",
    "InsertZeros",
    "LayerNormalization",
    "LpNormalization",
    "RMSNormalization",
    "GRU",
    "LSTM",
]
CHANGED = [
    "Add",
    "Mod",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Relu",
    "LeakyRelu",
    "Elu",
    "Sigmoid",
    "Tanh",
    "Swish",
    "HardSigmoid",
    "HardSwish",
    "Exp",
    "Log",
    "Sqrt",
    "Gelu",
    "LUT",
    "Clip",
    "PRelu",
    "Neg",
    "LayerNormalization",
    "LpNormalization",
    "RMSNormalization",
    "ReduceL1",
    "ReduceL2",
    "ReduceMin",
    "ReduceMax",
    "ReduceSum",
    "ReduceProd",
    "ReduceMean",
    "ReduceSumSquare",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "QuantizeLinear",
    "DequantizeLinear",
    "RequantizeLinear",
]
VIEWS = ["Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze"]
NO_FLOAT = [
    "Conv",
    "Gemm",
    "MatMul",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "MaxPool",
    "Gelu",
    "LUT",
    "ReverseSequence",
    "Resize",
]


@pytest.fixture
def creator() -> ModuleCreator:
    return ModuleCreator()


def node_model(op_type: str, **attributes: Any) -> Any:
    """As much of a model as creating one operator without constants needs."""
    node = SimpleNamespace(
        input=["x"], op_type=op_type, attribute=[SimpleNamespace(name=name, value=value) for name, value in attributes.items()]
    )
    return SimpleNamespace(get_node=lambda name: node, attribute_value=lambda a: a.value, is_parameter=lambda name: False)


@pytest.mark.parametrize("op_type", IN_FILES)
def test_facts_of_the_summary_matrix(op_type: str) -> None:
    module = MODULE_TYPES[op_type]
    wanted = Inplace.CHANGED_BUFFER if op_type in CHANGED else Inplace.NON_INPLACE
    assert module.default_inplace is (Inplace.UNCHANGED_BUFFER if op_type in VIEWS else wanted)
    types = module.contract.quant_types
    assert QuantType.SYMM_8BIT in types
    assert (QuantType.FLOAT32 in types) == (op_type not in NO_FLOAT)
    assert (QuantType.SYMM_16BIT in types) == (op_type != "Resize")
    assert module.__doc__


def test_singleton_knows_all_operators() -> None:
    assert ModuleCreator.get_instance() is ModuleCreator.get_instance()
    assert set(IN_FILES) <= set(ModuleCreator.get_instance().registered())


def test_create(creator: ModuleCreator) -> None:
    module = creator.create(node_model("LeakyRelu", alpha=0.5, quant_type="S8"), "LeakyRelu", "a")
    assert (module.name, module.op_type, module.quant_type, module.attributes) == (
        "a",
        "LeakyRelu",
        QuantType.SYMM_8BIT,
        {"alpha": 0.5},
    )
    gelu = creator.create(node_model("Gelu"), "Gelu", "b")
    assert gelu.op_type == "Gelu"
    assert creator.create(node_model("ReduceMin"), "ReduceMin", "c").op_type == "ReduceMin"


def test_unknown_operator_names_node_and_neighbour(creator: ModuleCreator) -> None:
    with pytest.raises(EspdlError) as caught:
        creator.create(node_model("LeakyRelue"), "LeakyRelue", "block/act")
    assert "'block/act'" in str(caught.value)
    assert "the nearest is LeakyRelu" in str(caught.value)


def test_an_emptied_register_says_so(creator: ModuleCreator) -> None:
    creator.clear()
    with pytest.raises(EspdlError, match="emptied the register"):
        creator.create(node_model("Relu"), "Relu", "act")


def test_an_attribute_of_the_wrong_kind_names_the_node(creator: ModuleCreator) -> None:
    with pytest.raises(EspdlError, match=r"node 'n' \(Concat\): attribute axis must be an integer"):
        creator.create(node_model("Concat", axis="first"), "Concat", "n")
    with pytest.raises(EspdlError, match="attribute alpha must be a number"):
        creator.create(node_model("Elu", alpha=[1.0]), "Elu", "n")
    with pytest.raises(EspdlError, match="attribute perm must be a list"):
        creator.create(node_model("Transpose", perm="01"), "Transpose", "n")
    with pytest.raises(EspdlError, match="attribute mode must be text"):
        creator.create(node_model("Resize", mode=1), "Resize", "n")


def test_register_clear_and_print(creator: ModuleCreator, capsys: pytest.CaptureFixture[str]) -> None:
    class Doubled(Module):
        def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
            return [input_shapes[0]]

    creator.clear()
    assert creator.registered() == []
    with pytest.raises(EspdlError, match="'Add' is not known"):
        creator.create(node_model("Add"), "Add", "n")
    creator.register_module("Doubled", Doubled)
    creator.register_module("Halved", lambda model, name: Doubled(name))
    assert isinstance(creator.create(node_model("Doubled"), "Doubled", "n"), Doubled)
    assert isinstance(creator.create(node_model("Halved"), "Halved", "n"), Doubled)
    creator.print()
    assert capsys.readouterr().out.split() == ["Doubled", "Halved"]
    creator.register_dl_modules()
    assert {"Doubled", "Add"} <= set(creator.registered())


def test_a_users_operator_is_registered_by_its_definition(creator: ModuleCreator) -> None:
    class Mish(Module, op_type="MishOfThisTest"):
        def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
            return [input_shapes[0]]

        def float_forward(self, x: Any) -> Any:
            return x * np.tanh(np.log1p(np.exp(x)))

    try:
        module = creator.create(node_model("MishOfThisTest"), "MishOfThisTest", "m")
        assert run(module, tensor(np.int8([-128, 0, 32, 64]), -5), exponent=-5).tolist() == [-2, 0, 28, 62]
    finally:
        del MODULE_TYPES["MishOfThisTest"]


def facts(op_type: str, *shapes: tuple[int, ...], constants: dict[int, Any] | None = None, **attributes: Any) -> NodeFacts:
    output = attributes.pop("output", None)
    return NodeFacts(
        op_type,
        attributes,
        shapes,
        {index: np.asarray(value) for index, value in (constants or {}).items()},
        () if output is None else (output,),
    )


def recurrent(
    op_type: str, constants: dict[int, Any] | None = None, x: tuple[int, ...] = (5, 1, 4), **attributes: Any
) -> NodeFacts:
    return facts(op_type, x, constants={1: 0, 2: 0} | (constants or {}), **attributes)


IMAGE = (1, 8, 6, 6)
VERDICTS: list[tuple[NodeFacts, str]] = [
    (facts("Add", (2, 3, 4), (4,)), ""),
    (facts("Add", (2, 1, 2, 1, 2), (1, 2, 1, 2, 1)), "at most 4 axes remain"),
    (facts("Max", (2, 3), (3,)), ""),
    (facts("Min", (2, 3), (3,), ()), "two inputs"),
    (facts("Attention", (1, 4, 6, 8), (1, 2, 9, 8), (1, 2, 9, 8), (6, 9), scale=0.5, softcap=0.0), ""),
    (facts("Attention", (1, 4, 6, 8), (1, 3, 9, 8), (1, 3, 9, 8)), "heads divide those of Q"),
    (facts("Attention", (1, 4, 6, 80), (1, 4, 9, 80), (1, 4, 9, 80)), "at most 64 elements"),
    (facts("Attention", (1, 4, 6, 8), (1, 4, 3000, 8), (1, 4, 3000, 8)), "at most 2048 keys"),
    (facts("Attention", (1, 4, 6, 8), (1, 4, 9, 8), (1, 4, 9, 8), softcap=2.0), "no softcap"),
    (facts("Attention", (1, 4, 6, 8), (1, 4, 9, 8), (1, 4, 9, 8), (6, 9), (1, 4, 2, 8)), "no cache of keys"),
    (facts("Mod", (2,), (2,), fmod=1), ""),
    (facts("Mod", (2,), (2,)), "fmod is 1"),
    (facts("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 2]), ""),
    (facts("MaxPool", (2, 8, 6, 6), kernel_shape=[2, 2]), "batch is 1"),
    (facts("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), "ceil_mode"),
    (facts("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1), ""),
    (facts("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2]), "no dilations"),
    (facts("MaxPool", IMAGE, kernel_shape=[2, 2], auto_pad="SAME_UPPER"), "auto_pad"),
    (facts("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), "pads are counted"),
    (facts("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1), ""),
    (facts("ReduceMean", (2, 3, 4), axes=[1, 2]), ""),
    (facts("ReduceMean", (2, 2, 2, 2, 2), constants={1: [1, 3]}), "alternate at most 3 times"),
    (facts("ReduceMean", (2, 2), noop_with_empty_axes=1), "something is reduced"),
    (facts("Resize", IMAGE, (0,), (4,), constants={2: [1, 1, 2, 2]}, output=(1, 8, 12, 12), mode="linear"), ""),
    (facts("Resize", IMAGE, (0,), (4,), constants={2: [1, 1, 2, 2]}, output=(1, 8, 12, 12), mode="nearest"), ""),
    (
        facts(
            "Resize", IMAGE, (0,), (4,), constants={2: [1, 1, 2, 2]}, output=(1, 8, 12, 12), mode="nearest", nearest_mode="floor"
        ),
        "rounded down",
    ),
    (
        facts("Resize", IMAGE, (0,), (4,), constants={2: [1, 1, 2, 2]}, output=(1, 8, 12, 12), mode="linear", antialias=1),
        "antialias",
    ),
    (facts("Resize", IMAGE, (0,), (4,), constants={2: [1, 1, 1.5, 1]}, output=(1, 8, 9, 6), mode="nearest"), "rounded down"),
    (facts("Resize", IMAGE, (0,), (4,), constants={2: [1, 1, 2, 2]}, output=(1, 8, 12, 12), mode="cubic"), "nearest or linear"),
    (facts("Resize", IMAGE, (0,), (4,), output=(1, 8, 12, 12), mode="linear"), "constants"),
    (facts("Pad", IMAGE, (8,), constants={1: [0] * 8}, mode="reflect"), ""),
    (facts("Pad", IMAGE, (8,), constants={1: [0] * 8}, mode="wrap"), "constant, edge or reflect"),
    (facts("Pad", IMAGE, (8,), constants={1: [-1] + [0] * 7}), "not negative"),
    (facts("DepthToSpace", IMAGE, blocksize=2, mode="CRD"), ""),
    (facts("DepthToSpace", IMAGE, blocksize=2), ""),
    (facts("DepthToSpace", (1, 16, 6, 6), blocksize=2), "mode is CRD"),
    (facts("SpaceToDepth", IMAGE, blocksize=2), "one input channel"),
    (facts("Gather", (4, 2), (1,), constants={1: [-1]}), "not negative"),
    (facts("Gather", (4, 2), (1,)), "the indices are constants"),
    (facts("PRelu", IMAGE, (8, 1, 1), constants={1: np.zeros((8, 1, 1))}), ""),
    (facts("PRelu", IMAGE, (6,), constants={1: np.zeros(6)}), "one value or one per channel"),
    (facts("ScatterND", (4, 2), (1, 1), (1, 2), constants={1: [[0]]}, reduction="mul"), "reduction is not mul"),
    (facts("ReverseSequence", (4, 2), (2,), constants={1: [1, 1]}, batch_axis=0, time_axis=2), "batch_axis and time_axis"),
    (facts("Clip", IMAGE, (), constants={}), "bounds are constants"),
    (facts("Slice", IMAGE, (1,), (1,), constants={1: [0]}), "starts, ends"),
    (facts("Reshape", IMAGE, (2,)), "the second input is a constant"),
    (facts("Split", IMAGE, (2,)), "the lengths are constants"),
    (recurrent("GRU", linear_before_reset=1), ""),
    (recurrent("GRU", linear_before_reset=1, activations=["Sigmoid", "tanh"], direction="bidirectional", clip=0.0), ""),
    (recurrent("GRU"), "linear_before_reset is 1"),
    (recurrent("GRU", linear_before_reset=1, direction="reverse"), "direction is forward or bidirectional"),
    (recurrent("GRU", linear_before_reset=1, x=(5, 2, 4)), "batch is 1"),
    (recurrent("GRU", linear_before_reset=1, x=(1, 5, 4), layout=1), "layout is 0"),
    (recurrent("GRU", {4: [5]}, linear_before_reset=1), ""),
    (recurrent("GRU", {4: [3]}, linear_before_reset=1), "no sequence_lens"),
    (recurrent("LSTM"), ""),
    (recurrent("LSTM", activations=["Sigmoid", "Tanh", "Tanh"] * 2), ""),
    (recurrent("LSTM", activations=["HardSigmoid", "Tanh", "Tanh"]), "activations"),
    (recurrent("LSTM", clip=3.0), "no clip"),
    (recurrent("LSTM", input_forget=1), "input_forget is 0"),
    (recurrent("LSTM", {7: [0, 0]}), ""),
    (recurrent("LSTM", {7: [0, 1]}), "no peepholes"),
    (facts("LSTM", (5, 1, 4), (1, 12, 4), (1, 12, 3)), "W, R and B are constants"),
]


@pytest.mark.parametrize(("node", "broken"), VERDICTS)
def test_limits(node: NodeFacts, broken: str) -> None:
    failed = [limit for limit in MODULE_TYPES[node.op_type].contract.limits if not limit.holds(node)]
    assert len(failed) == (1 if broken else 0), [limit.text for limit in failed]
    assert not failed or broken in failed[0].text


def test_layout_rules_name_real_attributes() -> None:
    for op_type in IN_FILES:
        rule = MODULE_TYPES[op_type].layout
        names_axes = bool(rule.axis_attributes or rule.axes_inputs or rule.per_axis_inputs)
        assert names_axes == (rule.layout in (Layout.AXES, Layout.CONCAT)), op_type


def test_sets_of_arithmetic() -> None:
    assert QuantType.SYMM_16BIT in INTEGER_AND_FLOAT
