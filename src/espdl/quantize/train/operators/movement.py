"""Operators that pick, move or repeat values."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from espdl.dl.module.contract import NodeFacts
from espdl.errors import EspdlError
from espdl.quantize.train.operators.linear import for_pad
from espdl.quantize.train.operators.table import Function, integers, operator, rank_of, with_batch


@operator("Reshape")
def reshape(facts: NodeFacts) -> Function:
    shape = facts.output_shapes[0]
    if shape is None:
        raise EspdlError("the result has no static shape")
    return lambda x, *rest: x.reshape(with_batch(shape, facts, x))


@operator("Flatten")
def flatten(facts: NodeFacts) -> Function:
    rank = rank_of(facts)
    axis = int(facts.attributes.get("axis", 1))
    axis = axis + rank if axis < 0 else axis

    def run(x: torch.Tensor) -> torch.Tensor:
        before = 1
        for size in x.shape[:axis]:
            before *= size
        return x.reshape(before, -1)

    return run


@operator("Squeeze", "Unsqueeze")
def squeeze(facts: NodeFacts) -> Function:
    shape = facts.output_shapes[0]
    if shape is None:
        raise EspdlError("the result has no static shape")
    return lambda x, *rest: x.reshape(with_batch(shape, facts, x))


@operator("Transpose")
def transpose(facts: NodeFacts) -> Function:
    order = facts.attributes.get("perm") or list(reversed(range(rank_of(facts))))
    return lambda x: x.permute(order)


@operator("Concat")
def concat(facts: NodeFacts) -> Function:
    axis = int(facts.attributes["axis"])

    def run(*tensors: torch.Tensor) -> torch.Tensor:
        batch = max(tensor.shape[0] for tensor in tensors)
        if axis % tensors[0].ndim and any(tensor.shape[0] != batch for tensor in tensors):
            tensors = tuple(t if t.shape[0] == batch else t.expand(batch, *t.shape[1:]) for t in tensors)
        return torch.cat(tensors, axis)

    return run


@operator("Split")
def split(facts: NodeFacts) -> Function:
    axis = int(facts.attributes.get("axis", 0))
    sizes = []
    for shape in facts.output_shapes:
        if shape is None:
            raise EspdlError("a result has no static shape")
        sizes.append(shape[axis])
    return lambda x, *rest: tuple(torch.split(x, sizes, axis))


@operator("Slice")
def slice_(facts: NodeFacts) -> Function:
    starts, ends = integers(facts, 1, "starts") or [], integers(facts, 2, "ends") or []
    axes = integers(facts, 3, "axes") or list(range(len(starts)))
    steps = integers(facts, 4) or [1] * len(starts)

    def run(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            found = range(x.shape[axis])[slice(start, end, step)] if step > 0 else _backwards(x.shape[axis], start, end, step)
            if step > 0:
                index: list[Any] = [slice(None)] * x.ndim
                index[axis] = slice(found.start, found.stop, step)
                x = x[tuple(index)]
            else:
                x = x.index_select(axis, torch.tensor(list(found), dtype=torch.long, device=x.device))
        return x

    return run


def _backwards(size: int, start: int, end: int, step: int) -> range:
    """Indices of a slice with a negative step; ends before the first entry are clamped to it, as in ONNX."""
    start = min(start + size if start < 0 else start, size - 1)
    end = -1 if end < -size else end + size if end < 0 else end
    return range(start, end, step)


@operator("Pad")
def pad(facts: NodeFacts) -> Function:
    rank = rank_of(facts)
    pads = integers(facts, 1, "pads") or []
    axes = integers(facts, 3) or list(range(rank))
    mode = str(facts.attributes.get("mode", "constant"))
    before, behind = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], behind[axis] = pads[place], pads[place + len(axes)]

    sides = for_pad(before, behind)
    is_zero = 2 in facts.constants and not facts.constants[2].any()

    def run(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        if mode == "constant":
            padded = F.pad(x, sides)
            value = rest[1] if len(rest) > 1 else None
            return padded if value is None or is_zero else padded + F.pad(torch.zeros_like(x), sides, value=1.0) * value
        for axis in range(rank):
            if before[axis] or behind[axis]:
                places = _mirrored(x.shape[axis], before[axis], behind[axis], mode)
                x = x.index_select(axis, torch.tensor(places, dtype=torch.long, device=x.device))
        return x

    return run


def _mirrored(size: int, before: int, behind: int, mode: str) -> list[int]:
    places = range(-before, size + behind)
    if mode == "edge":
        return [min(max(i, 0), size - 1) for i in places]
    if mode == "wrap":
        return [i % size for i in places]
    if mode != "reflect":
        raise EspdlError(f"Pad mode {mode!r}", hint="constant, reflect, edge or wrap")
    period = max(2 * (size - 1), 1)
    return [min(i % period, period - i % period) if size > 1 else 0 for i in places]


@operator("Gather")
def gather(facts: NodeFacts) -> Function:
    axis = int(facts.attributes.get("axis", 0))

    def run(x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        at = axis % x.ndim
        found = torch.where(indices < 0, indices + x.shape[at], indices).long()
        picked = x.index_select(at, found.reshape(-1))
        return picked.reshape(*x.shape[:at], *found.shape, *x.shape[at + 1 :])

    return run


@operator("ScatterND")
def scatter_nd(facts: NodeFacts) -> Function:
    reduction = str(facts.attributes.get("reduction", "none"))

    def run(x: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
        if reduction not in ("none", "add"):
            raise EspdlError(f"ScatterND with reduction {reduction!r} cannot be trained")
        places = tuple(indices.long().unbind(-1))
        return x.index_put(places, updates, accumulate=reduction == "add")

    return run


@operator("ReverseSequence")
def reverse_sequence(facts: NodeFacts) -> Function:
    batch, time = int(facts.attributes.get("batch_axis", 1)), int(facts.attributes.get("time_axis", 0))
    lengths = integers(facts, 1)
    if lengths is None:
        raise EspdlError("sequence_lens is not a constant")

    def run(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        moved = x.movedim((batch, time), (0, 1))
        places = torch.tensor(
            [[*range(length - 1, -1, -1), *range(length, moved.shape[1])] for length in lengths], device=x.device
        )
        rows = torch.arange(len(lengths), device=x.device)[:, None]
        return moved[rows, places].movedim((0, 1), (batch, time))

    return run


@operator("DepthToSpace")
def depth_to_space(facts: NodeFacts) -> Function:
    block, mode = int(facts.attributes["blocksize"]), str(facts.attributes.get("mode", "DCR"))

    def run(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        if mode == "CRD":
            parts = x.reshape(n, c // block**2, block, block, h, w).permute(0, 1, 4, 2, 5, 3)
        else:
            parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return parts.reshape(n, c // block**2, h * block, w * block)

    return run


@operator("SpaceToDepth")
def space_to_depth(facts: NodeFacts) -> Function:
    block, mode = int(facts.attributes["blocksize"]), str(facts.attributes.get("mode", "DCR"))

    def run(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // block, block, w // block, block)
        order = (0, 1, 3, 5, 2, 4) if mode == "CRD" else (0, 3, 5, 1, 2, 4)
        return parts.permute(order).reshape(n, c * block**2, h // block, w // block)

    return run
