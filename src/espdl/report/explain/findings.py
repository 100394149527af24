"""Judges the parts of an error beside the float network: which is more than rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.mac import MacModule
from espdl.dtypes import Arithmetic
from espdl.report.explain.causes import find_cause
from espdl.report.explain.dump import Value
from espdl.report.explain.noise import ROUNDING_POWER, Parts, power
from espdl.report.explain.sides import Side
from espdl.report.explain.trial import Change, Segment
from espdl.report.inspection import AXES, Layouts

CLEARLY = 4.0
"""Times the power of rounding from which an error is more than that."""

CLIPPED_INPUT = 0.01
UNUSED = 1 / 16
COARSE = 0.01
CONSTANT_STEPS = 1.0
"""Part of the inputs beyond their range; part of a range used; noise to signal from which rounding of an output alone is told;
what constants of operators without weights, such as the bounds of Clip, may do to an output, in steps."""

SEVERAL_ROUNDINGS = frozenset({"Attention", "GRU", "LSTM"})
MANY_STEPS = 4
"""Operators that round inside, and the steps by which that may move their results."""


@dataclass(frozen=True)
class Finding:
    """An error that is more than rounding.

    Attributes:
        node, op_type, position, tensor: where; an input of the network has no node.
        cause: ``clipping``, ``exponent-too-large``, ``weights``, ``function``, ``input``, ``layout`` or one of
            :data:`espdl.report.explain.CAUSES`. text, evidence: in words.
        index: of the worst element in the layout of the file. onnx_index: in that of ONNX, where it is another one.
        exact, got: its real values.
    """

    node: str
    op_type: str
    position: int
    tensor: str
    cause: str
    text: str
    evidence: str
    index: tuple[int, ...] | None = None
    onnx_index: tuple[int, ...] | None = None
    exact: float = 0.0
    got: float = 0.0


def find_in_input(name: str, real: NDArray[np.float64], dtype: np.dtype, exponent: int) -> list[Finding]:
    """Whether a sample fits the range that an input was quantized for."""
    limits = np.iinfo(dtype)
    low, high = float(np.ldexp(float(limits.min), exponent)), float(np.ldexp(float(limits.max), exponent))
    beyond = float(((real < low - 2.0**exponent) | (real > high + 2.0**exponent)).mean())
    largest = float(np.abs(real).max(initial=0.0))
    told = f"the sample has {real.min():.4g} .. {real.max():.4g}, the input holds {low:g} .. {high:.6g}"
    if beyond > CLIPPED_INPUT:
        text = "much of the sample lies beyond the range of the input: it is scaled otherwise than the calibration data"
        return [Finding("", "input", -1, name, "input", text, f"{told}; {beyond:.0%} of it is cut off")]
    if 0 < largest < high * UNUSED:
        text = "the sample uses a small part of the range of the input: it is scaled otherwise than the calibration data"
        return [Finding("", "input", -1, name, "input", text, told)]
    return []


def find_in_node(
    segment: Segment, position: int, tensor: str, parts: Parts, got: NDArray, known: Mapping[str, NDArray]
) -> Finding | None:
    """The part of a node's error that is more than rounding, the strongest if there are several; None where none is."""
    module = segment.nodes[0][1]
    expected = ROUNDING_POWER * CLEARLY
    weights = power(parts.weights) if parts.pure else 0.0
    allowed = max(expected, CLEARLY * parts.weight_power) if parts.weight_power is not None else max(expected, CONSTANT_STEPS**2)
    found: list[tuple[float, str, str, str, NDArray[np.float64]]] = []
    if power(parts.clipped) > expected / CLEARLY:
        cut = parts.clipped != 0
        text = f"{int(cut.sum())} of {cut.size} values leave the range of the output: its exponent is too small"
        evidence = f"the largest is {np.abs(parts.exact).max():.4g} steps, the output holds {np.iinfo(got.dtype).max}"
        found.append((power(parts.clipped), "clipping", text, evidence, parts.clipped))
    if weights > allowed:
        if isinstance(module, MacModule):
            cause, text = (
                "weights",
                "the weights or biases of the file are other than those of the network, by more than rounding",
            )
        else:
            cause, text = "function", f"{module.op_type} of the file computes something else than the network"
        limit = f"rounding would make {np.sqrt(allowed / CLEARLY):.2g}"
        found.append(
            (weights, cause, text, f"on float inputs the error is {np.sqrt(weights):.3g} steps (rms); {limit}", parts.weights)
        )
    if np.abs(parts.arithmetic).max(initial=0.0) > (MANY_STEPS if module.op_type in SEVERAL_ROUNDINGS else 1):
        cause, text, evidence = _arithmetic(segment, tensor, got, known, parts)
        found.append((power(parts.arithmetic), cause, text, evidence, parts.arithmetic))
    coarse = _coarse(parts, got)
    if not found and coarse:
        found.append((0.0, "exponent-too-large", *coarse, parts.got - parts.exact))
    if not found:
        return None
    _, cause, text, evidence, error = max(found, key=lambda entry: entry[0])
    flat = int(np.abs(error).argmax())
    index = tuple(int(at) for at in np.unravel_index(flat, error.shape))
    target = segment.nodes[0][3][0]
    assert target is not None
    step = 2.0 ** int(target.exponent)
    exact, given = float(parts.exact.reshape(-1)[flat] * step), float(parts.got.reshape(-1)[flat] * step)
    return Finding(
        module.name,
        module.op_type,
        position,
        tensor,
        cause,
        text,
        evidence,
        index,
        _onnx_index(segment, tensor, index),
        exact,
        given,
    )


