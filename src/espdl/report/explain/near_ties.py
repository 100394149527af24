"""Float-evaluated operators are defined up to the last places of binary32: a result near a tie may be rounded to either side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base import MacFilter, Window
from espdl.dl.base.patches import padded, patches
from espdl.dl.machine import Machine
from espdl.dl.module.base import Module
from espdl.dl.module.mac import MacModule
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.report.explain.trial import Segment
from espdl.rounding import dequantize
from espdl.tensor import TensorBase

FLOAT_EVALUATED = frozenset(
    (
        *("Sigmoid", "Tanh", "Swish", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Exp", "Log", "Sqrt", "Gelu", "Erf"),
        *("Div", "Pow", "Mod", "Mul", "AveragePool", "GlobalAveragePool", "Softmax", "LogSoftmax", "Resize", "GRU", "LSTM"),
        *("LayerNormalization", "LpNormalization", "RMSNormalization", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceProd"),
        *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceSum", "QuantizeLinear", "Attention"),
    )
)
"""Operators whose integer results go through binary32 (runtime spec 3.0.3)."""

FLOAT_TOLERANCE = 2e-5
"""Of the largest magnitude; between float32 results of different order of operations (runtime spec 4.3)."""

_PLACES = 2.0**-20


def is_float_evaluated(module: Module) -> bool:
    """Whether results of a node are defined up to the last place only."""
    return module.op_type in FLOAT_EVALUATED and "lut" not in module.attributes


def unrounded(segment: Segment, values: Mapping[str, NDArray]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """What the only node of a segment rounds to its integers, in units of the output, and how sure binary32 is of it.

    Returns:
        The values, and the largest error that sums and functions in binary32 may have, both in the shape of the output; None where the
        operator has no such form.
    """
    operator, module, inputs, outputs = segment.nodes[0]
    target = outputs[0]
    if target is None or target.dtype not in (DType.INT8, DType.INT16):
        return None
    if isinstance(module, MacModule):
        return _of_sums(segment, values)
    sources, _ = segment.tensors(operator, inputs, outputs, values, {})
    try:
        with np.errstate(all="ignore"):
            found = segment.fresh(module).float_forward(*(_real(tensor) for tensor in sources))
    except (EspdlError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError, AttributeError):
        return None
    result = np.asarray(found[0] if isinstance(found, tuple) else found, np.float64)
    if result.size != target.size:
        return None
    scaled = np.ldexp(result, -int(target.exponent)).reshape(target.data.shape)
    return scaled, np.abs(scaled) * _PLACES + _PLACES


def _real(tensor: TensorBase | None) -> NDArray | None:
    if tensor is None or tensor.dtype not in (DType.INT8, DType.INT16):
        return None if tensor is None else tensor.data
    return dequantize(tensor.data, int(tensor.exponent))


def _of_sums(segment: Segment, values: Mapping[str, NDArray]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    operator, _, inputs, outputs = segment.nodes[0]
    machine: Machine = segment.model.machine
    _, filter, window = segment.bound(0, values, machine)
    source, target = inputs[0], outputs[0]
    if filter is None or source is None or target is None:
        return None
    name = segment.model.fbs_model.get_node(operator.module.name).input[0]
    x = values.get(name, source.data)
    exact, spread = all_sums(filter, window, x, tuple(target.shape))
    scale = np.ldexp(1.0, -filter.shift.astype(np.int32))
    return exact * scale, spread * scale * _PLACES + _PLACES


def all_sums(
    filter: MacFilter, window: Window | None, x: NDArray, shape: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact sums with their bias, and sums of magnitudes, in the shape of the output."""
    bias = 0.0 if filter.bias is None else filter.bias.astype(np.float64)
    weights = filter.weights.astype(np.float64)
    if window is None:
        rows = x.reshape(-1, weights.shape[-2]).astype(np.float64)
        flat = weights.reshape(-1, weights.shape[-1])
        found, spread = rows @ flat, np.abs(rows) @ np.abs(flat)
    else:
        image = x.reshape(-1 if x.ndim == 4 else 1, *x.shape[-2:])
        extent = window.output_extent(image.shape[0], image.shape[1], filter.kernel)
        view = patches(padded(image, window, np.dtype(np.float64), extent[0] * extent[1]), window, filter.kernel, extent)
        form = "rcijn,ijn->rcn" if filter.depthwise else "rcijk,ijkn->rcn"
        found = np.einsum(form, view, weights, optimize=True)
        spread = np.einsum(form, np.abs(view), np.abs(weights), optimize=True)
    return (found + bias).reshape(shape), (spread + np.abs(bias)).reshape(shape)


def near_ties(scaled: NDArray[np.float64], unsure: NDArray[np.float64], differs: NDArray[np.bool_]) -> bool:
    """Whether every element that differs lies so near a tie that binary32 may round it to either side."""
    distance = np.abs(scaled - np.floor(scaled) - 0.5)[differs]
    return bool((distance <= unsure[differs]).all())
