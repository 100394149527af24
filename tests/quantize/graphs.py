"""Small ONNX networks made by hand, and running them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from espdl.chips import get_chip
from espdl.quantize.importer import load_network
from espdl.quantize.pipeline import prepare

Arrays = dict[str, NDArray[Any]]


def op(op_type: str, inputs: str, outputs: str = "", /, **attributes: Any) -> onnx.NodeProto:
    """A node; inputs and outputs are names with blanks between them, ``_`` an omitted one. The output is named as the type unless given."""
    names = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(
        op_type, names, (outputs or op_type.lower()).split(), name=f"{op_type}_{outputs or 'n'}", **attributes
    )


def network(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[Any]],
    constants: Mapping[str, Any] | None = None,
    *,
    outputs: str = "y",
    opset: int = 18,
    domains: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A float network. Constants that are lists of int become int64, others float32."""
    arrays = {name: _array(value) for name, value in (constants or {}).items()}
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, version) for name, version in (domains or {}).items())]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def _array(value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def weights(*shape: int, seed: int = 0, positive: bool = False) -> NDArray[np.float32]:
    """Random numbers about 1 in size."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return np.abs(values) + 0.5 if positive else values


def feeds(model: onnx.ModelProto | ir.Model, seed: int = 1) -> Arrays:
    """Random inputs of the shapes that the network states."""
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    names = {tensor.name for tensor in proto.graph.initializer}
    rng = np.random.default_rng(seed)
    shapes = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in proto.graph.input if v.name not in names}
    return {name: (rng.standard_normal(shape) * 2).astype(np.float32) for name, shape in shapes.items()}


def run(model: onnx.ModelProto | ir.Model | str, inputs: Arrays) -> list[NDArray[Any]]:
    """All outputs, by ONNX Runtime without its own optimisations."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    content = proto if isinstance(proto, str) else proto.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]).run(None, inputs)


def assert_equal(found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]], tolerance: float = 1e-5) -> None:
    """Same shapes, and differences below ``tolerance`` of the largest value."""
    assert [array.shape for array in found] == [array.shape for array in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(float(np.abs(other).max()), 1e-3))


def prepared(source: onnx.ModelProto, target: str = "esp32p4") -> ir.Model:
    """Imports and prepares, and asserts that the result computes what the source computes and that all its values have shapes."""
    before = source.SerializeToString()
    result = prepare(load_network(source), get_chip(target))
    assert source.SerializeToString() == before
    inputs = feeds(source)
    assert_equal(run(result, inputs), run(source, inputs))
    for node in result.graph:
        assert all(value.shape is not None and value.shape.is_static() for value in node.outputs if value.uses()), node.name
    return result


def ops(model: ir.Model) -> list[str]:
    """Operator types in execution order."""
    return [node.op_type for node in model.graph]


def counted(model: ir.Model) -> dict[str, int]:
    """How often each operator type occurs."""
    return dict(Counter(ops(model)))
