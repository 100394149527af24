"""An ONNX network as the passes want it: checked, one opset, static shapes, nothing that does not depend on the input."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, RemoveInitializersFromInputsPass, RemoveUnusedNodesPass

from espdl.dl.module.base import MODULE_TYPES
from espdl.errors import EspdlError
from espdl.free_memory import give_back_memory
from espdl.quantize.custom import give_domain
from espdl.quantize.passes.clean import RemoveNoOps
from espdl.quantize.passes.convert_opset import ConvertOpset
from espdl.quantize.passes.evaluate import Evaluate
from espdl.quantize.passes.freeze_inputs import FreezeInputs, InputShapes
from espdl.quantize.passes.infer import describe
from espdl.quantize.passes.name_nodes import NameNodes
from espdl.quantize.passes.set_batch import SetBatch
from espdl.quantize.passes.tools import DOMAIN

LARGEST_BYTES = 1 << 31
"""Files and parameters from this size on are refused: protobuf cannot hold them, and no chip either."""

_INPUT_TYPES = frozenset({ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL})
_WIDE_OR_NARROW = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE})
_INFINITY_IS_A_NUMBER = frozenset(
    {"Add", "Sub", "Where", "Clip", "Pad", "Max", "Min", "Expand", "Concat", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"}
    | {"Attention"}
)


def load_network(source: str | os.PathLike[str] | onnx.ModelProto | ir.Model, input_shapes: InputShapes = None) -> ir.Model:
    """Reads a float network and brings it into the one form that the passes know.

    Args:
        source: path of an ``.onnx`` file (external data beside it is read too), a ModelProto or an onnx_ir model. It is not changed.
        input_shapes: shapes by input name, or a list in input order; None takes those in the file, with a batch of 1 where the batch
            dimension is dynamic. A network exported with a larger batch is brought to 1, constants that hold the batch included.

    Returns:
        A model of its own: opset 24, static shape and element type on every value that follows from the inputs, constants folded into
        initializers, each node with a name of its own, no dead and no idle nodes.

    Raises:
        EspdlError: there is no such file, it is not ONNX, it is incomplete or inconsistent, it has a dynamic size without a given shape,
            its numbers are not finite, or it uses what no chip runs (control flow, other element types).
    """
    model, place = _read(source)
    try:
        if "ai.onnx" in model.opset_imports:  # the long name of the domain ""
            model.opset_imports[""] = model.opset_imports.pop("ai.onnx")
        _check_structure(model)
        InlinePass(criteria=lambda function: not _is_operator(function))(model)
        give_domain(model)
        RemoveInitializersFromInputsPass()(model)
        NameNodes()(model)
        _check_numbers(model)
        _take_numbers(model)
        SetBatch(FreezeInputs(input_shapes))(model)
        ConvertOpset()(model)
        Evaluate()(model)
        RemoveNoOps()(model)
        RemoveUnusedNodesPass()(model)
        NameNodes()(model)
        _check_result(model)
        give_back_memory()  # of the file as it was read
    except EspdlError as error:
        raise (error.at(place) if place else error) from None
    except Exception as error:  # a malformed record that no check above foresees, met deep in a library
        raise EspdlError(
            "the network cannot be imported",
            where=place,
            why=f"{type(error).__name__}: {error}",
            hint="check it with onnx.checker.check_model",
        ) from error
    return model


def _is_operator(function: ir.Function) -> bool:
    """Whether a function of the model is the float form of an operator of ours or of the user's, and stays a call."""
    if function.domain == DOMAIN:
        return True
    return function.name in MODULE_TYPES and not onnx.defs.has(function.name)


