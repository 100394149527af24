"""One operator set for every network."""

from __future__ import annotations

import logging

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from espdl.errors import EspdlError
from espdl.quantize.passes.tools import OPSET

OLDEST = 7
"""Before this, ONNX wrote broadcasting in another way, and no exporter in use writes it."""

_SCRIPT_CONVERTER_OLDEST = 18
_SMALL_BYTES = 4096


class ConvertOpset(ir.passes.InPlacePass):
    """Rewrites nodes of opset 7 to 23 in the form of opset 24.

    Attributes that became inputs (axes, pads, min and max of Clip, scales of Upsample) become initializers, Upsample becomes Resize, and
    so on: later passes know one form of each operator.

    Needs: shapes (Softmax before opset 13 depends on them).
    Leaves: ``opset_imports[""] == 24``.

    Raises:
        EspdlError: the opset is older than 7 or newer than 24, or a node has no equivalent.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        version = model.opset_imports.get("", 0)
        if version == OPSET:
            return ir.passes.PassResult(model, False)
        if not OLDEST <= version <= OPSET:
            raise EspdlError(
                f"the network uses ONNX opset {version}",
                why=f"opsets {OLDEST} to {OPSET} are understood",
                hint=f"export it again with opset_version between 13 and {OPSET}",
            )
        from onnxscript import version_converter  # large, and networks of this opset do not need it

        if version < _SCRIPT_CONVERTER_OLDEST:
            _convert_old(model)
        logging.getLogger("onnxscript.version_converter").setLevel(logging.ERROR)  # it warns of what needs no change
        # The converter would inline the functions of the model; these are operators, and their bodies are converted like networks.
        functions = dict(model.functions)
        model.functions.clear()
        try:
            version_converter.convert_version(model, OPSET)
            for function in functions.values():
                if function.opset_imports.get("", 0) >= _SCRIPT_CONVERTER_OLDEST:
                    version_converter.convert_version(ir.Model(function.graph, ir_version=model.ir_version), OPSET)
        except (RuntimeError, ValueError) as error:
            raise EspdlError(f"the network cannot be converted from opset {version} to {OPSET}", why=str(error)) from None
        model.functions.update(functions)
        for node in model.graph:
            node.version = None
        RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, True)


def _convert_old(model: ir.Model) -> None:
    """Brings a network from before opset 18 to 18 with ONNX's own converter, which works on the serialised graph.

    Large constants stay out of it: they go in as inputs, and their data is attached again afterwards. Names of values survive.
    """
    graph, version = model.graph, model.opset_imports[""]
    constants = {name: value.const_value for name, value in graph.initializers.items()}
    kept = {name: tensor for name, tensor in constants.items() if tensor is not None and tensor.nbytes > _SMALL_BYTES}
    types = {value.name: (value.shape, value.type) for node in graph for value in node.outputs}
    inputs = len(graph.inputs)
    work = model.clone()
    for name in kept:
        value = work.graph.initializers.pop(name)
        value.const_value = None
        work.graph.inputs.append(value)
    work.ir_version = max(work.ir_version, 8)
    try:
        proto = onnx.version_converter.convert_version(ir.to_proto(work), _SCRIPT_CONVERTER_OLDEST)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise EspdlError(
            f"the network cannot be converted from opset {version} to {_SCRIPT_CONVERTER_OLDEST}",
            why=str(error).strip().splitlines()[-1],
            hint="export it again with opset_version=18 or later",
        ) from None
    converted = ir.from_proto(proto)
    for value in tuple(converted.graph.inputs)[inputs:]:
        if value.name in kept:
            converted.graph.inputs.remove(value)
            value.const_value = kept[value.name]
            converted.graph.register_initializer(value)
    for node in converted.graph:
        for value in node.outputs:
            if value.name in types and value.shape is None:
                value.shape, value.type = types[value.name]
    model.graph = converted.graph
