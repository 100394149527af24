"""AveragePool, MaxPool, GlobalAveragePool."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from espdl.dl.module.contract import NodeFacts
from espdl.quantize.train.operators.linear import for_pad, pads_of
from espdl.quantize.train.operators.table import Function, operator, rank_of


@operator("GlobalAveragePool")
def global_average(facts: NodeFacts) -> Function:
    axes = list(range(2, rank_of(facts)))
    return lambda x: x.mean(axes, keepdim=True)


@operator("GlobalMaxPool")
def global_max(facts: NodeFacts) -> Function:
    axes = list(range(2, rank_of(facts)))
    return lambda x: torch.amax(x, axes, keepdim=True)


@operator("AveragePool")
def average_pool(facts: NodeFacts) -> Function:
    spatial = rank_of(facts) - 2
    kernel = [int(size) for size in facts.attributes["kernel_shape"]]
    strides = [int(size) for size in facts.attributes.get("strides") or [1] * spatial]
    before, behind = pads_of(facts, spatial)
    counted = bool(facts.attributes.get("count_include_pad", 0))
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[spatial - 1]
    extra = for_pad(before, behind)

    def run(x: torch.Tensor) -> torch.Tensor:
        if not any(extra):
            return function(x, kernel, strides)
        sums = function(F.pad(x, extra), kernel, strides)
        if counted:
            return sums
        ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
        return sums / function(F.pad(ones, extra), kernel, strides)

    return run


@operator("MaxPool")
def max_pool(facts: NodeFacts) -> Function:
    spatial = rank_of(facts) - 2
    kernel = [int(size) for size in facts.attributes["kernel_shape"]]
    strides = [int(size) for size in facts.attributes.get("strides") or [1] * spatial]
    dilations = [int(size) for size in facts.attributes.get("dilations") or [1] * spatial]
    before, behind = pads_of(facts, spatial)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[spatial - 1]
    extra = for_pad(before, behind)

    def run(x: torch.Tensor) -> torch.Tensor:
        if any(extra):
            x = F.pad(x, extra, value=float("-inf"))
        return function(x, kernel, strides, 0, dilations)

    return run
