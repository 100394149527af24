"""What Conv, Gemm and MatMul share: weights out of a file, exponents into shifts, accumulators of the chip (runtime spec 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.chips import CHIPS, Chip, Packing
from espdl.dl.base import Accumulating, LaneOverflows, LaneRule, MacFilter, MacKernel
from espdl.dl.base.lanes import wrap
from espdl.dl.base.steps import BoundStep
from espdl.dl.machine import Machine
from espdl.dl.module.base import Module
from espdl.dl.module.checks import INTEGER_TYPES
from espdl.dl.module.contract import INTEGER, Contract, Quantization
from espdl.dtypes import Activation, DType, QuantType
from espdl.errors import EspdlError
from espdl.fbs.packing import PackingTag, parse_packing_tag
from espdl.tensor import TensorBase

MAX_EXPONENT = 1 << 16
"""Larger ones can only come from a damaged file."""


class MacModule(Module):
    """Base of the multiply-accumulate operators.

    Attributes:
        activation: fused behind the sum. Only Relu acts; the others are as linear on the chips (spec 3.3).
    """

    contract: ClassVar[Contract] = Contract(INTEGER, narrow_weights=True)
    quantization: ClassVar[Quantization] = Quantization(computing=True)

    def configure(self) -> None:
        self.activation = Activation.parse(self.attributes.get("activation", "None"))
        self._bind_warnings: list[str] = []
        self._watched: tuple[Accumulating, ...] = ()
        if self.activation not in (Activation.LINEAR, Activation.RELU):
            self._bind_warnings.append(f"the fused activation {self.activation.name} has no effect on the chip")

    def watch(self, *kernels: Accumulating) -> None:
        """Names the kernels that the bound operator runs."""
        self._watched = kernels

    @property
    def lane_overflows(self) -> LaneOverflows:
        """Sums of the last run whose value on the chip differs from the exact one."""
        return sum((kernel.lane_overflows for kernel in self._watched), LaneOverflows())

    @property
    def is_float(self) -> bool:
        """Whether the node computes in binary32, which ESP-DL itself refuses to load."""
        return self.quant_type is QuantType.FLOAT32

    @property
    def warnings(self) -> list[str]:
        """What a user should know of this node and its last run, one sentence each."""
        overflows = self.lane_overflows
        if not overflows.count:
            return list(self._bind_warnings)
        channels = ", ".join(map(str, overflows.channels[:8])) + (" ..." if len(overflows.channels) > 8 else "")
        text = f"{overflows.count} sums left the chip's accumulator in the last run (output channels {channels})"
        return [*self._bind_warnings, text]

    def constant(self, index: int, role: str) -> TensorBase:
        """The constant input of that index. Raises :class:`EspdlError` when the network computes it instead."""
        try:
            return self.parameters[index]
        except KeyError:
            raise EspdlError(
                f"the {role} of {self.op_type} must be a constant of the file", hint="fold it into a constant"
            ) from None

    def optional_bias(self, inputs: Sequence[TensorBase | None]) -> TensorBase | None:
        """The bias, input 2, which must be a constant where there is one."""
        if 2 not in self.parameters and (len(inputs) < 3 or inputs[2] is None):
            return None
        return self.constant(2, "bias")

    def make_filter(
        self,
        weights: NDArray,
        exponents: TensorBase,
        bias: TensorBase | None,
        x: TensorBase,
        y: TensorBase,
        machine: Machine,
        *,
        depthwise: bool = False,
    ) -> MacFilter:
        """Everything a kernel needs to know.

        Args:
            weights: in logical order, [KH, KW, C, N] or depthwise [KH, KW, N].
            exponents: the tensor whose exponents the weights have.
        """
        channels = weights.shape[-1]
        self._check_types(weights, x, y)
        per_channel = exponents.exponent.is_per_channel()
        if per_channel and exponents.exponent.channel_size() != channels:
            raise EspdlError(f"{exponents.exponent.channel_size()} weight exponents do not fit {channels} output channels")
        extremes = [info.extreme() for info in (y.exponent, x.exponent, exponents.exponent)]
        if max(map(abs, extremes)) > MAX_EXPONENT:
            raise EspdlError(f"an exponent of {max(extremes, key=abs)} is impossible", hint="the file is damaged")
        # spec 3.2: mac_shift = out_exp - filter_exp - in_exp
        shift = int(y.exponent) - int(x.exponent) - exponents.exponent.data().astype(np.int64)
        lanes = lane_rules(machine.chip, width_of(x), channels, depthwise=depthwise) if machine.is_silicon else ()
        if lanes and machine.chip.vector_bytes and (shift < 0).any():
            self._warn(f"a shift of {int(shift.min())} bits is garbage on {machine.chip.name}; it is computed as a left shift")
        return MacFilter(
            weights=weights,
            depthwise=depthwise,
            bias=None if bias is None else self._bias(bias, channels, lanes, machine.chip.macs(width_of(x)).bias_bits),
            shift=shift,
            rounding=machine.chip.rounding,
            relu=self.activation is Activation.RELU,
            input_dtype=x.dtype.numpy,
            output_dtype=y.dtype.numpy,
            lanes=lanes,
        )

    def _check_types(self, weights: NDArray, x: TensorBase, y: TensorBase) -> None:
        types = (x.dtype, DType.of(weights.dtype), y.dtype)
        if any(dtype not in INTEGER_TYPES for dtype in types):
            found = ", ".join(dtype.name for dtype in types)
            raise EspdlError(
                f"{self.op_type} runs on int8 and int16 tensors",
                why=f"input, weights and output are {found}",
                hint="quantize the network",
            )
        if self.quant_type not in (QuantType.NONE, width_of(x)) or y.dtype is not x.dtype:
            raise EspdlError(
                f"input {x.dtype.name} and output {y.dtype.name} do not fit the node's quant_type {self.quant_type.name}",
                hint="the file is damaged, or a requantize node is missing",
            )
        if x.exponent.is_per_channel() or y.exponent.is_per_channel():
            raise EspdlError("activations have one exponent", why="input or output has one per channel")

    def _bias(self, bias: TensorBase, channels: int, lanes: tuple[LaneRule, ...], bits: int | None) -> NDArray[np.int64]:
        if bias.dtype not in (DType.INT32, DType.INT64):
            raise EspdlError(
                f"a bias of type {bias.dtype.name} cannot be added to an accumulator", why="it must be int32 or int64"
            )
        if bias.size != channels:
            raise EspdlError(f"{bias.size} bias values do not fit {channels} output channels")
        values = bias.data.reshape(-1).astype(np.int64)
        if not lanes or bits is None:
            return values
        # spec 2.5: only biases of full vector blocks are cut when they are packed for the vector unit
        cut = values.copy()
        cut[: lanes[0].stop] = wrap(values[: lanes[0].stop], bits)
        changed = np.flatnonzero(cut != values)
        if changed.size:
            self._warn(f"{changed.size} biases do not fit the chip's {bits} bits and wrap (first: output channel {changed[0]})")
        return cut

    def _warn(self, text: str) -> None:
        if text not in self._bind_warnings:
            self._bind_warnings.append(text)


def mac_step(kernel: MacKernel, x: NDArray, y: NDArray) -> BoundStep:
    """The kernel bound to two arrays; with a table behind it where the backend can."""
    fused = kernel.table_step
    then = None if fused is None or y.dtype != np.int8 else lambda table, out: BoundStep(fused(x, out.reshape(y.shape), table))
    return BoundStep(kernel.step(x, y), then_table=then)


def width_of(x: TensorBase) -> QuantType:
    """The arithmetic that an activation of this type is computed in."""
    return QuantType.SYMM_8BIT if x.dtype is DType.INT8 else QuantType.SYMM_16BIT


def lane_rules(chip: Chip, width: QuantType, channels: int, *, depthwise: bool) -> tuple[LaneRule, LaneRule]:
    """Which accumulator serves which output channels in silicon arithmetic: full vector blocks first, then what remains (spec 3.2)."""
    macs = chip.macs(width)
    full = channels if depthwise else channels - channels % vector_lanes(chip, width)
    return LaneRule(0, full, macs.block), LaneRule(full, channels, macs.remainder)


def vector_lanes(chip: Chip, width: QuantType) -> int:
    """Output channels that the chip computes at once; 1 without a vector unit."""
    return chip.lanes(1 if width is QuantType.SYMM_8BIT else 2)


def filter_tag(tensor: TensorBase, chip: Chip, width: QuantType) -> PackingTag:
    """How a constant filter is packed: what its tag says, else as the chip reads it.

    Raises:
        EspdlError: when it is packed for another class of chips.
    """
    expected = chip_packing(chip, width)
    tag = parse_packing_tag(tensor.doc_string)
    if tag is None:
        return expected
    if tag.packing is not chip.packing:
        others = ", ".join(other.name for other in CHIPS.values() if other.packing is tag.packing)
        raise EspdlError(
            f"the filter is packed for {others}",
            why=f"its order is {tag.packing.value}, {chip.name} reads {chip.packing.value} filters",
            hint=f"quantize the network again for {chip.name}",
        )
    if tag.packing is Packing.BLOCKED and tag.lanes != expected.lanes:
        raise EspdlError(
            f"the filter is packed in blocks of {tag.lanes}", why=f"{chip.name} reads blocks of {expected.lanes} here"
        )
    return tag


def chip_packing(chip: Chip, width: QuantType) -> PackingTag:
    """The order in which the chip reads a filter."""
    return PackingTag(chip.packing, 1 if chip.packing is Packing.PLAIN else vector_lanes(chip, width))
