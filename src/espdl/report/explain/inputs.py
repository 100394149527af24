"""Why the inputs of two runs differ: order of axes or colours, scale, exponent, rounding, or simply other data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from espdl.report.explain.causes import Cause
from espdl.report.explain.dump import Value
from espdl.report.explain.layouts import rearrangement, scaling
from espdl.rounding import Rounding, quantize


def input_cause(mine: Value, theirs: Value, real: NDArray | None = None) -> Cause:
    """The cause of a difference between two inputs.

    Args:
        real: what the first one was quantized from, where it is known.
    """
    if mine.data.size != theirs.data.size or mine.dtype is not theirs.dtype:
        said = f"{theirs.dtype.name} {list(theirs.shape)} instead of {mine.dtype.name} {list(mine.shape)}"
        return Cause("input", f"the input is {said}", "both sides tell it")
    moved = rearrangement(mine.data, theirs.data)
    if moved:
        return Cause("layout", moved, f"then all {mine.data.size} numbers of the input are equal")
    integers = mine.data.dtype.kind == "i"
    if mine.exponent != theirs.exponent and integers:
        again = quantize(mine.real, theirs.exponent, theirs.data.dtype, Rounding.HALF_UP).reshape(theirs.data.shape)
        error = int(np.abs(again.astype(np.int64) - theirs.data.astype(np.int64)).max())
        step = 2 ** max(mine.exponent - theirs.exponent, 0)
        text = f"the exponent of the input is {theirs.exponent} instead of {mine.exponent}"
        if error <= step:
            return Cause("exponents", text, f"the real numbers are equal within {step}")
        return Cause("exponents + input", f"{text}, and the data differ", f"by {error} units after conversion", certain=False)
    if real is not None and integers and real.dtype.kind == "f" and real.shape == mine.data.shape:
        for rounding in Rounding:
            if np.array_equal(quantize(real, theirs.exponent, theirs.data.dtype, rounding), theirs.data):
                name = rounding.value.replace("_", " ")
                return Cause(
                    "rounding", f"real inputs are quantized {name}", f"then all {mine.data.size} numbers of the input are equal"
                )
    step = float(np.ldexp(1.0, theirs.exponent)) if integers else 1e-6 * max(float(np.abs(theirs.data).max()), 1e-30)
    ends = np.iinfo(theirs.data.dtype) if integers else np.finfo(np.float32)
    limits = float(np.ldexp(float(ends.min), theirs.exponent)), float(np.ldexp(float(ends.max), theirs.exponent))
    known = mine.real if real is None or real.shape != mine.data.shape else real.astype(np.float64)
    for text, source in _orders(known):
        if source.shape != theirs.data.shape and text:
            continue
        found = scaling(source, theirs.real, step, limits)
        if found is not None:
            factor, addend = found
            order = f", and {text}" if text else ""
            said = f"it is the first one times {factor:.3g} plus {addend:.2g}{order}: another scale or mean in preparing it"
            return Cause("input", said, "that holds for every element within the quantization step")
    off = np.abs(mine.real.reshape(-1) - theirs.real.reshape(-1))
    return Cause(
        "input",
        "the two were run on different data",
        f"elements differ by up to {off.max():g}, by {off.mean():.3g} in the mean",
        certain=False,
    )


def _orders(real: NDArray[np.float64]) -> list[tuple[str, NDArray[np.float64]]]:
    found = [("", real)]
    if real.ndim == 4 and real.shape[-1] == 3:
        found.append(("with its channels in reverse order (RGB and BGR)", real[..., ::-1]))
    if real.ndim == 4 and real.shape[1] == 3:
        found.append(("with its channels in reverse order (RGB and BGR)", real[:, ::-1]))
    return found


def differing_inputs(names: Mapping[str, object], mine: Mapping[str, Value], theirs: Mapping[str, Value]) -> list[str]:
    """Inputs that both sides have and that are not equal."""
    return [name for name in names if name in mine and name in theirs and not equal(mine[name], theirs[name])]


def equal(mine: Value, theirs: Value) -> bool:
    """Whether two tensors hold the same numbers; NaN equals NaN."""
    same = (mine.dtype, mine.exponent, mine.shape) == (theirs.dtype, theirs.exponent, theirs.shape)
    return same and np.array_equal(mine.data, theirs.data, equal_nan=mine.data.dtype.kind == "f")
