"""``TargetPlatform``: a chip at a bit width, which is what a network or one of its operators is quantized for (quantizer spec 2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from espdl.chips import Chip, get_chip
from espdl.errors import EspdlError

_BITS = {"w8a8": (8, 8), "w8a16": (8, 16), "w16a16": (16, 16), "none": (0, 0)}
"""Widths of weights and activations by the name of a quantization type."""


@dataclass(frozen=True)
class TargetPlatform:
    """A chip and the width of its integers.

    Attributes:
        chip: its facts.
        weight_bits, activation_bits: 8 or 16; 0 stands for float.
        high_precision: 16-bit simulation in binary64.
    """

    chip: Chip
    weight_bits: int = 8
    activation_bits: int = 8
    high_precision: bool = False

    @property
    def is_float(self) -> bool:
        return self.activation_bits == 0

    @property
    def quant_type(self) -> str:
        """The name of the quantization type: ``w8a8`` and so on, ``none`` for float."""
        return next(name for name, bits in _BITS.items() if bits == (self.weight_bits, self.activation_bits))

    @property
    def name(self) -> str:
        """As in the ``.json`` file beside a model."""
        if self.is_float:
            return "FP32"
        if self.weight_bits != self.activation_bits:
            return f"{self.chip.platform}_W{self.weight_bits}A{self.activation_bits}"
        return f"{self.chip.platform}_{'H_PRE_' if self.high_precision else ''}INT{self.activation_bits}"


def get_target_platform(target: str | Chip, quant_type: str | int = "w8a8", debug: bool = False, **kwargs: Any) -> TargetPlatform:
    """The platform of a chip and a quantization type (quantizer spec 1.3).

    Args:
        target: chip name; case does not matter.
        quant_type: ``w8a8``, ``w8a16``, ``w16a16``, ``none`` (float); or 8 or 16.
        debug: high-precision simulation; 16 bits only.
        **kwargs: the older spellings ``num_of_bits=16``, ``float=True``, ``hi_precision=True``.

    Raises:
        EspdlError: for a chip or a width that does not exist.
    """
    if unknown := kwargs.keys() - {"num_of_bits", "float", "hi_precision"}:
        raise EspdlError(f"get_target_platform has no parameter {', '.join(sorted(unknown))}")
    chip = get_chip(target)
    if kwargs.get("float"):
        return TargetPlatform(chip, 0, 0)
    if quant_type == "w8a8" and "num_of_bits" in kwargs:
        quant_type = kwargs["num_of_bits"]
    text = quant_type.lower() if isinstance(quant_type, str) else f"w{quant_type}a{quant_type}"
    if text not in _BITS:
        raise EspdlError(f"there is no quantization type {quant_type!r}", hint="8, 16 or one of " + ", ".join(_BITS))
    weight_bits, activation_bits = _BITS[text]
    high_precision = bool(debug or kwargs.get("hi_precision"))
    if high_precision and (weight_bits, activation_bits) != (16, 16):
        raise EspdlError("high-precision simulation is for 16-bit weights and activations", hint="use quant_type='w16a16'")
    return TargetPlatform(chip, weight_bits, activation_bits, high_precision)
