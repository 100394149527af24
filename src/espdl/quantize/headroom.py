"""Makes exponents fit together: products are shifted right only, and biases fit the chip's width (runtime spec 1.5, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantize.assign import module_of
from espdl.quantize.graph import QuantGraph, QuantInfo, Role
from espdl.quantize.passes.tools import constant
from espdl.wording import at_node

ROUNDS = 64
LARGEST_SHIFT = 24
"""Beyond it a product is below 2**-24 of the last digit of the result: weights can be coarser at no loss, and sums stay small."""


def ensure_headroom(graph: QuantGraph) -> None:
    """Adjusts exponents until ``out - in - weight`` is at least 0 for every product and every bias fits.

    A weight that is small or zero against its range gives way first, otherwise the output takes a larger exponent. What is adjusted by
    more than the data demand is noted in ``graph.warnings``.

    Raises:
        EspdlError: when no exponents fit, which takes weights far above 1 in a loop of aligned tensors.
    """
    before = {id(info.root): (info.value, info.exponents) for info in graph.produced.values() if info.has_exponents}
    for _ in range(ROUNDS):
        changes = [_fit(graph, node) for node in graph.nodes()]
        if not any(changes):
            break
    else:
        node = next(node for node in graph.nodes() if _fit(graph, node))
        raise EspdlError(
            "no exponents fit its input, weights and output together",
            where=at_node(node.name, node.op_type),
            hint="run it in 16 bits: dispatching_table.append(name, get_target_platform(target, 16))",
        )
    roots = {id(info.root): info for info in graph.produced.values() if info.has_exponents}
    for key, (value, exponents) in before.items():
        if roots[key].exponents != exponents:
            graph.warnings.append(
                f"tensor {value!r} has exponent {roots[key].exponent} instead of {exponents[0]}: products are shifted right only"
            )


def unite_exponents(graph: QuantGraph, meeting: Iterable[Iterable[str]]) -> None:
    """Gives tensors that are added up, and were scaled for it, the largest of their exponents.

    Of different exponents, one would be rounded a second time, by a shift of one bit that chips which round half up
    make too large by a quarter of a step in the mean.
    """
    for names in meeting:
        found = [info for name in names if (info := graph.produced.get(name)) is not None and info.has_exponents]
        infos = [info for info in found if info.bits == 8]
        for info in infos:
            info.set_exponents((max(other.exponent for other in infos),))


def avoid_overflow(graph: QuantGraph) -> None:
    """Lets operators run in float whose 8-bit form overflows on the numbers that calibration met."""
    for node in graph.nodes():
        name, largest = node.name or "", module_of(node).quantization.largest_exponent
        info = graph.input_info(node, 0)
        if largest is not None and info is not None and info.bits == 8 and info.exponent > largest:
            graph.warnings.append(
                f"{node.op_type} {name!r} runs in float: of inputs with exponent {info.exponent} its 8-bit form overflows"
            )
            graph.bits[name], graph.platforms[name] = 0, "FP32"
            del graph.consumed[name, 0]


def _fit(graph: QuantGraph, node: ir.Node) -> bool:
    rules = module_of(node).quantization
    if not (rules.computing or rules.multiplies):
        return False
    source, other = graph.input_info(node, 0), graph.input_info(node, 1)
    result = graph.output_info(node.outputs[0]) if node.outputs else None
    if source is None or other is None or result is None:
        return False
    changed = False
    weight = constant(node.inputs[1])
    if other.role is Role.WEIGHT and weight is not None:
        changed |= _fit_weight(graph, node, weight, source, other, result)
    lowest = source.exponent + max(other.exponents)
    if result.exponent < lowest:
        result.set_exponents((lowest,))
        changed = True
    return changed


def _fit_weight(graph: QuantGraph, node: ir.Node, weight: NDArray, source: QuantInfo, info: QuantInfo, result: QuantInfo) -> bool:
    """Moves the exponents of a weight: down to a shift of 0 where it loses nothing, up until bias and largest shift fit."""
    room = result.exponent - source.exponent
    magnitudes = _magnitudes(weight, info)
    bias_info, bias = graph.input_info(node, 2), constant(node.inputs[2]) if len(node.inputs) > 2 else None
    floors = [room - LARGEST_SHIFT] * len(magnitudes)
    if bias_info is not None and bias is not None:
        highest = 2 ** (bias_info.bits - 1) - 1
        values = np.abs(bias.reshape(-1).astype(np.float64))
        values = np.broadcast_to(values, (len(magnitudes),)) if len(magnitudes) > 1 else values.max(initial=0.0, keepdims=True)
        floors = [max(floor, _exponent_for(float(b), highest) - source.exponent) for floor, b in zip(floors, values, strict=True)]
    largest = 2 ** (info.bits - 1) - 1
    moved = []
    for exponent, magnitude, floor in zip(info.exponents, magnitudes, floors, strict=True):
        if exponent > room and magnitude <= math.ldexp(largest, room):
            exponent = room
        moved.append(max(exponent, floor))
    if tuple(moved) == info.exponents:
        return False
    info.set_exponents(tuple(moved))
    return True


def _magnitudes(weight: NDArray, info: QuantInfo) -> list[float]:
    """The largest magnitude of each group of weights that has an exponent of its own."""
    if len(info.exponents) == 1:
        return [float(np.abs(weight).max(initial=0.0))]
    rows = np.moveaxis(weight, info.axis or 0, 0).reshape(len(info.exponents), -1)
    return [float(m) for m in np.abs(rows).max(axis=1, initial=0.0)]


def _exponent_for(value: float, highest: int) -> int:
    """The smallest exponent at which ``value`` rounds to at most ``highest``."""
    if value == 0:
        return -1000
    exponent = math.ceil(math.log2(value / highest))
    return exponent + 1 if math.ldexp(value, -exponent) > highest else exponent