def _coarse(parts: Parts, got: NDArray) -> tuple[str, str] | None:
    signal, largest = power(parts.exact), float(np.abs(parts.exact).max(initial=0.0))
    if not signal or ROUNDING_POWER / signal < COARSE or largest > np.iinfo(got.dtype).max / 4:
        return None
    text = "its exponent is too large: values use a small part of the output's range, so that rounding weighs much"
    decibels = 10 * np.log10(signal / ROUNDING_POWER)
    return text, f"the largest is {largest:.3g} steps of {np.iinfo(got.dtype).max}; rounding alone gives {decibels:.1f} dB"


def _arithmetic(segment: Segment, tensor: str, got: NDArray, known: Mapping[str, NDArray], parts: Parts) -> tuple[str, str, str]:
    """What rule of the chip makes the integers other than a float evaluation, rounded."""
    count = int((np.abs(parts.arithmetic) > 1).sum())
    seen = f"{count} of {got.size} results are more than 1 beside the rounded float evaluation"
    target = segment.nodes[0][3][0]
    assert target is not None
    reference = segment.evaluate(Change("reference", "", lambda machine: replace(machine, arithmetic=Arithmetic.REFERENCE)))
    if reference is not None and not np.array_equal(reference[tensor], got):
        exponent = int(target.exponent)
        mine, theirs = Value(tensor, target.dtype, got, exponent), Value(tensor, target.dtype, reference[tensor], exponent)
        cause, _ = find_cause(segment, mine, theirs, Side("", {}), Side("", {}))
        if cause.id != "unexplained":
            return (
                cause.id,
                cause.text.replace("first side", "chip").replace("second side", "C code"),
                f"{seen}; {cause.evidence}",
            )
    if "lut" in segment.nodes[0][1].attributes:
        return "lut-table", "the table of the file is not that of the function", seen
    return "unexplained", "the integer evaluation leaves the float one", seen


def _onnx_index(segment: Segment, tensor: str, index: tuple[int, ...]) -> tuple[int, ...] | None:
    if len(index) not in AXES or not Layouts(segment.model.fbs_model.record.graph).output_is_channels_last(tensor):
        return None
    order = AXES[len(index)][1]
    return tuple(index[order.index(axis)] for axis in range(len(index)))
