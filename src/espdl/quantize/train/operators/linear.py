"""Conv, ConvTranspose, Gemm, MatMul, InsertZeros."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from espdl.dl.module.contract import NodeFacts
from espdl.quantize.train.operators.table import Function, operator, rank_of


def _per_axis(facts: NodeFacts, name: str, spatial: int, default: int) -> list[int]:
    return [int(item) for item in facts.attributes.get(name) or [default] * spatial]


def pads_of(facts: NodeFacts, spatial: int) -> tuple[list[int], list[int]]:
    """Pads before and behind each spatial axis."""
    pads = _per_axis(facts, "pads", 2 * spatial, 0)
    return pads[:spatial], pads[spatial:]


def for_pad(before: list[int], behind: list[int]) -> list[int]:
    """Pads in the order of ``torch.nn.functional.pad``: the last axis first."""
    return [size for pair in reversed(list(zip(before, behind, strict=True))) for size in pair]


@operator("Conv")
def conv(facts: NodeFacts) -> Function:
    spatial = rank_of(facts) - 2
    function = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1]
    strides, dilations = _per_axis(facts, "strides", spatial, 1), _per_axis(facts, "dilations", spatial, 1)
    group = int(facts.attributes.get("group", 1))
    before, behind = pads_of(facts, spatial)
    common = before if before == behind else [0] * spatial
    extra = None if before == behind else for_pad(before, behind)

    def run(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if spatial == 2 and x.device.type == "cpu":
            # There its depthwise kernels take half the time; what follows keeps the order of numbers in memory.
            x = x.contiguous(memory_format=torch.channels_last)
        return function(x if extra is None else F.pad(x, extra), weight, bias, strides, common, dilations, group)

    return run


@operator("ConvTranspose")
def conv_transpose(facts: NodeFacts) -> Function:
    spatial = rank_of(facts) - 2
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[spatial - 1]
    strides, dilations = _per_axis(facts, "strides", spatial, 1), _per_axis(facts, "dilations", spatial, 1)
    group, further = int(facts.attributes.get("group", 1)), _per_axis(facts, "output_padding", spatial, 0)
    before, behind = pads_of(facts, spatial)

    def run(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if before == behind:
            return function(x, weight, bias, strides, before, further, group, dilations)
        whole = function(x, weight, bias, strides, 0, further, group, dilations)
        return F.pad(whole, for_pad([-size for size in before], [-size for size in behind]))

    return run


@operator("Gemm")
def gemm(facts: NodeFacts) -> Function:
    """Also the form whose input has any rank (``espdl.Gemm``): the weight multiplies the last axis."""
    turned, weight_turned = bool(facts.attributes.get("transA", 0)), bool(facts.attributes.get("transB", 0))
    alpha, beta = float(facts.attributes.get("alpha", 1.0)), float(facts.attributes.get("beta", 1.0))

    def run(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if turned:
            x = x.transpose(-1, -2)
        scaled = weight if alpha == 1.0 else weight * alpha
        shift = bias if bias is None or beta == 1.0 else bias * beta
        return F.linear(x, scaled if weight_turned else scaled.t(), shift)

    return run


@operator("MatMul")
def matmul(facts: NodeFacts) -> Function:
    def run(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        product = torch.matmul(a, b)
        return product if bias is None else product + bias

    return run


@operator("InsertZeros")
def insert_zeros(facts: NodeFacts) -> Function:
    """``stride - 1`` zeros between neighbours of each spatial axis and ``output_padding`` at its end."""
    spatial = rank_of(facts) - 2
    strides, further = _per_axis(facts, "stride", spatial, 1), _per_axis(facts, "output_padding", spatial, 0)

    def run(x: torch.Tensor) -> torch.Tensor:
        sizes = [(size - 1) * stride + 1 + more for size, stride, more in zip(x.shape[2:], strides, further, strict=True)]
        result = x.new_zeros((*x.shape[:2], *sizes))
        places = tuple(slice(0, (size - 1) * stride + 1, stride) for size, stride in zip(x.shape[2:], strides, strict=True))
        result[(slice(None), slice(None), *places)] = x
        return result

    return run
