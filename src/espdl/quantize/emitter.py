"""``Emitter``: collects the nodes, constants and variables of a file, and brings tensors into the form a reader needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.dtypes import DType
from espdl.fbs import records
from espdl.fbs.packing import packing_doc_string
from espdl.quantize.assign import QUANT_TYPES
from espdl.quantize.graph import QuantInfo
from espdl.quantize.layout import Order, between, compose, identity, moves_nothing
from espdl.quantize.parameters import stored_type
from espdl.quantize.passes.tools import free_name
from espdl.quantize.scale import Scale

Format = tuple[int, int]
"""(bits, exponent) of an integer tensor; bits 0 is float."""

FLOAT_FORMAT: Format = (0, 0)
LARGEST_LEFT_SHIFT = 6
"""Vector units keep the factor of an 8-bit left shift in 8 bits (runtime spec 2.3), so longer shifts are made in steps."""


def format_of(info: QuantInfo | None) -> Format:
    """How a per-tensor representation is stored."""
    return FLOAT_FORMAT if info is None else (info.bits, info.exponent)


@dataclass(frozen=True)
class Stored:
    """A variable of the file.

    Attributes:
        name: its name there.
        shape: in its own order.
        order: of its axes against the ONNX network.
        format: width and exponent.
        dtype: its type.
        scale: what became of the network's values; None where it holds themselves.
    """

    name: str
    shape: tuple[int, ...]
    order: Order
    format: Format
    dtype: DType
    scale: Scale | None = field(default=None, compare=False, repr=False)

    @property
    def onnx_shape(self) -> tuple[int, ...]:
        return tuple(self.shape[self.order.index(axis)] for axis in range(len(self.shape)))


class Emitter:
    """Builds the graph of a file node by node.

    Attributes:
        chip: the target.
        nodes, constants, variables: what was added so far, in order; the last two by name.
    """

    def __init__(self, chip: Chip, taken: Sequence[str]) -> None:
        self.chip = chip
        self.nodes: list[records.Node] = []
        self.constants: dict[str, records.Tensor] = {}
        self.variables: dict[str, records.ValueInfo] = {}
        self._taken = set(taken)
        self._forms: dict[tuple[Any, ...], Stored] = {}

    def fresh(self, name: str) -> str:
        """``name``, with a number where it is taken."""
        return free_name(name, self._taken)

    def variable(self, name: str, shape: Sequence[int], order: Order, fmt: Format, dtype: DType | None = None) -> Stored:
        """Declares a variable. ``dtype`` is needed only where it is neither a quantized tensor nor float32."""
        dtype = dtype or (stored_type(fmt[0]) if fmt[0] else DType.FLOAT)
        # A tensor without axes has one element, and the runtime gives it one axis.
        stored = Stored(name, tuple(shape), order, fmt, dtype)
        self.variables[name] = records.ValueInfo(name, dtype, tuple(shape) or (1,), (fmt[1],))
        return stored

    def constant(self, tensor: records.Tensor, name: str) -> str:
        """Adds a constant under ``name`` or a name like it, once for the same content; returns its name."""
        candidate, number = name, 0
        while candidate in self.constants or (number and candidate in self._taken):
            if candidate in self.constants and _same(self.constants[candidate], tensor):
                return candidate
            number += 1
            candidate = f"{name}_{number}"
        tensor.name = candidate
        self._taken.add(candidate)
        self.constants[tensor.name] = tensor
        return tensor.name

    def plain_constant(self, array: NDArray, name: str) -> str:
        """Adds a constant that is not quantized."""
        array = np.ascontiguousarray(array).reshape(array.shape)
        return self.constant(records.Tensor("", array.shape, DType.of(array.dtype), array, (0,), packing_doc_string()), name)

    def node(
        self, op_type: str, name: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any], bits: int
    ) -> records.Node:
        """Adds a node; attributes are sorted by name, ``quant_type`` comes from ``bits`` unless it is among them."""
        values = {"quant_type": QUANT_TYPES[bits].attribute, **attributes}
        entries = [records.Attribute(key, values[key]) for key in sorted(values)]
        node = records.Node(op_type, name, list(inputs), list(outputs), entries)
        self.nodes.append(node)
        return node

    def helper(self, op_type: str, source: Stored, shape: Sequence[int], order: Order, fmt: Format, **parts: Any) -> Stored:
        """Adds a node of one input that the ONNX network does not have; returns its output.

        Args:
            op_type: of the node.
            source: its input.
            shape, order, fmt: of its output.
            **parts: ``inputs``: names of further inputs; ``attributes``; ``bits``: of its quant_type, by default the output's.
        """
        name = self.fresh(f"{source.name}/{op_type}")
        output = self.variable(self.fresh(f"{name}_output"), shape, order, fmt, None if fmt[0] else source_dtype(source))
        inputs = [source.name, *parts.get("inputs", ())]
        self.node(op_type, name, inputs, [output.name], parts.get("attributes", {}), parts.get("bits", fmt[0]))
        return output

    def rename(self, old: str, new: str) -> None:
        """Gives a variable another name, everywhere."""
        for node in self.nodes:
            node.input = [new if name == old else name for name in node.input]
            node.output = [new if name == old else name for name in node.output]
        self.variables = {(new if name == old else name): info for name, info in self.variables.items()}
        self.variables[new].name = new

    # Bringing a tensor into another form

    def bring(self, source: Stored, order: Order, fmt: Format) -> Stored:
        """``source`` in another order and format; the nodes that do it are added once, however many readers need them."""
        if fmt != source.format and _width(fmt) <= _width(source.format):
            return self._reorder(self._convert(source, fmt), order)
        return self._convert(self._reorder(source, order), fmt)

    def _convert(self, source: Stored, fmt: Format) -> Stored:
        if fmt == source.format:
            return source
        key = (source.name, fmt)
        if key in self._forms:
            return replace(self._forms[key], order=source.order)
        if fmt[0] == source.format[0] == 8 and source.format[1] - fmt[1] > LARGEST_LEFT_SHIFT:
            source = self._convert(source, (8, source.format[1] - LARGEST_LEFT_SHIFT))
            return self._convert(source, fmt)
        bits = fmt[0] or source.format[0]
        if not source.format[0]:
            op_type, scale = "QuantizeLinear", 2.0 ** fmt[1]
        elif not fmt[0]:
            op_type, scale = "DequantizeLinear", 2.0 ** source.format[1]
        else:
            op_type, scale = "RequantizeLinear", 2.0 ** (fmt[1] - source.format[1])
        # The runtime reads neither scale nor zero point, but expects them.
        scale_name = self.plain_constant(np.array(scale, dtype=np.float32), self.fresh(f"{source.name}/scale"))
        zero_name = self.plain_constant(np.zeros((), dtype=stored_type(bits).numpy), self.fresh(f"{source.name}/zero_point"))
        result = self.helper(op_type, source, source.shape, source.order, fmt, inputs=(scale_name, zero_name))
        self._forms[key] = result
        return result

    def _reorder(self, source: Stored, order: Order) -> Stored:
        if order == source.order:
            return source
        permutation = between(source.order, order)
        key = (source.name, permutation)
        if key in self._forms:
            return replace(self._forms[key], order=order)
        shape = tuple(source.shape[axis] for axis in permutation)
        if moves_nothing(source.shape, permutation):
            result = self.reshape(source, shape, order)
        else:
            attributes = {"perm": list(permutation)}
            result = self.helper(
                "Transpose", source, shape, compose(source.order, permutation), source.format, attributes=attributes
            )
        self._forms[key] = result
        return result

    def reshape(self, source: Stored, shape: Sequence[int], order: Order | None = None) -> Stored:
        """The same elements in another shape."""
        assert prod(shape) == prod(source.shape)
        name = self.plain_constant(np.array(shape, dtype=np.int64), self.fresh(f"{source.name}/shape"))
        order = identity(len(shape)) if order is None else order
        return self.helper("Reshape", source, shape, order, source.format, inputs=(name,), attributes={"allowzero": 0})


def source_dtype(source: Stored) -> DType | None:
    """The type a float or unquantized tensor keeps; a dequantized one becomes float."""
    return None if source.format[0] else source.dtype


def _width(fmt: Format) -> int:
    return fmt[0] or 32


def _same(a: records.Tensor, b: records.Tensor) -> bool:
    return (a.dims, a.data_type, a.exponents, a.doc_string) == (
        b.dims,
        b.data_type,
        b.exponents,
        b.doc_string,
    ) and a.data.tobytes() == b.data.tobytes()
