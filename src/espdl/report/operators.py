"""What every operator supports, collected from the operators themselves: their contracts, layouts, quantization and code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from espdl.chips import CHIPS
from espdl.dl.base import native_kernel_names
from espdl.dl.module import MODULE_TYPES, Align, Module
from espdl.dl.module.contract import Availability
from espdl.dtypes import QuantType
from espdl.errors import EspdlError
from espdl.report.kernel_use import kernels_of
from espdl.wording import nearest

TYPES = {"int8": QuantType.SYMM_8BIT, "int16": QuantType.SYMM_16BIT, "float32": QuantType.FLOAT32}
NARROW = "w8a16"

_ALIGNED = {
    Align.INPUT_TO_OUTPUT: "input 0 and the output have one exponent",
    Align.INPUTS_TO_OUTPUT: "all inputs and the output have one exponent",
    Align.INPUTS_TOGETHER: "all inputs have one exponent",
}


@dataclass(frozen=True)
class LimitText:
    """A condition on a node, and what to do about one that does not meet it."""

    text: str
    remedy: str


@dataclass(frozen=True)
class OperatorSupport:
    """One operator of the table.

    Attributes:
        name: op_type.
        does: in one sentence.
        dtypes: of int8, int16, float32, w8a16 (int8 weights beside int16 activations) those that the chips compute it in.
        ranks: of input 0; empty for any.
        layout: as :class:`espdl.dl.module.Layout` names it. layout_text: in words.
        chips: on which it runs. per_channel: on which it takes one weight exponent per output channel.
        firmware: what it takes beyond ESP-DL 3.3.9 as it is, in words; empty where nothing.
        kernels: what it asks a backend for; native_kernels: those of them that have a C++ form on this machine.
        limits: conditions on a node.
        quantization: how its exponents are found, and what else quantizing does with it, in words.
    """

    name: str
    does: str
    dtypes: tuple[str, ...]
    ranks: tuple[int, ...]
    layout: str
    layout_text: str
    chips: tuple[str, ...]
    firmware: str
    per_channel: tuple[str, ...]
    kernels: tuple[str, ...]
    native_kernels: tuple[str, ...]
    limits: tuple[LimitText, ...]
    quantization: tuple[str, ...]

    @property
    def rank_text(self) -> str:
        """``3, 4``; ``1-5``; ``any``."""
        first, last = (self.ranks[0], self.ranks[-1]) if self.ranks else (0, 0)
        if len(self.ranks) > 2 and self.ranks == tuple(range(first, last + 1)):
            return f"{first}-{last}"
        return ", ".join(map(str, self.ranks)) or "any"

    @property
    def kernel_text(self) -> str:
        """``native``, ``numpy``, or ``both`` where some of its kernels have no C++ form."""
        if not self.native_kernels:
            return "numpy"
        return "native" if self.native_kernels == self.kernels else "both"

    @property
    def chip_text(self) -> str:
        return "all" if set(self.chips) == set(CHIPS) else ", ".join(self.chips) or "none"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def supported_operators() -> list[OperatorSupport]:
    """Every registered operator, users' included, by name."""
    return [describe_operator(name, MODULE_TYPES[name]) for name in sorted(MODULE_TYPES, key=str.lower)]


def find_operator(name: str) -> OperatorSupport:
    """The operator of that name; case does not matter. Raises :class:`EspdlError` where there is none."""
    for known, module in MODULE_TYPES.items():
        if known.lower() == name.lower():
            return describe_operator(known, module)
    near = nearest(name, MODULE_TYPES)
    raise EspdlError(
        f"there is no operator {name!r}",
        why=f"the nearest is {near}" if near else "",
        hint="espdl ops lists all; networks may hold more, which are fused or decomposed: espdl check MODEL.onnx",
    )


def describe_operator(name: str, module: type[Module]) -> OperatorSupport:
    """What a class says of itself, for one of its op_types."""
    contract, layout = module.contract, module.layout.layout
    dtypes = [dtype for dtype, quant_type in TYPES.items() if quant_type in contract.quant_types]
    kernels = kernels_of(module)
    per_channel = module.quantization.weight_channel_axis is not None
    return OperatorSupport(
        name=name,
        does=_sentence(module),
        dtypes=(*dtypes, *([NARROW] if contract.narrow_weights else [])),
        ranks=contract.ranks,
        layout=layout.value.replace("_", " "),
        layout_text=layout.text,
        # an operator asks the chip how to compute, never whether to
        chips=() if contract.availability is Availability.ABSENT else tuple(CHIPS),
        firmware=contract.availability.value,
        per_channel=tuple(chip.name for chip in CHIPS.values() if per_channel and chip.per_channel_weights),
        kernels=tuple(sorted(kernels)),
        native_kernels=tuple(sorted(kernels & native_kernel_names())),
        limits=tuple(LimitText(limit.text, limit.remedy) for limit in contract.limits),
        quantization=tuple(_quantization(module)),
    )


def _sentence(module: type[Module]) -> str:
    """The first sentence of its docstring, without markup and references."""
    paragraph = " ".join((module.__doc__ or "").strip().split("\n\n")[0].split())
    plain = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", paragraph).replace("``", "")
    plain = re.sub(r" \((?:runtime |quantizer )?spec [^)]*\)", "", plain)
    return re.split(r"(?<=[^.]\.) (?=[A-Z])", plain)[0]


def _quantization(module: type[Module]) -> list[str]:
    rules = module.quantization
    said: Sequence[tuple[bool, str]] = (
        (rules.passive, "the output keeps the exponent of input 0"),
        (rules.align in _ALIGNED, _ALIGNED.get(rules.align, "")),
        (rules.multiplies or rules.computing, "the exponent of the output is at least the sum of those of its two factors"),
        (rules.table, "at 8 bits a table of 256 entries"),
        (bool(rules.inputs_like_first), "constant inputs are given in the exponent of input 0"),
        (bool(rules.float_outputs), "its result is not quantized"),
        (rules.prefers_float, "runs in float unless a width is asked for"),
        (rules.largest_exponent is not None, f"in float where the exponent of an 8-bit input is above {rules.largest_exponent}"),
        (rules.states is not None, "hidden states share one exponent, biases and cell states are int16 at gate_exponent"),
    )
    return [text for holds, text in said if holds]
