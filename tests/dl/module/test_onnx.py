"""Float forms against onnxruntime: where an operator's limits hold, it means what ONNX means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from espdl.dl.module import MODULE_TYPES, Layout, NodeFacts
from tests.dl.module.harness import make, tensor

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(11)
OPSET = 18


def floats(*shape: int) -> np.ndarray:
    return RNG.uniform(0.25, 3, shape).astype(np.float32)


def signed(*shape: int) -> np.ndarray:
    return RNG.normal(scale=2, size=shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def onnx_outputs(op_type: str, arrays: list[np.ndarray | None], outputs: int, attributes: dict[str, Any]) -> list[np.ndarray]:
    names = ["" if array is None else f"i{index}" for index, array in enumerate(arrays)]
    results = [f"o{index}" for index in range(outputs)]
    given = {name: np.asarray(array) for name, array in zip(names, arrays, strict=True) if array is not None}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op_type, names, results, **attributes)],
        "g",
        [onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in given.items()],
        [onnx.helper.make_empty_tensor_value_info(name) for name in results],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, given)


CASES: list[tuple[str, list[np.ndarray | None], dict[str, Any]]] = [
    *((op_type, [signed(2, 30)], {}) for op_type in ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "HardSwish", "Exp", "Neg")),
    ("LeakyRelu", [signed(2, 30)], {"alpha": 0.3}),
    ("Elu", [signed(2, 30)], {"alpha": 0.3}),
    ("HardSigmoid", [signed(2, 30)], {}),
    ("HardSigmoid", [signed(2, 30)], {"alpha": 0.4, "beta": 0.1}),
    ("Erf", [signed(2, 30)], {}),
    ("Log", [floats(2, 30)], {}),
    ("Sqrt", [floats(2, 30)], {}),
    ("Identity", [signed(3)], {}),
    ("Clip", [signed(2, 30), np.float32(-1), np.float32(0.5)], {}),
    ("Clip", [signed(2, 30), None, np.float32(0.5)], {}),
    ("PRelu", [signed(1, 3, 4, 5), signed(3, 1, 1)], {}),
    *((op_type, [signed(2, 3, 4), signed(3, 1)], {}) for op_type in ("Add", "Sub", "Mul", "Div")),
    ("Pow", [floats(2, 3, 4), signed(4)], {}),
    ("Mod", [signed(2, 3), floats(3)], {"fmod": 1}),
    *(
        (op_type, [signed(2, 3).round(), signed(3).round()], {})
        for op_type in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    ),
    *((op_type, [signed(2, 3, 4), signed(3, 1)], {}) for op_type in ("Max", "Min")),
    *((op_type, [signed(2, 3, 4) > 0, signed(3, 1) > 0], {}) for op_type in ("And", "Or", "Xor")),
    ("Not", [signed(2, 3, 4) > 0], {}),
    ("Softmax", [signed(2, 3, 4)], {"axis": 1}),
    ("LogSoftmax", [signed(2, 3, 4)], {}),
    ("LayerNormalization", [signed(2, 3, 4), signed(4), signed(4)], {"axis": -1}),
    ("LayerNormalization", [signed(2, 3, 4), signed(3, 4)], {"axis": 1, "epsilon": 0.1}),
    ("LpNormalization", [signed(2, 3, 4)], {"axis": 1, "p": 1}),
    ("LpNormalization", [signed(2, 3, 4)], {}),
    *(
        (f"Reduce{name}", [floats(2, 3, 4), ints(*axes)], {"keepdims": keepdims})
        for name in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")
        for axes, keepdims in (((1,), 1), ((-1, 0), 0))
    ),
    ("AveragePool", [signed(1, 3, 7, 8)], {"kernel_shape": [3, 2], "strides": [2, 1]}),
    ("AveragePool", [signed(1, 3, 7, 8)], {"kernel_shape": [3, 2], "pads": [1, 0, 2, 1], "count_include_pad": 1}),
    ("AveragePool", [signed(1, 3, 9)], {"kernel_shape": [4], "strides": [3]}),
    ("GlobalAveragePool", [signed(1, 3, 7, 8)], {}),
    ("MaxPool", [signed(1, 3, 7, 8)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 0, 1]}),
    ("MaxPool", [signed(1, 3, 9)], {"kernel_shape": [2]}),
    ("ConvTranspose", [signed(1, 3, 5), signed(3, 4, 3), signed(4)], {}),
    ("ConvTranspose", [signed(1, 3, 4, 5), signed(3, 4, 3, 2)], {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
    (
        "ConvTranspose",
        [signed(1, 4, 4, 5), signed(4, 3, 3, 3), signed(6)],
        {"group": 2, "strides": [2, 3], "dilations": [2, 1], "pads": [1, 2, 1, 2], "output_padding": [1, 2]},
    ),
    (
        "Resize",
        [signed(1, 3, 4, 5), None, np.float32([1, 1, 2, 3])],
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    ("Resize", [signed(1, 3, 4, 5), None, np.float32([1, 1, 2, 2])], {"mode": "nearest"}),
    ("Resize", [signed(1, 3, 4, 5), None, np.float32([1, 1, 3, 5])], {"mode": "nearest"}),
    ("Resize", [signed(1, 3, 4, 5), None, np.float32([1, 1, 4, 2])], {"mode": "nearest", "nearest_mode": "round_prefer_ceil"}),
    ("Resize", [signed(1, 3, 4, 5), None, None, ints(1, 3, 7, 11)], {"mode": "linear"}),
    ("Resize", [signed(1, 3, 5), None, None, ints(1, 3, 3)], {"mode": "linear"}),
    (
        "Resize",
        [signed(1, 3, 4, 5), None, None, ints(1, 3, 7, 11)],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    ("Concat", [signed(2, 3), signed(2, 1)], {"axis": 1}),
    ("Split", [signed(2, 7), ints(3, 4)], {"axis": 1}),
    ("Slice", [signed(5, 6), ints(-1, 1), ints(-100, 100), ints(0, 1), ints(-2, 2)], {}),
    ("Gather", [signed(5, 6), ints(3, 0)], {"axis": 1}),
    ("Pad", [signed(2, 3), ints(1, 0, 0, 2), np.float32(4)], {}),
    ("Pad", [signed(4, 3), ints(1, 2, 3, 0)], {"mode": "reflect"}),
    ("Pad", [signed(4, 3), ints(1, 2, 3, 0)], {"mode": "edge"}),
    ("Transpose", [signed(2, 3, 4)], {"perm": [1, 2, 0]}),
    ("Transpose", [signed(2, 3, 4)], {}),
    ("Reshape", [signed(2, 3, 4), ints(0, -1, 2)], {}),
    ("Flatten", [signed(2, 3, 4)], {"axis": 2}),
    ("Squeeze", [signed(1, 3, 1), ints(0)], {}),
    ("Squeeze", [signed(1, 3, 1)], {}),
    ("Unsqueeze", [signed(2, 3), ints(0, -1)], {}),
    ("DepthToSpace", [signed(1, 8, 3, 4)], {"blocksize": 2, "mode": "CRD"}),
    ("DepthToSpace", [signed(1, 8, 3, 4)], {"blocksize": 2, "mode": "DCR"}),
    ("SpaceToDepth", [signed(1, 1, 4, 6)], {"blocksize": 2}),
    ("ReverseSequence", [signed(3, 4, 2), ints(3, 1, 4)], {"batch_axis": 0, "time_axis": 1}),
    *(
        (op_type, [signed(5, 1, 4), signed(d, g * 3, 4), signed(d, g * 3, 3), signed(d, g * 6), None, *states], attributes)
        for op_type, g, more, states in (
            ("GRU", 3, {"linear_before_reset": 1}, []),
            ("LSTM", 4, {}, []),
            ("GRU", 3, {"linear_before_reset": 1}, [signed(2, 1, 3)]),
            ("LSTM", 4, {}, [signed(2, 1, 3), signed(2, 1, 3)]),
        )
        for d in ((2,) if states else (1, 2))
        for attributes in [{"hidden_size": 3, "direction": "bidirectional" if d == 2 else "forward"} | more]
    ),
    ("ScatterND", [signed(4, 2), np.array([[2], [0]], np.int64), signed(2, 2)], {}),
    ("ScatterND", [signed(4, 2), np.array([[2, 1], [0, 1]], np.int64), signed(2)], {"reduction": "max"}),
]


def channels_last(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, 1, -1) if array.ndim > 2 else array


@pytest.mark.parametrize(("op_type", "arrays", "attributes"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)])
def test_float_form(op_type: str, arrays: list[np.ndarray | None], attributes: dict[str, Any]) -> None:
    cls = MODULE_TYPES[op_type]
    outputs = {"Split": 2, "GRU": 2, "LSTM": 3}.get(op_type, 1)
    expected = onnx_outputs(op_type, arrays, outputs, attributes)
    facts = NodeFacts(
        op_type,
        attributes,
        tuple(None if a is None else a.shape for a in arrays),
        {index: array for index, array in enumerate(arrays) if index and array is not None},
        tuple(array.shape for array in expected),
    )
    assert [limit.text for limit in cls.contract.limits if not limit.holds(facts)] == []
    moves = cls.layout.layout is Layout.CHANNELS_LAST
    constants = {index: tensor(array) for index, array in facts.constants.items()}
    module = make(op_type, constants, **attributes)
    inputs = [channels_last(a) if moves and index == 0 and a is not None else a for index, a in enumerate(arrays)]
    results = module.float_forward(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    shapes = module.get_output_shape([[] if a is None else list(a.shape) for a in inputs])
    for result, wanted, shape in zip(results, expected, shapes, strict=True):
        wanted = channels_last(wanted) if moves else wanted
        assert list(result.shape) == shape == list(wanted.shape)
        np.testing.assert_allclose(result, wanted, rtol=2e-5, atol=3e-5)
