"""Softmax and the normalizations."""

from __future__ import annotations

from typing import Any

import torch

from espdl.dl.module.contract import NodeFacts
from espdl.quantize.train.operators.table import Function, operator, rank_of


@operator("Softmax", "LogSoftmax")
def softmax(facts: NodeFacts) -> Function:
    axis = int(facts.attributes.get("axis", -1))
    function = torch.softmax if facts.op_type == "Softmax" else torch.log_softmax
    return lambda x: function(x, axis)


@operator("LayerNormalization")
def layer_normalization(facts: NodeFacts) -> Function:
    axis, epsilon = int(facts.attributes.get("axis", -1)), float(facts.attributes.get("epsilon", 1e-5))
    axes = list(range(axis % rank_of(facts), rank_of(facts)))

    def run(x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        centred = x - x.mean(axes, keepdim=True)
        result = centred / torch.sqrt((centred * centred).mean(axes, keepdim=True) + epsilon) * scale
        return result if bias is None else result + bias

    return run


@operator("RMSNormalization")
def rms_normalization(facts: NodeFacts) -> Function:
    axis, epsilon = int(facts.attributes.get("axis", -1)), float(facts.attributes.get("epsilon", 1e-5))
    axes = list(range(axis % rank_of(facts), rank_of(facts)))
    return lambda x, scale, *rest: x / torch.sqrt((x * x).mean(axes, keepdim=True) + epsilon) * scale


@operator("LpNormalization")
def lp_normalization(facts: NodeFacts) -> Function:
    axis, power = int(facts.attributes.get("axis", -1)), int(facts.attributes.get("p", 2))

    def run(x: torch.Tensor, *rest: Any) -> torch.Tensor:
        norm = torch.sum(torch.abs(x), axis, keepdim=True) if power == 1 else torch.sqrt(torch.sum(x * x, axis, keepdim=True))
        return x / norm

    return run
