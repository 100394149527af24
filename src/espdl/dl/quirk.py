"""What a quirk is: a difference between ESP-DL and ONNX that changes results (the table of them: :mod:`espdl.dl.quirks`)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from espdl.chips import Chip

if TYPE_CHECKING:
    from espdl.dl.machine import Machine
    from espdl.dl.module.base import Module
    from espdl.tensor import TensorBase


@dataclass(frozen=True)
class Site:
    """An operator in a model: what a quirk depends on.

    Attributes:
        module: the operator.
        inputs, outputs: its tensors in node order, None for omitted ones.
        machine: what it runs on.
    """

    module: Module
    inputs: Sequence[TensorBase | None]
    outputs: Sequence[TensorBase | None]
    machine: Machine

    @property
    def source(self) -> TensorBase:
        """Input 0."""
        tensor = self.inputs[0]
        assert tensor is not None
        return tensor

    @property
    def target(self) -> TensorBase:
        """The first output that is there."""
        return next(tensor for tensor in self.outputs if tensor is not None)

    def attribute(self, name: str, default: Any) -> Any:
        return self.module.attributes.get(name, default)


Question = Callable[[Site], bool]
"""Whether a quirk changes results of an operator."""


class Default(enum.Enum):
    """What a run does where a quirk applies, unless ONNX's meaning is asked for."""

    REPRODUCED = "reproduced"
    REFUSED = "refused"  # what the chip gives depends on memory that the operator does not own
    ONNX = "as ONNX"  # what the chip gives is not known


class Strict(enum.Enum):
    """How ``strict_onnx`` gets ONNX's meaning."""

    OPERATOR = "operator"  # the operator has a form for it
    FLOAT_FORM = "float form"  # dequantized, computed by its float form, quantized
    NONE = ""  # it cannot be had: the file does not hold what it takes, or the shapes of the file stand against it


@dataclass(frozen=True)
class Quirk:
    """One difference between ESP-DL and ONNX that changes results.

    Attributes:
        id: a name to refer to it.
        op_types: the operators that have it.
        applies: to which element types and nodes, in words.
        chip: what ESP-DL does.
        onnx: what ONNX says.
        section: of the runtime specification.
        affects: whether it changes results of a node.
        default: what a run does.
        strict: how ``strict_onnx`` gets ONNX's meaning.
        vector_unit: True when only the vector unit has it, False when only the C code has it, None when both do.
    """

    id: str
    op_types: tuple[str, ...]
    applies: str
    chip: str
    onnx: str
    section: str
    affects: Question = field(repr=False, compare=False)
    default: Default = Default.REPRODUCED
    strict: Strict = Strict.OPERATOR
    vector_unit: bool | None = None

    def may_show_on(self, chip: Chip) -> bool:
        """Whether the chip can have it in silicon arithmetic."""
        return self.vector_unit is None or self.vector_unit == bool(chip.vector_bytes)


@dataclass(frozen=True)
class NodeQuirk:
    """A quirk that changes results of a node: name and type of the node, and the row of the table."""

    node: str
    op_type: str
    quirk: Quirk

    def __str__(self) -> str:
        return f"{self.op_type} {self.node!r}: {self.quirk.chip}; ONNX: {self.quirk.onnx} ({self.quirk.id})"
