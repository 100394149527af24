"""Operators of a user's own in a float network: nodes that no ONNX runtime knows, and a subclass of ``Module`` does.

Their shapes come from :meth:`Module.get_output_shape`, their values from :meth:`Module.float_forward`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.dl.module import BUILT_IN, MODULE_TYPES, Layout, Module
from espdl.errors import EspdlError
from espdl.quantize.facts import attributes_of
from espdl.quantize.passes.infer import describe
from espdl.quantize.passes.tools import constant, shape_of
from espdl.tensor import TensorBase

CUSTOM_DOMAIN = "custom"
"""Of custom operators whose file puts them into ONNX's domain."""

Arrays = Sequence[NDArray | None]
Result = TypeVar("Result")


def is_custom(node: ir.Node, model: ir.Model) -> bool:
    """Whether a node is an operator of the user's: not ESP-DL's, not ONNX's, not a function of the model."""
    return (
        node.op_type in MODULE_TYPES
        and node.op_type not in BUILT_IN
        and node.op_identifier() not in model.functions
        and not onnx.defs.has(node.op_type, node.domain)
    )


def give_domain(model: ir.Model) -> None:
    """Takes custom operators out of ONNX's own domain, where converters of operator sets would look for them in vain."""
    for node in model.graph:
        if not node.domain and is_custom(node, model):
            node.domain = CUSTOM_DOMAIN
            model.opset_imports.setdefault(CUSTOM_DOMAIN, 1)


def infer_custom(node: ir.Node) -> None:
    """Sets shape and element type of the outputs of a custom operator, where the shapes of its inputs are known.

    Results are float32 unless the file declares otherwise.

    Raises:
        EspdlError: the inputs do not fit the operator, or it says another number of outputs than the node has.
    """
    shapes: list[list[int]] = []
    kind = MODULE_TYPES[node.op_type]
    for value in node.inputs:
        given = () if value is None else shape_of(value)
        if given is None:
            return
        shapes.append(list(given) if constant(value) is not None else _file_shape(kind, given))
    found = _call(node, lambda module: module.get_output_shape(shapes))
    if len(found) < len(node.outputs):
        raise EspdlError(f"the operator makes {len(found)} outputs, the node names {len(node.outputs)}", where=describe(node))
    for output, shape in zip(node.outputs, found, strict=False):
        output.shape = ir.Shape([int(size) for size in _network_shape(kind, shape)])
        output.type = output.type or ir.TensorType(ir.DataType.FLOAT)


def run_custom(node: ir.Node, arrays: Arrays) -> list[NDArray]:
    """The float form of a custom operator.

    Args:
        node: of the network.
        arrays: its inputs in ONNX order, constants included; None for an omitted one.

    Raises:
        EspdlError: naming the node whose float form failed.
    """

    def run(module: Module) -> list[NDArray]:
        given = [
            array if array is None or constant(value) is not None else _to_file(module, array)
            for array, value in zip(arrays, node.inputs, strict=True)
        ]
        with np.errstate(all="ignore"):
            result = module.float_forward(*given)
        results = result if isinstance(result, tuple) else (result,)
        return [_to_network(module, np.asarray(item)) for item in results]

    results = _call(node, run)
    if len(results) < len(node.outputs):
        raise EspdlError(f"float_forward gives {len(results)} results, the node names {len(node.outputs)}", where=describe(node))
    for output, result in zip(node.outputs, results, strict=False):
        expected = shape_of(output)
        if expected is not None and tuple(result.shape) != expected:
            raise EspdlError(
                f"float_forward gives shape {list(result.shape)}, get_output_shape says {list(expected)}", where=describe(node)
            )
    return [result.astype(np.float32) if result.dtype == np.float64 else result for result in results]


def _call(node: ir.Node, use: Callable[[Module], Result]) -> Result:
    """What ``use`` makes of the operator of a node; any failure of the user's code names the node."""
    parameters = {
        index: TensorBase(array.shape, array)
        for index, value in enumerate(node.inputs)
        if value is not None and (array := constant(value)) is not None
    }
    attributes = {
        name: TensorBase(value.shape, value) if isinstance(value, np.ndarray) else value
        for name, value in attributes_of(node).items()
    }
    try:
        kind = MODULE_TYPES[node.op_type]
        return use(kind(node.name or "", attributes=attributes, parameters=parameters, op_type=node.op_type))
    except EspdlError as error:
        raise error.at(describe(node)) from None
    except Exception as error:  # whatever the user's code raises
        raise EspdlError(
            f"operator {node.op_type} failed", where=describe(node), why=f"{type(error).__name__}: {error}"
        ) from error


# A file holds channels last where the operator asks for it, the network never does.


def _moves(kind: type[Module] | Module, rank: int) -> bool:
    return kind.layout.layout is Layout.CHANNELS_LAST and rank in (3, 4)


def _file_shape(kind: type[Module] | Module, shape: Sequence[int]) -> list[int]:
    return [shape[0], *shape[2:], shape[1]] if _moves(kind, len(shape)) else list(shape)


def _network_shape(kind: type[Module] | Module, shape: Sequence[int]) -> list[int]:
    return [shape[0], shape[-1], *shape[1:-1]] if _moves(kind, len(shape)) else list(shape)


def _to_file(kind: type[Module] | Module, array: NDArray) -> NDArray:
    return np.moveaxis(array, 1, -1) if _moves(kind, array.ndim) else array


def _to_network(kind: type[Module] | Module, array: NDArray) -> NDArray:
    return np.moveaxis(array, -1, 1) if _moves(kind, array.ndim) else array