def _read(source: str | os.PathLike[str] | onnx.ModelProto | ir.Model) -> tuple[ir.Model, str]:
    if isinstance(source, ir.Model):
        return source.clone(), ""
    if isinstance(source, onnx.ModelProto):
        return _from_proto(source), ""
    if not isinstance(source, (str, os.PathLike)):
        raise EspdlError(
            f"a network cannot be read from {type(source).__name__}", hint="a path, an onnx.ModelProto or an onnx_ir.Model"
        )
    path = Path(source)
    if not path.is_file():
        raise EspdlError(
            "there is no such file", where=str(path), hint="check the path" if not path.is_dir() else "name a file in it"
        )
    size = path.stat().st_size
    if size >= LARGEST_BYTES:
        raise EspdlError(
            f"the file has {size / 2**30:.1f} GiB", where=str(path), why="2 GiB is the most that ONNX and any chip can hold"
        )
    try:
        proto = onnx.ModelProto.FromString(path.read_bytes())
    except Exception:  # protobuf's own error class, which its package does not type
        raise EspdlError("this is not an ONNX file", where=str(path)) from None
    try:
        _check_external(proto, path)
        return _with_data(_from_proto(proto, path.parent)), str(path)
    except EspdlError as error:
        raise error.at(str(path)) from None


def _with_data(model: ir.Model) -> ir.Model:
    """Brings data from outside the file into memory, so that nothing depends on that file later."""
    try:
        return ir.external_data.load_to_model(model)
    except Exception as error:  # lengths that do not fit the shapes raise whatever NumPy raises
        raise EspdlError("the data beside the file cannot be read", why=str(error)) from None


def _from_proto(proto: onnx.ModelProto, directory: Path | None = None) -> ir.Model:
    if proto.ir_version > onnx.IR_VERSION:
        raise EspdlError(
            f"the file is in version {proto.ir_version} of ONNX's format",
            why=f"versions up to {onnx.IR_VERSION} are understood",
            hint="export it again with an older onnx, or install a newer one",
        )
    if not proto.HasField("graph") or not proto.opset_import:
        raise EspdlError(
            "this is not an ONNX network", why="it holds no graph" if proto.opset_import else "it names no operator set"
        )
    logger = logging.getLogger("onnx_ir")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it warns of, the checks that follow say better
    try:
        model = ir.from_proto(proto)
    except Exception as error:  # whatever a malformed record makes the library raise
        raise EspdlError("the ONNX file is malformed", why=_innermost(error)) from None
    finally:
        logger.setLevel(level)
    if directory is not None:
        ir.external_data.set_base_dir(model.graph, directory)
    return model


