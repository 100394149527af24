"""Tables of operators that the chip looks up: one result per 8-bit input, or one per step of 16-bit inputs (quantizer spec 11.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.dl.module import BUILT_IN, MODULE_TYPES
from espdl.dl.module.lut import Lut
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import records
from espdl.quantize.assign import module_of
from espdl.quantize.emitter import Emitter, Format, format_of
from espdl.quantize.facts import attributes_of
from espdl.quantize.graph import QuantInfo
from espdl.quantize.parameters import stored_type
from espdl.quantize.passes.tools import constant
from espdl.rounding import dequantize, quantize

DEFAULT_STEP = 256
"""Step of 16-bit tables that no setting asks for."""


@dataclass(frozen=True)
class LoweringOptions:
    """What settings decide about the file.

    Attributes:
        table_ops: operators that become tables at 16 bits.
        table_step: distance of the inputs of their tables.
        other_step: the same for operators that the chip always looks up.
        output_orders: axis orders that outputs of the network must have, by name; as they come where there is none.

    Raises:
        EspdlError: for a distance that no table of the chip has.
    """

    table_ops: frozenset[str] = frozenset()
    table_step: int = 32
    other_step: int = DEFAULT_STEP
    output_orders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        step = self.other_step
        if not isinstance(step, int) or not 0 < step < 1 << 16 or step & (step - 1):
            raise EspdlError(
                f"int16_lut_step = {step!r} is not a power of two below 65536", hint=f"{DEFAULT_STEP} is the default"
            )


class Tables:
    """Adds tables to a file; operators with the same table share it.

    Args:
        out: takes the tables.
        options: which operators have one at 16 bits.
    """

    def __init__(self, out: Emitter, options: LoweringOptions) -> None:
        self.out = out
        self.options = options
        self._names: dict[tuple[Any, ...], str] = {}

    def attach(
        self, node: ir.Node, attributes: dict[str, Any], source: QuantInfo | None, target: QuantInfo | None, bits: int
    ) -> str:
        """Adds the table of a node that is looked up, and names it in ``attributes``; returns the type the node then has.

        At 16 bits the chip reads tables of LUT and Gelu only: the operators that settings name become LUT. A user's own operator always
        does, so that the chip, which does not know it, can run it.
        """
        found = looked_up(node, bits, self.options)
        if found is None or source is None or target is None:
            return node.op_type
        becomes_lut, step = found
        tensor = table(node, format_of(source), format_of(target), self.out.chip, step)
        key = (tensor.dims, tensor.exponents, tensor.data.tobytes())
        if key not in self._names:
            self._names[key] = self.out.constant(tensor, f"{node.op_type}_lut_{len(self._names)}")
        attributes["lut"] = self._names[key]
        if becomes_lut:
            attributes.update(original_op_type=node.op_type)
            if bits == 16:
                attributes.update(int16_lut_step=step)
        return "LUT" if becomes_lut else node.op_type


def looked_up(node: ir.Node, bits: int, options: LoweringOptions) -> tuple[bool, int] | None:
    """Whether a node of that width becomes a LUT in the file, and the distance of the inputs of its table; None where it has none."""
    if not bits or not has_table(node):
        return None
    is_custom = node.op_type not in BUILT_IN
    becomes_lut = is_custom or (bits == 16 and node.op_type in options.table_ops and len(node.inputs) == 1)
    if bits == 16 and not becomes_lut and not issubclass(module_of(node), Lut):
        return None
    return becomes_lut, 1 if bits == 8 else options.table_step if becomes_lut else options.other_step


def has_table(node: ir.Node) -> bool:
    """Whether a node is looked up: its operator is one of tables, and the same function serves every channel."""
    extra = [constant(value) for value in node.inputs[1:] if value is not None]
    return module_of(node).quantization.table and all(array is not None and array.size == 1 for array in extra)


def table(node: ir.Node, source: Format, target: Format, chip: Chip, step: int = 1) -> records.Tensor:
    """The table of ``node``, without a name.

    Args:
        node: an operator of one activation; its other inputs are constants of one element.
        source, target: formats of its input and output.
        chip: its rounding counts.
        step: distance of the inputs; 16-bit tables with a step above 1 have one more entry, for the end of the range.

    Returns:
        int8 [256] or int16 [65536 / step + 1].
    """
    bits, exponent = target
    half = 2 ** (source[0] - 1)
    inputs = np.arange(-half, half + (step if step > 1 else 0), step)
    with np.errstate(all="ignore"):
        results = function(node, dequantize(inputs, source[1]))
    values = quantize(results, exponent, stored_type(bits).numpy, chip.rounding)
    return records.Tensor("", values.shape, DType.of(values.dtype), values, (exponent,))


def function(node: ir.Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The operator on real values, its constants included."""
    extra = [constant(value) for value in node.inputs[1:]]
    module = MODULE_TYPES[node.op_type](node.name or "", attributes=attributes_of(node), op_type=node.op_type)
    result = module.float_forward(x, *extra)
    return result[0] if isinstance(result, tuple) else result
