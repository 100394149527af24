"""Functions of one value, which chips look up in tables."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from espdl.dl.module.contract import NodeFacts
from espdl.quantize.train.operators.table import Function, operator

INFINITE = float("inf")

PLAIN: dict[str, Function] = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sqrt": torch.sqrt,
    "Erf": torch.erf,
    "Neg": torch.neg,
    "HardSwish": F.hardswish,
    "Identity": lambda x: x,
}
"""Those without attributes."""


def _plain(op_type: str) -> Function:
    function = PLAIN[op_type]
    return lambda x, *rest: function(x)


@operator(*PLAIN)
def plain(facts: NodeFacts) -> Function:
    return _plain(facts.op_type)


@operator("Swish")
def swish(facts: NodeFacts) -> Function:
    alpha = float(facts.attributes.get("alpha", 1.0))
    return F.silu if alpha == 1.0 else lambda x: x * torch.sigmoid(alpha * x)


@operator("Gelu")
def gelu(facts: NodeFacts) -> Function:
    approximate = str(facts.attributes.get("approximate", "none"))
    return lambda x: F.gelu(x, approximate=approximate)


@operator("Elu")
def elu(facts: NodeFacts) -> Function:
    alpha = float(facts.attributes.get("alpha", 1.0))
    return lambda x: F.elu(x, alpha)


@operator("LeakyRelu")
def leaky_relu(facts: NodeFacts) -> Function:
    alpha = float(facts.attributes.get("alpha", 0.01))
    return lambda x: F.leaky_relu(x, alpha)


@operator("HardSigmoid")
def hard_sigmoid(facts: NodeFacts) -> Function:
    alpha, beta = float(facts.attributes.get("alpha", 0.2)), float(facts.attributes.get("beta", 0.5))
    return lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)


@operator("PRelu")
def prelu(facts: NodeFacts) -> Function:
    def run(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) - slope * torch.relu(-x)

    return run


@operator("Clip")
def clip(facts: NodeFacts) -> Function:
    def run(x: torch.Tensor, low: torch.Tensor | None = None, high: torch.Tensor | None = None) -> torch.Tensor:
        if x.device.type == "cpu" and not _learns(low) and not _learns(high):
            # Numbers instead of tensors: one pass over x, and one over its gradient.
            return F.hardtanh(x, -INFINITE if low is None else float(low), INFINITE if high is None else float(high))
        if low is None and high is None:
            return x
        return torch.clamp(x, None if low is None else low.reshape(()), None if high is None else high.reshape(()))

    return run


def _learns(bound: torch.Tensor | None) -> bool:
    return bound is not None and bound.requires_grad
