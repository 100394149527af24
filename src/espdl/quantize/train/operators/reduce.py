"""Operators that reduce axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from espdl.dl.module.contract import NodeFacts
from espdl.quantize.train.operators.table import Function, integers, operator, rank_of

Reduction = Callable[[torch.Tensor, list[int], bool], torch.Tensor]


def _product(x: torch.Tensor, axes: list[int], keep: bool) -> torch.Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = torch.prod(x, axis, keepdim=keep)
    return x


REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": lambda x, axes, keep: torch.sum(x, axes, keepdim=keep),
    "ReduceMean": lambda x, axes, keep: torch.mean(x, axes, keepdim=keep),
    "ReduceMax": lambda x, axes, keep: torch.amax(x, axes, keepdim=keep),
    "ReduceMin": lambda x, axes, keep: torch.amin(x, axes, keepdim=keep),
    "ReduceProd": _product,
    "ReduceL1": lambda x, axes, keep: torch.sum(torch.abs(x), axes, keepdim=keep),
    "ReduceL2": lambda x, axes, keep: torch.sqrt(torch.sum(x * x, axes, keepdim=keep)),
    "ReduceSumSquare": lambda x, axes, keep: torch.sum(x * x, axes, keepdim=keep),
    "ReduceLogSum": lambda x, axes, keep: torch.log(torch.sum(x, axes, keepdim=keep)),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep),
}


@operator(*REDUCTIONS)
def reduction(facts: NodeFacts) -> Function:
    function, keep = REDUCTIONS[facts.op_type], bool(facts.attributes.get("keepdims", 1))
    axes = integers(facts, 1, "axes")
    if not axes:
        axes = [] if facts.attributes.get("noop_with_empty_axes", 0) else list(range(rank_of(facts)))
    found = axes

    def run(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        return function(x, found, keep) if found else x

    return run
