"""Facts an operator states about itself: what it accepts, how it is quantized, which memory layout it wants.

They are data, so that checking a network, quantizing it, laying it out and printing the table of supported operators all read the
same source. Nothing here imports ONNX.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from espdl.dtypes import QuantType

Shape = tuple[int, ...]


@dataclass(frozen=True)
class NodeFacts:
    """A node of an ONNX network as limits see it.

    Attributes:
        op_type: as in ONNX, after fusion.
        attributes: ONNX names to plain Python values.
        input_shapes: one per input, in ONNX order; None for an omitted input or an unknown shape.
        constants: values of the inputs that are constants, by input index.
        output_shapes: one per output.
    """

    op_type: str
    attributes: Mapping[str, Any]
    input_shapes: tuple[Shape | None, ...]
    constants: Mapping[int, np.ndarray]
    output_shapes: tuple[Shape | None, ...]


@dataclass(frozen=True)
class Limit:
    """One condition that a node must meet.

    Attributes:
        text: the condition in words, as it stands in the table of operators ("group is 1 or the number of channels").
        holds: whether a node meets it.
        remedy: what a user can do about a node that does not.
    """

    text: str
    holds: Callable[[NodeFacts], bool]
    remedy: str = ""


def constants(text: str, first: int, last: int | None = None, *, remedy: str = "export the network with fixed sizes") -> Limit:
    """The limit that inputs ``first`` to ``last``, or all from ``first`` on, are constants; omitted and empty ones are, too."""

    def holds(node: NodeFacts) -> bool:
        stop = len(node.input_shapes) if last is None else min(last + 1, len(node.input_shapes))
        shapes = node.input_shapes
        return all(shapes[i] is None or 0 in shapes[i] or i in node.constants for i in range(first, stop))  # type: ignore[operator]

    return Limit(text, holds, remedy)


class Availability(enum.Enum):
    """Which firmware runs an operator (runtime spec 3.0.2); the value says it to a user."""

    REGISTERED = ""
    UNREGISTERED = "ESP-DL 3.3.9 has it but does not register it: the firmware must, with ModuleCreator::register_module"
    NEWER = "needs an ESP-DL newer than 3.3.9"
    ABSENT = "ESP-DL has no such operator: only espdl runs files with it"


@dataclass(frozen=True)
class Contract:
    """What an operator accepts (runtime spec 3.0.3).

    Attributes:
        quant_types: in which arithmetic it runs.
        ranks: of input 0; empty for any.
        limits: further conditions.
        narrow_weights: whether 16-bit activations go with 8-bit weights, too (W8A16).
        availability: which firmware has it.
    """

    quant_types: frozenset[QuantType]
    ranks: tuple[int, ...] = ()
    limits: tuple[Limit, ...] = ()
    narrow_weights: bool = False
    availability: Availability = Availability.REGISTERED


REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)
"""The operators that reduce axes."""

INTEGER = frozenset({QuantType.SYMM_8BIT, QuantType.SYMM_16BIT})
INTEGER_AND_FLOAT = INTEGER | {QuantType.FLOAT32}


class Align(enum.Enum):
    """Which exponents of a node must be equal (quantizer spec 7.6)."""

    NONE = "none"
    INPUT_TO_OUTPUT = "input_to_output"  # input 0 only
    INPUTS_TO_OUTPUT = "inputs_to_output"
    INPUTS_TOGETHER = "inputs_together"


@dataclass(frozen=True)
class States:
    """Which tensors of a recurrent operator are its gates and its states, by index (runtime spec 3.12).

    Attributes:
        weights: constant inputs that a state or an input is multiplied with; one exponent each.
        hidden_inputs: hidden states given from outside, taken raw: their exponent must be that of output 0.
        hidden_outputs: outputs that hold hidden states, output 0 first: one exponent.
        gate_inputs, gate_outputs: biases and cell states, 16-bit integers at the gate exponent in every arithmetic on integers.
    """

    weights: tuple[int, ...]
    hidden_inputs: tuple[int, ...]
    hidden_outputs: tuple[int, ...]
    gate_inputs: tuple[int, ...]
    gate_outputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Quantization:
    """How an operator is quantized (quantizer spec 2.3, 2.4).

    Attributes:
        float_inputs, float_outputs: indices that are never quantized (shapes, axes, probabilities).
        passive: the output is a part or a rearrangement of input 0 and keeps its exponent.
        align: which exponents are made equal.
        computing: a multiply-accumulate operator; its weight (input 1) and bias (input 2) have rules of their own.
        weight_channel_axis: output-channel axis of the ONNX weight, as a function of the attributes; None where weights are never
            per channel.
        table: at 8 bits exported as a 256-entry table.
        multiplies: the result is a product of the first two inputs, shifted: its exponent is at least the sum of theirs. Holds for
            every ``computing`` operator, too.
        inputs_like_first: constant inputs given in the exponent of input 0 (limits of Clip, filling of Pad).
        largest_exponent: of an 8-bit input 0; with a larger one the operator may overflow, and runs in float instead.
        truth_values: works on bool tensors, which chips hold as bytes: written as an 8-bit operator.
        prefers_float: runs in float unless a width is asked for; its results need more digits than integers hold.
        states: of a recurrent operator; its hidden state is fed back to it, so nothing behind it changes the exponent.
    """

    float_inputs: frozenset[int] = frozenset()
    float_outputs: frozenset[int] = frozenset()
    passive: bool = False
    align: Align = Align.NONE
    computing: bool = False
    weight_channel_axis: Callable[[Mapping[str, Any]], int] | None = None
    table: bool = False
    multiplies: bool = False
    inputs_like_first: frozenset[int] = frozenset()
    largest_exponent: int | None = None
    truth_values: bool = False
    prefers_float: bool = False
    states: States | None = None


class Layout(enum.Enum):
    """How an operator takes part in moving activations to channels-last order (quantizer spec 11.2); :attr:`text` says it."""

    CHANNELS_LAST = "channels_last", "works on [N, H, W, C] or [N, W, C]: its inputs are brought there"
    FOLLOWS_INPUT = "follows_input", "any order of axes: the output has that of input 0"
    BROADCAST = "broadcast", "any order of axes, the same one for all inputs"
    AXES = "axes", "any order of axes: those it names are renumbered"
    CONCAT = "concat", "one order of axes for all inputs; the axis it names is renumbered"
    ONNX = "onnx", "only the order of axes of the ONNX network"

    text: str

    def __new__(cls, value: str, text: str) -> Layout:
        member = object.__new__(cls)
        member._value_ = value
        member.text = text
        return member


@dataclass(frozen=True)
class LayoutRule:
    """Layout and where the operator names axes.

    Attributes:
        layout: see :class:`Layout`.
        axis_attributes: attributes that hold one axis or a list of axes.
        axes_inputs: constant inputs that hold axes.
        per_axis_inputs: constant inputs with one entry per axis, or several runs of them (pads before, then behind each axis).
        leading_attribute: holds an axis that only axes of one element may stand before.
    """

    layout: Layout = Layout.ONNX
    axis_attributes: tuple[str, ...] = ()
    axes_inputs: tuple[int, ...] = field(default=())
    per_axis_inputs: tuple[int, ...] = field(default=())
    leading_attribute: str = ""