def _innermost(error: BaseException) -> str:
    """The first line of what was raised first: the library wraps an error once for every level it was in."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check_external(proto: onnx.ModelProto, path: Path) -> None:
    """Checks that data outside the file lies beside it, and is there, before anything reads it."""
    root = path.parent.resolve()
    total = 0
    for tensor in proto.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        facts = {entry.key: entry.value for entry in tensor.external_data}
        where = f"initializer {tensor.name!r}"
        data = (root / facts.get("location", "")).resolve()
        if not data.is_relative_to(root) or data == root:
            raise EspdlError(
                "its data lies outside the directory of the network", where=where, why=f"location {facts.get('location')!r}"
            )
        if not data.is_file():
            raise EspdlError(f"its data file {data.name!r} is missing", where=where, hint="keep it beside the .onnx file")
        try:
            offset, length = int(facts.get("offset") or 0), int(facts.get("length") or 0)
        except ValueError:
            raise EspdlError("offset or length of its data is not a number", where=where) from None
        if offset < 0 or length < 0 or offset + length > data.stat().st_size:
            raise EspdlError(f"its data ends behind the end of {data.name!r}", where=where, why="the data file is cut short")
        total += length
    if total >= LARGEST_BYTES:
        raise EspdlError(f"the parameters have {total / 2**30:.1f} GiB", why="no chip can hold them")


def _check_structure(model: ir.Model) -> None:
    graph = model.graph
    if not graph.outputs:
        raise EspdlError("the network has no outputs", hint="mark at least one value as graph output")
    known = {value.name for value in graph.inputs} | set(graph.initializers)
    produced: set[str] = set()
    for node in graph:
        for output in node.outputs:
            if output.name:
                if output.name in produced or output.name in known:
                    raise EspdlError(f"value {output.name!r} is defined twice", where=describe(node))
                produced.add(output.name)
    for node in graph:
        for value in node.inputs:
            if value is not None and value.producer() is None and value.name not in known:
                raise EspdlError(
                    f"its input {value.name!r} does not exist", where=describe(node), hint="the network is incomplete"
                )
        if any(attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attr in node.attributes.values()):
            raise EspdlError(
                "control flow cannot run on a chip",
                where=describe(node),
                hint="export the network for one fixed path, without if and loops over tensors",
            )
    for value in graph.outputs:
        if value.producer() is None and value.name not in known:
            raise EspdlError(f"graph output {value.name!r} is produced by no node")
    try:
        graph.sort()
    except ValueError:
        raise EspdlError("the network is a circle", why="a value depends on itself") from None
    for value in graph.inputs:
        if value.name in graph.initializers:
            continue
        if value.dtype not in _INPUT_TYPES:
            kind = value.dtype.name if value.dtype is not None else "of no known type"
            raise EspdlError(f"the input is {kind}", where=f"input {value.name!r}", hint="export the network in float32")


def _check_numbers(model: ir.Model) -> None:
    """Checks that every constant can be read, has a type that runs, and holds numbers."""
    total = 0
    for name, value in model.graph.initializers.items():
        reader = next((node for node in value.consumers()), None)
        where = f"initializer {name!r}" + (f", read by {describe(reader)}" if reader is not None else "")
        tensor = value.const_value
        if tensor is None:
            raise EspdlError("it holds no data", where=where)
        total += tensor.nbytes
        if total >= LARGEST_BYTES:
            raise EspdlError(f"the parameters have more than {total / 2**30:.1f} GiB", where=where, why="no chip can hold them")
        if reader is not None:
            _check_tensor(tensor, reader, where)
    for node in model.graph:
        if node.op_type == "Constant":
            for attr in node.attributes.values():
                if attr.type is ir.AttributeType.TENSOR:
                    _check_tensor(attr.as_tensor(), node, describe(node))


def _take_numbers(model: ir.Model) -> None:
    """Takes the constants out of the record that was read, which otherwise stays in memory and copies them whenever they are looked at."""
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.TensorProtoTensor) and tensor.dtype is ir.DataType.FLOAT:
            value.const_value = ir.Tensor(tensor.numpy(), name=tensor.name)


def _check_tensor(tensor: ir.TensorProtocol, reader: ir.Node, where: str) -> None:
    if tensor.dtype in _WIDE_OR_NARROW and tensor.size > 1:
        raise EspdlError(f"its numbers are {tensor.dtype.name}", where=where, hint="export the network in float32")
    try:
        array = tensor.numpy()
    except Exception as error:  # lengths and types that lie raise whatever NumPy raises
        hint = "load the network with its data: onnx.load(path)" if isinstance(error, FileNotFoundError) else ""
        raise EspdlError("its data cannot be read", where=where, why=str(error), hint=hint) from None
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    if np.isnan(array).any():
        count = int(np.isnan(array).sum())
        raise EspdlError(
            f"{count} of its {array.size} numbers are NaN", where=where, hint="the training diverged, or the export failed"
        )
    if reader.op_type not in _INFINITY_IS_A_NUMBER | {"Constant"}:
        raise EspdlError("it holds infinite numbers", where=where, hint="the training diverged, or the export failed")


def _check_result(model: ir.Model) -> None:
    """What must hold after folding: inputs, numbers in every constant that a node reads, a known shape wherever the operator is known."""
    if not model.graph.inputs:
        raise EspdlError("the network has no inputs", why="its outputs are constants")
    for value in model.graph.initializers.values():
        reader = next(iter(value.consumers()), None)
        if reader is not None and value.const_value is not None:
            _check_tensor(value.const_value, reader, f"constant {value.name!r}, read by {describe(reader)}")
    for node in model.graph:
        inputs_known = all(value is None or (value.shape is not None and value.shape.is_static()) for value in node.inputs)
        for output in node.outputs:
            if not inputs_known or (not output.uses() and not output.is_graph_output()):
                continue
            if node.domain == "" and (output.shape is None or not output.shape.is_static()):
                raise EspdlError(
                    f"the size of its output {output.name!r} depends on the data",
                    where=describe(node),
                    hint="a chip needs fixed sizes: leave this part of the network to the program around it",
                )
