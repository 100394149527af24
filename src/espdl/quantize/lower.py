"""From a quantized graph to the nodes, constants and variables of a file: fusion, axis orders, conversions, tables (quantizer spec 11).

One walk over the network in execution order. Every tensor is stored once, in the order and format that its operator writes; a reader
that needs another order or format gets it from nodes put in between, shared among such readers. A Transpose of the network moves no
data: it changes the order its input is known by, and data moves where an operator needs a certain order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import records
from espdl.quantize.assign import module_of
from espdl.quantize.emitter import Emitter, Stored, format_of
from espdl.quantize.facts import attributes_of
from espdl.quantize.graph import QuantGraph, QuantInfo
from espdl.quantize.layout import Arrangement, Order, arrange, between, identity, moves_nothing, preferred_input_order
from espdl.quantize.matmul_packing import pack_computed
from espdl.quantize.parameters import parameter, to_integers
from espdl.quantize.passes.tools import attribute, constant, name_of, shape_of, sole_consumer
from espdl.quantize.tables import LoweringOptions, Tables
from espdl.quantize.weights import emit_constant
from espdl.wording import at_node


@dataclass
class Lowered:
    """The content of a file, and where the tensors of the network are in it.

    Attributes:
        graph: with inputs and outputs in the order of the network.
        stored: what became of each tensor of the network that the file holds, by its name in the network.
    """

    graph: records.Graph
    stored: dict[str, Stored] = field(default_factory=dict)


def lower(graph: QuantGraph, options: LoweringOptions | None = None) -> Lowered:
    """Lowers a graph whose every representation has exponents."""
    return _Lowering(graph, options or LoweringOptions()).run()


class _Lowering:
    def __init__(self, graph: QuantGraph, options: LoweringOptions) -> None:
        self.graph = graph
        self.options = options
        model = graph.model.graph
        names = [value.name or "" for node in model for value in node.outputs]
        names += [value.name or "" for value in model.inputs] + list(model.initializers) + [node.name or "" for node in model]
        self.out = Emitter(graph.chip, names)
        self.stored: dict[str, Stored] = {}
        self._tables = Tables(self.out, options)
        self._fused: set[int] = set()

    def run(self) -> Lowered:
        model = self.graph.model.graph
        for value in model.inputs:
            order = preferred_input_order(value)
            self._store(value, value.name or "", order, self.graph.output_info(value))
        for node in model:
            if id(node) not in self._fused:
                try:
                    self._node(node)
                except EspdlError as error:
                    raise error.at(at_node(node.name, node.op_type)) from None
        outputs = [self._graph_output(value) for value in model.outputs]
        inputs = [self.out.variables[value.name or ""] for value in model.inputs]
        tables = [t for t in self.out.constants.values() if not t.doc_string]
        others = [t for t in self.out.constants.values() if t.doc_string]
        content = records.Graph(
            model.name or "graph", self.out.nodes, [*tables, *others], inputs, outputs, list(self.out.variables.values())
        )
        scales = self.graph.scales
        return Lowered(content, {name: replace(stored, scale=scales.get(name)) for name, stored in self.stored.items()})

    def _store(self, value: ir.Value, name: str, order: Order, info: QuantInfo | None) -> Stored:
        shape = _shape(value)
        dtype = None if info is not None else _plain_type(value)
        stored = self.out.variable(name, [shape[axis] for axis in order], order, format_of(info), dtype)
        self.stored[value.name or ""] = stored
        return stored

    def _node(self, node: ir.Node) -> None:
        if node.op_type == "Transpose" and self._absorb_transpose(node):
            return
        orders = [self._order_of(value) for value in node.inputs]
        arrangement = self._arrange(node, orders)
        bits = self.graph.bits[node.name or ""]
        attributes = {**attributes_of(node), **arrangement.attributes}
        inputs = [self._input(node, index, arrangement, bits) for index in range(len(node.inputs))]
        while inputs and not inputs[-1]:
            inputs.pop()
        outputs, result = [value.name or "" for value in node.outputs], node.outputs[0]
        if bits and module_of(node).quantization.computing:
            result = self._fuse_activation(node, attributes)
            outputs[0] = result.name or ""
            _finish_computing(node, attributes)
        if node.name in self.graph.narrow:
            attributes["quant_type"] = "W8A16"
        if (gates := self.graph.gates.get(node.name or "")) is not None:
            attributes["gate_exponent"] = gates.exponent
        for index, (value, order) in enumerate(zip(node.outputs, arrangement.outputs, strict=True)):
            if value.name:
                kept = result if index == 0 else value
                self._store(kept, kept.name or "", order, self.graph.output_info(kept))
        op_type = self._tables.attach(node, attributes, self.graph.input_info(node, 0), self.graph.output_info(result), bits)
        self.out.node(op_type, node.name or "", inputs, outputs, attributes, bits)

    # Axis orders

    def _order_of(self, value: ir.Value | None) -> Order | None:
        if value is None or constant(value) is not None:
            return None
        return self.stored[value.name or ""].order

    def _arrange(self, node: ir.Node, orders: Sequence[Order | None]) -> Arrangement:
        if node.op_type == "Transpose":
            permutation = _permutation(node)
            rank = len(permutation)
            order = orders[0] or identity(rank)
            return Arrangement((order,), (identity(rank),), {"perm": list(between(order, permutation))})
        arrangement = arrange(node, orders)
        if node.op_type in ("Reshape", "Flatten") and orders[0] is not None:
            return self._arrange_view(node, orders[0], arrangement)
        return arrangement

    def _arrange_view(self, node: ir.Node, order: Order, otherwise: Arrangement) -> Arrangement:
        """A Reshape needs no Transpose before it where that would move nothing; its shape is then written out."""
        source = self.stored[name_of(node.inputs[0])]
        if order == identity(len(order)) or not moves_nothing(source.shape, between(order, identity(len(order)))):
            return otherwise
        shape = np.array(_shape(node.outputs[0]), dtype=np.int64)
        if node.op_type == "Reshape":
            return Arrangement((order, None), otherwise.outputs, {"allowzero": 0}, {1: shape})
        axis = attribute(node, "axis", 1) % (len(order) + 1)
        if int(np.prod(source.shape[:axis])) != shape[0]:
            return otherwise
        return Arrangement((order,), otherwise.outputs)

    def _absorb_transpose(self, node: ir.Node) -> bool:
        """Lets the result be the source in another order; False for a result of the network that must come in its own order."""
        source = self.stored[name_of(node.inputs[0])]
        permutation = _permutation(node)
        # Axis j of the result is axis permutation[j] of the source, so the stored axis i, which is source axis order[i], is that j.
        order = tuple(permutation.index(axis) for axis in source.order)
        if node.outputs[0].is_graph_output() and order != identity(len(order)):
            return False
        self.stored[node.outputs[0].name or ""] = Stored(source.name, source.shape, order, source.format, source.dtype)
        return True

    # Inputs

    def _input(self, node: ir.Node, index: int, arrangement: Arrangement, bits: int) -> str:
        value = node.inputs[index]
        if value is None:
            return ""
        info = self.graph.input_info(node, index)
        array = arrangement.constants.get(index, parameter(self.graph, value))
        if array is not None:
            return emit_constant(self.out, node, index, array, info, bits)
        source, order = self.stored[value.name or ""], arrangement.inputs[index]
        assert order is not None
        if bits and index == 1 and info is not None and module_of(node).quantization.computing and len(source.shape) > 1:
            return pack_computed(self.out, source, format_of(info)).name
        return self.out.bring(source, order, format_of(info)).name

    # Fusion

    def _fuse_activation(self, node: ir.Node, attributes: dict[str, Any]) -> ir.Value:
        """Takes a Relu that alone reads the result into the operator; returns what the operator then writes.

        A Clip whose bounds are beyond the integers is nothing, or a Relu if it starts at 0: integers saturate by themselves.
        """
        output, attributes["activation"] = node.outputs[0], "Linear"
        reader = sole_consumer(output, "Relu", "Clip")
        if reader is None:
            return output
        before, after = self.graph.output_info(output), self.graph.output_info(reader.outputs[0])
        function = "Relu" if reader.op_type == "Relu" else self._saturation(reader, after)
        if not function or before is None or after is None or format_of(before) != format_of(after):
            return output
        attributes["activation"] = function
        self._fused.add(id(reader))
        return reader.outputs[0]

    def _saturation(self, clip: ir.Node, info: QuantInfo | None) -> str:
        """What integers that saturate need beside that to do the same as ``clip``: Linear, Relu, or empty for a Clip."""
        bounds = [parameter(self.graph, value) for value in clip.inputs[1:]]
        if info is None or len(bounds) != 2 or any(bound is None or bound.size != 1 for bound in bounds):
            return ""
        low, high = (int(to_integers(bound, info, self.graph.chip).item()) for bound in bounds if bound is not None)
        half = 2 ** (info.bits - 1)
        return {0: "Relu", -half: "Linear"}.get(low, "") if high == half - 1 else ""

    # Outputs

    def _graph_output(self, value: ir.Value) -> records.ValueInfo:
        """The file's variable of a graph output, under its own name."""
        name = value.name or ""
        if constant(value) is not None:
            raise EspdlError(f"output {name!r} does not depend on the inputs", hint="leave it out of the network")
        stored = self._ordered(name, self.stored[name])
        if stored.name == name and not value.is_graph_input():
            return self.out.variables[name]
        network = self.graph.model.graph
        if stored.name in {v.name for v in (*network.inputs, *network.outputs)}:
            self.stored[name] = self._copy(stored, name)
        else:
            self._rename(stored.name, name)
        return self.out.variables[self.stored[name].name]

    def _rename(self, old: str, new: str) -> None:
        self.out.rename(old, new)
        for key, other in self.stored.items():
            if other.name == old:
                self.stored[key] = replace(other, name=new)

    def _ordered(self, name: str, stored: Stored) -> Stored:
        """A tensor in the order that is asked of the output ``name``."""
        order = self.options.output_orders.get(name, stored.order)
        if order == stored.order:
            return stored
        if stored.name == name:
            self._rename(name, self.out.fresh(f"{name}/before"))
        self.stored[name] = self.out.bring(self.stored[name], order, stored.format)
        return self.stored[name]

    def _copy(self, source: Stored, name: str) -> Stored:
        name = name if name not in self.out.variables else self.out.fresh(name)
        output = self.out.variable(name, source.shape, source.order, source.format, source.dtype)
        self.out.node("Identity", self.out.fresh(f"{name}/Identity"), [source.name], [output.name], {}, source.format[0])
        return output


def _finish_computing(node: ir.Node, attributes: dict[str, Any]) -> None:
    if node.op_type == "Gemm":
        attributes.update(alpha=1.0, beta=1.0, transB=0)
    if node.op_type == "MatMul" and constant(node.inputs[1]) is not None:
        attributes["input1_layout"] = "packed"


def _permutation(node: ir.Node) -> tuple[int, ...]:
    rank = len(_shape(node.inputs[0]))
    given = attribute(node, "perm")
    return tuple(axis % rank for axis in given) if given else tuple(reversed(range(rank)))


def _shape(value: ir.Value | None) -> tuple[int, ...]:
    shape = shape_of(value)
    if shape is None:
        raise EspdlError(f"tensor {value.name if value is not None else ''!r} has no static shape")
    return shape


def _plain_type(value: ir.Value) -> DType | None:
    """The type of a tensor that is not quantized; None for real numbers, which are float32."""
    dtype = value.dtype
    if dtype is None or dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16):
        return None
    return DType.of(dtype.numpy())
