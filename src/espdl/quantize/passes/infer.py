"""Shape and element type of what one node puts out, from those of its inputs."""

from __future__ import annotations

import math

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from espdl.errors import EspdlError
from espdl.wording import at_node

SHAPE_CONSTANT_SIZE = 4096
"""Constants up to this many elements are shown to shape inference: shapes, axes, pads, split sizes."""


def infer_node(node: ir.Node, model: ir.Model) -> None:
    """Sets shape and element type of every output of ``node``.

    An operator of the user's own says its shapes itself. One that nobody knows (another domain, no function of the model) keeps what the
    file declares. Outputs whose inputs have no known type stay as they are.

    Raises:
        EspdlError: the inputs do not fit the operator.
    """
    if any(value is not None and value.type is None for value in node.inputs):
        return
    from espdl.quantize.custom import infer_custom, is_custom  # which names nodes as this module does

    if is_custom(node, model):
        infer_custom(node)
        return
    function = model.functions.get(node.op_identifier())
    try:
        inferred = _infer_call(node, model) if function is not None else _infer_standard(node, model)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise EspdlError("the inputs do not fit the operator", where=describe(node), why=_reason(error)) from None
    if inferred is None:
        return
    _check_channels(node)
    for output in node.outputs:
        found = inferred.get(output.name or "")
        if found is None:
            continue
        try:
            output.type = ir.serde.deserialize_type_proto_for_type(found) or output.type
            found_shape = ir.serde.deserialize_type_proto_for_shape(found)
        except (
            ValueError,
            NotImplementedError,
        ):  # a sequence or a map, which no operator of a chip reads: it is refused by its reader
            continue
        if node.op_type == "Reshape" and not node.domain:
            _check_reshape(node, found_shape)
        if found_shape is not None and (found_shape.is_static() or output.shape is None or not output.shape.is_static()):
            output.shape = found_shape


def _infer_standard(node: ir.Node, model: ir.Model) -> dict[str, onnx.TypeProto] | None:
    version = node.version or model.opset_imports.get(node.domain)
    if version is None or not onnx.defs.has(node.op_type, version, node.domain):
        return None
    types = {value.name: _type_proto(value) for value in node.inputs if value is not None}
    data = _shape_constants(node)
    schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    imports = [onnx.helper.make_opsetid(domain, number) for domain, number in model.opset_imports.items()]
    inferred: dict[str, onnx.TypeProto] = onnx.shape_inference.infer_node_outputs(
        schema, ir.serde.serialize_node(node), types, data, opset_imports=imports
    )
    return inferred


def _infer_call(node: ir.Node, model: ir.Model) -> dict[str, onnx.TypeProto]:
    """A call of a function of the model: evaluates its body for these inputs in a network of its own."""
    from espdl.quantize.passes.evaluate import Evaluate  # which infers node by node, with infer_node

    types = {value.name: _type_proto(value) for value in node.inputs if value is not None}
    graph = onnx.helper.make_graph(
        [ir.serde.serialize_node(node)],
        "call",
        [onnx.helper.make_value_info(name, proto) for name, proto in types.items()],
        [onnx.helper.make_empty_tensor_value_info(output.name) for output in node.outputs],
        list(_shape_constants(node).values()),
    )
    proto = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid(domain, number) for domain, number in model.opset_imports.items()],
        functions=[ir.serde.serialize_function(item) for item in model.functions.values()],
    )
    call = ir.from_proto(proto)
    InlinePass()(call)
    Evaluate()(call)
    return {value.name or "": _type_proto(value) for value in call.graph.outputs if value.type is not None}


def _shape_constants(node: ir.Node) -> dict[str, onnx.TensorProto]:
    """Constant inputs that shapes may depend on, by name."""
    data = {
        value.name or "": ir.serde.serialize_tensor(value.const_value)
        for value in node.inputs
        if value is not None and value.const_value is not None and value.const_value.size <= SHAPE_CONSTANT_SIZE
    }
    for name, tensor in data.items():
        tensor.name = name
    return data


def _type_proto(value: ir.Value) -> onnx.TypeProto:
    assert value.type is not None
    proto = ir.serde.serialize_type(value.type)
    if value.shape is not None:
        ir.serde.serialize_shape_into(proto, value.shape)
    return proto


def _check_channels(node: ir.Node) -> None:
    """Checks what ONNX's own inference lets pass: the length of the summed axis, and of a bias."""
    if node.domain or len(node.inputs) < 2:
        return
    shapes = [
        list(v.shape.numpy()) if v is not None and v.shape is not None and v.shape.is_static() else None for v in node.inputs
    ]
    data, weight = shapes[0], shapes[1]
    if data is None or weight is None or len(data) < 2 or len(weight) < 2:
        return
    if node.op_type == "Conv":
        group = _integer(node, "group", 1)
        expected, found = weight[1] * group, data[1]
    elif node.op_type == "ConvTranspose":
        expected, found = weight[0], data[1]
    elif node.op_type == "Gemm":
        expected = weight[1] if _integer(node, "transB", 0) else weight[0]
        found = data[0] if _integer(node, "transA", 0) else data[1]
    else:
        return
    if expected != found:
        raise EspdlError(
            "the inputs do not fit the operator",
            where=describe(node),
            why=f"the weight has {expected} input channels, the input of shape {data} has {found}",
        )


def _check_reshape(node: ir.Node, result: ir.Shape | None) -> None:
    """Checks what ONNX's own inference lets pass: the number of elements."""
    source = node.inputs[0].shape if node.inputs[0] is not None else None
    if source is None or result is None or not source.is_static() or not result.is_static():
        return
    if math.prod(source.numpy()) != math.prod(result.numpy()):
        raise EspdlError(
            "the inputs do not fit the operator",
            where=describe(node),
            why=f"an input of shape {list(source.numpy())} cannot become {list(result.numpy())}",
        )


def _integer(node: ir.Node, name: str, default: int) -> int:
    found = node.attributes.get(name)
    return default if found is None else int(found.as_int())


def describe(node: ir.Node, depth: int = 3) -> str:
    """A node as people look for it: its name and type, and the chain of nodes that feeds it."""
    own = at_node(node.name, node.op_type)
    chain: list[str] = []
    current: ir.Node | None = node
    while current is not None and len(chain) < depth:
        source = next((v for v in current.inputs if v is not None and v.const_value is None), None)
        if source is None:
            break
        current = source.producer()
        chain.append(f"{current.op_type} {current.name!r}" if current is not None else f"input {source.name!r}")
    return f"{own}, fed by {' <- '.join(chain)}" if chain else own


def _reason(error: Exception) -> str:
    """The part of an ONNX message that says what is wrong, without the library's own prefixes."""
    text = str(error).strip().splitlines()
    return next((line.strip() for line in reversed(text) if line.strip()), type(error).__name__)
