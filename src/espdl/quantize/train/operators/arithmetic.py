"""Operators of two or more tensors that are broadcast against each other, comparisons and logic."""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch

from espdl.dl.module.contract import NodeFacts
from espdl.quantize.train.operators.table import Function, operator

BINARY: dict[str, Function] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
    "Pow": torch.pow,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Equal": torch.eq,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}


@operator(*BINARY)
def binary(facts: NodeFacts) -> Function:
    return BINARY[facts.op_type]


@operator("Max", "Min")
def extreme(facts: NodeFacts) -> Function:
    function = torch.maximum if facts.op_type == "Max" else torch.minimum
    return lambda *tensors: reduce(function, tensors)


@operator("Mod")
def mod(facts: NodeFacts) -> Function:
    return torch.fmod if facts.attributes.get("fmod", 0) else torch.remainder


@operator("Not")
def logical_not(facts: NodeFacts) -> Function:
    return torch.logical_not


def as_bool(tensor: torch.Tensor) -> Any:
    """Truth values of numbers."""
    return tensor if tensor.dtype == torch.bool else tensor != 0
