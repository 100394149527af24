"""The error of one node beside the float network, taken apart: weights, rounded inputs, clipping, arithmetic, rounding of the output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.mac import MacModule
from espdl.dtypes import Arithmetic, DType
from espdl.errors import EspdlError
from espdl.report.explain.near_ties import all_sums
from espdl.report.explain.trial import Segment
from espdl.tensor import TensorBase

ROUNDING_POWER = 1 / 12
"""Of an error that is spread evenly over half a step to either side, in steps squared."""


@dataclass(frozen=True)
class Parts:
    """Errors of a node in steps of its output, each in the output's shape.

    Attributes:
        exact: the float network's values. got: what the file's node gives on the float network's inputs, quantized.
        weights: what quantized constants do to a float evaluation on float inputs; or that the node computes something else.
        inputs: what rounding the inputs adds. clipped: what the range of the output cuts off. arithmetic: what the integer run makes
            otherwise than a float evaluation, rounding of its result aside.
        pure: whether all inputs are known unquantized: else ``weights`` holds their rounding, too.
        weight_power: mean square that ``weights`` has from rounding alone, where that can be told.
    """

    exact: NDArray[np.float64]
    got: NDArray[np.float64]
    weights: NDArray[np.float64]
    inputs: NDArray[np.float64]
    clipped: NDArray[np.float64]
    arithmetic: NDArray[np.float64]
    weight_power: float | None
    pure: bool


def power(values: NDArray[np.float64]) -> float:
    """Mean square."""
    return float(np.square(values).mean()) if values.size else 0.0


def parts_of(
    segment: Segment, exact: NDArray[np.float64], got: NDArray, values: Mapping[str, NDArray], real: Mapping[str, NDArray]
) -> Parts | None:
    """Takes the error of the only node of a segment apart.

    Args:
        exact: its output in the float network, in the order of the file.
        got: raw output of the file's node on ``values``.
        values: raw inputs: the float network's tensors, quantized. real: the same tensors unquantized, as far as they are known.

    Returns:
        None where the output is float, or the operator has no float form here.
    """
    _, _, _, outputs = segment.nodes[0]
    target = outputs[0]
    if target is None or target.dtype not in (DType.INT8, DType.INT16):
        return None
    step = 2.0 ** int(target.exponent)
    limits = np.iinfo(target.dtype.numpy)
    on_float, on_rounded = _evaluated(segment, values, real), _evaluated(segment, values, {})
    if on_float is None or on_rounded is None or on_float.shape != got.shape or exact.shape != got.shape:
        return None
    wanted = exact / step
    kept = np.clip(on_rounded, limits.min, limits.max)
    return Parts(
        exact=wanted,
        got=got.astype(np.float64),
        weights=on_float - wanted,
        inputs=on_rounded - on_float,
        clipped=kept - on_rounded,
        arithmetic=got.astype(np.float64) - np.rint(kept),
        weight_power=_weight_power(segment, values, real),
        pure=all(name in real for name in values if name in segment.model.fbs_model.get_node(segment.modules[0].name).input),
    )


def _evaluated(segment: Segment, values: Mapping[str, NDArray], real: Mapping[str, NDArray]) -> NDArray[np.float64] | None:
    """The node in float, in steps of its output: on real inputs where they are known, else on dequantized ones."""
    operator, module, inputs, outputs = segment.nodes[0]
    target = outputs[0]
    assert target is not None
    names = segment.model.fbs_model.get_node(operator.module.name).input
    if isinstance(module, MacModule) and module.parameters.get(1) is not None:
        machine = replace(segment.model.machine, arithmetic=Arithmetic.REFERENCE)
        try:
            _, filter, window = segment.bound(0, values, machine)
        except EspdlError:
            return None
        source = inputs[0]
        if filter is None or source is None:
            return None
        x = real[names[0]] / 2.0 ** int(source.exponent) if names[0] in real else values[names[0]]
        sums = all_sums(filter, window, x, tuple(target.shape))[0] * np.ldexp(1.0, -filter.shift.astype(np.int32))
        return np.maximum(sums, 0) if filter.relu else sums
    sources, _ = segment.tensors(operator, inputs, outputs, values, {})
    arguments = [
        np.asarray(real[name], np.float32).reshape(tensor.shape) if tensor is not None and name in real else _dequantized(tensor)
        for name, tensor in zip((*names, *[""] * len(sources)), sources, strict=False)
    ]
    try:
        with np.errstate(all="ignore"):
            found = segment.fresh(module).float_forward(*arguments)
    except (EspdlError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError, AttributeError):
        return None
    result = np.asarray(found[0] if isinstance(found, tuple) else found, np.float64)
    if result.size != target.size or not np.isfinite(result).all():
        return None
    return np.ldexp(result, -int(target.exponent)).reshape(tuple(target.shape))


def _dequantized(tensor: TensorBase | None) -> NDArray | None:
    if tensor is None or tensor.dtype not in (DType.INT8, DType.INT16):
        return None if tensor is None else tensor.data
    exponents = tensor.exponent.data()
    return np.ldexp(tensor.data.astype(np.float32), exponents if len(exponents) > 1 else int(exponents[0]))


def _weight_power(segment: Segment, values: Mapping[str, NDArray], real: Mapping[str, NDArray]) -> float | None:
    """Mean square of the error that rounding the weights of a sum makes, in steps of its output."""
    operator, module, inputs, outputs = segment.nodes[0]
    source, target, weights = inputs[0], outputs[0], module.parameters.get(1)
    if not isinstance(module, MacModule) or source is None or target is None or weights is None:
        return None
    name = segment.model.fbs_model.get_node(operator.module.name).input[0]
    x = real[name] if name in real else np.ldexp(values[name].astype(np.float64), int(source.exponent))
    taps = weights.size // max(target.shape[-1], 1)
    step = np.ldexp(1.0, weights.exponent.data().astype(np.int32) - int(target.exponent))
    return float(taps * power(np.asarray(x, np.float64)) * power(np.asarray(step)) * ROUNDING_POWER)
