"""The arithmetic of one element: what its node read, the sum in the accumulator, the shift, the remainder, both roundings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Overflow
from espdl.dl.base import LaneRule, MacFilter, Window
from espdl.dl.base.lanes import lane_limits, saturating_sums, wrap
from espdl.dl.module.mac import MacModule
from espdl.dtypes import Arithmetic, DType
from espdl.report.explain.near_ties import unrounded
from espdl.report.explain.trial import Segment
from espdl.rounding import Rounding, shift_and_round

_SHOWN = 6
"""Products and inputs that are listed."""


def element_numbers(segment: Segment, values: Mapping[str, NDArray], index: Sequence[int]) -> dict[str, Any]:
    """The numbers of one element of the first output of the last node of a segment.

    Args:
        values: raw arrays of everything that the node reads, by name.
        index: of the element, in the layout of the file.

    Returns:
        For JSON: ``inputs`` and, as far as the operator has them, ``sum`` (exact, bias included), ``lanes`` (what accumulators make of
        it), ``shift``, ``quotient``, ``remainder``, ``half``, ``half_up``, ``half_even``, ``unrounded``.
    """
    operator, module, inputs, outputs = segment.nodes[-1]
    single = Segment(segment.model, segment.positions[-1:], values)
    target = outputs[0]
    if target is None:
        return {}
    if isinstance(module, MacModule) and target.dtype in (DType.INT8, DType.INT16):
        found = _of_sum(single, values, index)
        if found:
            return found
    names = segment.model.fbs_model.get_node(module.name).input
    facts: dict[str, Any] = {"inputs": {}}
    for name, tensor in zip(names, inputs, strict=False):
        if tensor is None or name not in values:
            continue
        array = values[name]
        place = tuple(min(at, extent - 1) for at, extent in zip(index, array.shape, strict=False))
        if array.shape == tuple(target.shape) or array.size == 1:
            raw = array[place] if array.shape == tuple(target.shape) else array.reshape(-1)[0]
            facts["inputs"][name] = {"at": list(place), "value": raw.item(), "exponent": int(tensor.exponent)}
    precise = unrounded(single, values)
    if precise is not None and tuple(index) and precise[0].shape == tuple(target.shape):
        facts["unrounded"] = float(precise[0][tuple(index)])
    shift = _requantize_shift(facts["inputs"], int(target.exponent)) if operator.module.op_type == "RequantizeLinear" else None
    if shift is not None:
        value = next(iter(facts["inputs"].values()))["value"]
        facts |= _divided(int(value), shift)
    return facts if facts["inputs"] or len(facts) > 1 else {}


def _requantize_shift(inputs: Mapping[str, Mapping[str, Any]], exponent: int) -> int | None:
    return next((exponent - int(entry["exponent"]) for entry in inputs.values()), None)


def _of_sum(segment: Segment, values: Mapping[str, NDArray], index: Sequence[int]) -> dict[str, Any]:
    operator, module, inputs, _ = segment.nodes[0]
    machine = replace(
        segment.model.machine, arithmetic=Arithmetic.SILICON
    )  # to see its lanes whatever the first side computed with
    _, filter, window = segment.bound(0, values, machine)
    source = inputs[0]
    if filter is None or source is None:
        return {}
    name = segment.model.fbs_model.get_node(operator.module.name).input[0]
    x = np.asarray(values.get(name, source.data))
    channel = int(index[-1])
    patch = _patch(filter, window, x, index, channel)
    weights = filter.weights[..., channel].astype(np.int64).reshape(-1)
    terms = patch * weights
    bias = 0 if filter.bias is None else int(filter.bias[channel])
    whole = module.parameters.get(2)
    stored = bias if whole is None else int(whole.data.reshape(-1)[channel])
    partial = stored + np.cumsum(np.concatenate([[0], terms]))
    exact = int(partial[-1])
    shift = int(filter.shift[channel if filter.shift.size > 1 else 0])
    order = np.argsort(-np.abs(terms), kind="stable")[:_SHOWN]
    facts: dict[str, Any] = {
        "inputs": {name: {"products": int(terms.size), "smallest": int(patch.min()), "largest": int(patch.max())}},
        "largest_products": [[int(patch[at]), int(weights[at])] for at in order],
        "bias": stored,
        "sum": exact,
        "partial_sums": [int(partial.min()), int(partial.max())],
        "lanes": {},
    }
    if stored != bias:
        facts["bias_in_lane"] = bias
    for rule in _accumulators(filter, channel):
        low, high = lane_limits(rule.accumulator)
        if rule.accumulator.every == 1 and rule.accumulator.overflow is Overflow.WRAP:
            kept = wrap(np.array([bias + int(terms.sum())], np.int64), rule.accumulator.bits)
            facts["lanes"] = {"bits": rule.accumulator.bits, "low": low, "high": high, "sum": int(kept[0])}
        elif rule.accumulator.every == 1:
            kept, _ = saturating_sums(terms[None], np.array([bias], np.int64), rule.accumulator)
            facts["lanes"] = {"bits": rule.accumulator.bits, "low": low, "high": high, "sum": int(kept[0])}
    facts |= _divided(exact, shift)
    return facts


def _accumulators(filter: MacFilter, channel: int) -> list[LaneRule]:
    return [rule for rule in filter.lanes if rule.start <= channel < rule.stop]


def _patch(filter: MacFilter, window: Window | None, x: NDArray, index: Sequence[int], channel: int) -> NDArray[np.int64]:
    """The inputs of one sum, in the order of the weights; zeros where the filter hangs over the border."""
    if window is None:
        rows = x.reshape(-1, filter.weights.shape[-2])
        extents = [*x.shape[:-1]]
        row = int(np.ravel_multi_index([*index[:-1]], extents)) if extents else 0
        return rows[row].astype(np.int64)
    image = x.reshape(-1 if x.ndim == 4 else 1, *x.shape[-2:])
    at = (int(index[1]), int(index[2])) if x.ndim == 4 else (0, int(index[1]))
    rows_ = at[0] * window.strides[0] - window.pads[0] + np.arange(filter.kernel[0]) * window.dilations[0]
    columns = at[1] * window.strides[1] - window.pads[2] + np.arange(filter.kernel[1]) * window.dilations[1]
    inside = ((rows_ >= 0) & (rows_ < image.shape[0]))[:, None] & ((columns >= 0) & (columns < image.shape[1]))[None, :]
    taken = image[np.clip(rows_, 0, image.shape[0] - 1)[:, None], np.clip(columns, 0, image.shape[1] - 1)[None, :]].astype(
        np.int64
    )
    taken[~inside] = 0
    return (taken[..., channel] if filter.depthwise else taken).reshape(-1)


def _divided(value: int, shift: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"shift": shift}
    if shift > 0:
        facts |= {"quotient": value >> shift, "remainder": value - ((value >> shift) << shift), "half": 1 << (shift - 1)}
    facts["half_up"] = int(shift_and_round([value], shift, Rounding.HALF_UP)[0])
    facts["half_even"] = int(shift_and_round([value], shift, Rounding.HALF_EVEN)[0])
    return facts
