"""Widths that a user gives to single tensors of an operator (setting ``custom_tqc``, quantizer spec 2.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import onnx_ir as ir

from espdl.dl.module.base import MODULE_TYPES
from espdl.errors import EspdlError
from espdl.quantize.passes.tools import constant
from espdl.quantize.platform import TargetPlatform

WIDTHS = (8, 16)
_FORM = '{"output_0": {"bit_width": 16}}'


def custom_platform(node: ir.Node, platform: TargetPlatform, entries: Mapping[str, Mapping[str, Any]]) -> TargetPlatform:
    """The platform on which a node has the widths asked for.

    An operator of the chip reads and writes activations of one width, so the widest decides: ``{"output_0": {"bit_width": 16}}`` runs the
    node in 16 bits, and its neighbours are converted. Weights (``input_1`` of Conv, Gemm and MatMul) may have 8 bits where activations
    have 16.

    Args:
        node: of the prepared network.
        platform: what it would run on otherwise.
        entries: ``input_0``, ``output_0`` and so on to ``{"bit_width": 8 or 16}``.

    Raises:
        EspdlError: for a tensor that the node does not have, or whose width follows from others, and for widths that no chip combines.
    """
    if not isinstance(entries, Mapping):
        raise EspdlError(f"{entries!r} gives no tensor a width", hint=_FORM)
    named: dict[str, int] = {}
    weight_bits = None
    for slot, values in entries.items():
        bits, is_weight = _entry(node, slot, values)
        if is_weight:
            weight_bits = bits
        else:
            named[slot] = bits
    bits = platform.activation_bits
    if named:
        bits = max(named.values()) if set(named) >= _activations(node) else max(bits, *named.values())
    narrower = [slot for slot, given in named.items() if given != bits]
    if narrower:
        raise EspdlError(
            f"{narrower[0]} cannot have {named[narrower[0]]} bits where another activation of the node has {bits}",
            why="an operator of the chip reads and writes one width",
            hint="name all its activations, or none",
        )
    if weight_bits is None:
        weight_bits = min(platform.weight_bits or bits, bits)
        weight_bits = bits if platform.weight_bits == platform.activation_bits else weight_bits
    if weight_bits > bits:
        raise EspdlError(f"weights of {weight_bits} bits do not go with activations of {bits}", hint="name the activations, too")
    return replace(platform, weight_bits=weight_bits, activation_bits=bits, high_precision=False)


def _entry(node: ir.Node, slot: str, values: Mapping[str, Any]) -> tuple[int, bool]:
    """Width and whether it is that of a weight."""
    found = re.fullmatch(r"(input|output)_(\d+)", slot)
    if found is None:
        raise EspdlError(f"{slot!r} is no tensor of a node", hint=f"input_0, output_0 and so on: {_FORM}")
    direction, index = found[1], int(found[2])
    tensors = node.inputs if direction == "input" else node.outputs
    if index >= len(tensors) or tensors[index] is None:
        raise EspdlError(f"the node has no {slot}", why=f"it has {len(tensors)} {direction}s")
    if not isinstance(values, Mapping) or set(values) != {"bit_width"} or values["bit_width"] not in WIDTHS:
        raise EspdlError(f"{slot} is given {values!r}", hint=f"8 or 16 bits: {_FORM}")
    rules = MODULE_TYPES[node.op_type].quantization
    if direction == "input" and constant(tensors[index]) is not None:
        if rules.computing and index == 1:
            return int(values["bit_width"]), True
        raise EspdlError(f"the width of {slot} follows from the others", why="it is a constant", hint="leave it out")
    if index in (rules.float_inputs if direction == "input" else rules.float_outputs):
        raise EspdlError(f"{slot} is not quantized", hint="leave it out")
    return int(values["bit_width"]), False


def _activations(node: ir.Node) -> set[str]:
    """Every tensor of a node that may be given a width, weights apart."""
    rules = MODULE_TYPES[node.op_type].quantization
    inputs = {
        f"input_{i}"
        for i, value in enumerate(node.inputs)
        if value is not None and constant(value) is None and i not in rules.float_inputs
    }
    return inputs | {f"output_{i}" for i, value in enumerate(node.outputs) if value.name and i not in rules.float_outputs}
