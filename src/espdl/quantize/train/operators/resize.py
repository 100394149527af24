"""Resize: nearest neighbour and linear."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from espdl.dl.module.contract import NodeFacts
from espdl.dl.module.resize_onnx import linear, nearest, positions
from espdl.errors import EspdlError
from espdl.quantize.train.operators.table import Function, operator


@operator("Resize")
def resize(facts: NodeFacts) -> Function:
    """Every axis by itself, at the places where the runtime reads, too."""
    source, target = facts.input_shapes[0], facts.output_shapes[0]
    if source is None or target is None:
        raise EspdlError("input or result has no static shape")
    mode = str(facts.attributes.get("mode", "nearest"))
    if mode not in ("nearest", "linear"):
        raise EspdlError(f"Resize mode {mode!r} cannot be trained", hint="nearest or linear")
    transform = str(facts.attributes.get("coordinate_transformation_mode", "half_pixel"))
    rounding = str(facts.attributes.get("nearest_mode", "round_prefer_floor"))
    scales = facts.constants.get(2)
    steps: list[tuple[int, Any]] = []
    for axis, (length, wanted) in enumerate(zip(source, target, strict=True)):
        if length == wanted:
            continue
        scale = np.float32(wanted / length) if scales is None or not scales.size else np.float32(scales[axis])
        at = positions(length, wanted, scale, transform)
        steps.append((axis, nearest(at, length, rounding) if mode == "nearest" else linear(at, length)))

    def run(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        for axis, where in steps:
            if mode == "nearest":
                x = x.index_select(axis, torch.as_tensor(where, device=x.device))
                continue
            shape = [1] * x.ndim
            shape[axis] = -1
            low, high, share = where.low, where.high, where.ratio
            part = torch.as_tensor(share, device=x.device, dtype=x.dtype).reshape(shape)
            first = x.index_select(axis, torch.as_tensor(low, device=x.device))
            second = x.index_select(axis, torch.as_tensor(high, device=x.device))
            x = first + (second - first) * part
        return x

    return run
