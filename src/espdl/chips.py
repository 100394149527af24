"""What the project knows of each chip, as data. No other module asks for a chip by name.

Sources: runtime spec 0 (rounding, vector units), 3.2 (accumulators), quantizer spec 2 (bit widths of biases, weight granularity).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from espdl.dtypes import QuantType
from espdl.errors import EspdlError
from espdl.rounding import Rounding


class Packing(enum.Enum):
    """Byte order of convolution weights in a file (spec 1.5). A file packed for one class cannot run on the other."""

    PLAIN = "plain"
    BLOCKED = "blocked"


class Overflow(enum.Enum):
    """What an accumulator does when a sum leaves its range."""

    WRAP = "wrap"
    SATURATE = "saturate"


@dataclass(frozen=True)
class Accumulator:
    """One accumulator: ``bits`` wide (signed), and after how many products its overflow rule is applied.

    ``every`` is 1 where each multiply-accumulate saturates on its own, k where k products are added exactly first.
    """

    bits: int
    overflow: Overflow
    every: int = 1


@dataclass(frozen=True)
class Macs:
    """The accumulators of Conv, Gemm and MatMul for one activation width (spec 3.2).

    ``block`` serves output channels in full vector blocks and every depthwise channel, ``remainder`` the other channels.
    ``bias_bits`` is the width the bias is cut to (modulo) before it is loaded into a block accumulator; None keeps it.
    """

    block: Accumulator
    remainder: Accumulator
    bias_bits: int | None = None


@dataclass(frozen=True)
class Chip:
    """Facts about one chip that change results or files.

    Attributes:
        name: as in ``--target``.
        rounding: of shifts and of float to integer conversion.
        packing: byte order of convolution weights in its files.
        vector_bytes: width of the vector unit in bytes, 0 without one.
        per_channel_weights: whether Conv and Gemm take one weight exponent per output channel.
        bias_bits: width biases are clipped to at export, for 8-bit and 16-bit activations.
        macs8, macs16: accumulators in silicon arithmetic.
        integer_attention: whether Attention computes on integers (quantizer spec 10.5); in float where it is false.
        bitwise_logic: whether And and Or of its vector unit are bitwise; elsewhere they are of truth values (spec 3.1).
        clock_mhz: of one core. cores: number of cores that run convolutions.
        platform: its family in the ``.json`` file beside a model (quantizer spec 2.1).
        factor_bits: width of the register that holds the factor when integers get a smaller exponent, from int8 to int8 and from one
            width to the other (runtime spec 2.3); 0 where any factor fits.
    """

    name: str
    rounding: Rounding
    packing: Packing
    vector_bytes: int
    per_channel_weights: bool
    bias_bits: tuple[int, int]
    macs8: Macs
    macs16: Macs
    integer_attention: bool
    bitwise_logic: bool
    clock_mhz: int
    cores: int
    platform: str
    factor_bits: tuple[int, int] = (0, 0)

    def lanes(self, itemsize: int) -> int:
        """Elements of ``itemsize`` bytes in one vector; 1 without a vector unit."""
        return self.vector_bytes // itemsize or 1

    def macs(self, quant_type: QuantType) -> Macs:
        """Accumulators of silicon arithmetic for a node's ``quant_type``."""
        return self.macs8 if quant_type is QuantType.SYMM_8BIT else self.macs16

    def multiplier_bits(self, source_itemsize: int, target_itemsize: int) -> int:
        """Width of the factor of a requantization between elements of these sizes; 0 where nothing is lost."""
        if source_itemsize == target_itemsize:
            return self.factor_bits[0] if source_itemsize == 1 else 0
        return self.factor_bits[1]

    def export_bias_bits(self, activation_bits: int) -> int:
        """Width to which the exporter clips biases, for 8- or 16-bit activations (quantizer spec 2.2)."""
        return self.bias_bits[0] if activation_bits == 8 else self.bias_bits[1]


def _plain_c(name: str, clock_mhz: int, cores: int) -> Chip:
    wrap32 = Accumulator(32, Overflow.WRAP)
    wide = Accumulator(64, Overflow.WRAP)
    return Chip(
        name=name,
        rounding=Rounding.HALF_UP,
        packing=Packing.PLAIN,
        vector_bytes=0,
        per_channel_weights=False,
        bias_bits=(32, 64),
        macs8=Macs(wrap32, wrap32),
        macs16=Macs(wide, wide),
        integer_attention=False,
        bitwise_logic=False,
        clock_mhz=clock_mhz,
        cores=cores,
        platform="ESPDL_C",
    )


def _pie_v1(name: str, clock_mhz: int) -> Chip:
    lane40 = Accumulator(40, Overflow.SATURATE)
    return Chip(
        name=name,
        rounding=Rounding.HALF_UP,
        packing=Packing.BLOCKED,
        vector_bytes=16,
        per_channel_weights=False,
        bias_bits=(20, 40),
        macs8=Macs(Accumulator(20, Overflow.SATURATE), Accumulator(40, Overflow.SATURATE, every=16), bias_bits=20),
        macs16=Macs(lane40, Accumulator(40, Overflow.SATURATE, every=8), bias_bits=40),
        integer_attention=False,
        bitwise_logic=False,
        clock_mhz=clock_mhz,
        cores=2,
        platform="ESPDL_S3",
        factor_bits=(8, 0),
    )


def _pie_v2(name: str, clock_mhz: int) -> Chip:
    return Chip(
        name=name,
        rounding=Rounding.HALF_EVEN,
        packing=Packing.BLOCKED,
        vector_bytes=16,
        per_channel_weights=True,
        bias_bits=(32, 40),
        macs8=Macs(Accumulator(32, Overflow.SATURATE), Accumulator(40, Overflow.SATURATE, every=16)),
        macs16=Macs(Accumulator(64, Overflow.SATURATE), Accumulator(40, Overflow.SATURATE, every=8)),
        integer_attention=True,
        bitwise_logic=True,
        clock_mhz=clock_mhz,
        cores=2,
        platform="ESPDL",
        factor_bits=(16, 16),
    )


CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        _plain_c("c", 240, 2),
        _plain_c("esp32", 240, 2),
        _plain_c("esp32s2", 240, 1),
        _plain_c("esp32c2", 120, 1),
        _plain_c("esp32c3", 160, 1),
        _plain_c("esp32c5", 240, 1),
        _plain_c("esp32c6", 160, 1),
        _pie_v1("esp32s3", 240),
        _pie_v2("esp32p4", 360),
        _pie_v2("esp32s31", 320),
    )
}


LARGEST_MEMORY = 32 << 20
"""Bytes of the largest PSRAM that chips address: a file that asks for more is damaged and must not make this machine reserve them."""

DEFAULT_TARGET = "esp32p4"
"""The target of functions that are called without one."""


def get_chip(target: str | Chip) -> Chip:
    """The chip of that name (case does not matter). Raises :class:`EspdlError` with the list of names."""
    if isinstance(target, Chip):
        return target
    known = CHIPS.get(target.lower()) if isinstance(target, str) else None
    if known is None:
        raise EspdlError(f"there is no target {target!r}", hint="one of " + ", ".join(CHIPS))
    return known
