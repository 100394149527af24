"""The table of operators: what makes the function of a node, by operator type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from espdl.dl.module.contract import NodeFacts
from espdl.errors import EspdlError

Function: TypeAlias = Callable[..., Any]
"""Takes one tensor per input, None for an omitted one; gives a tensor, or a tuple of them for several outputs."""

Maker: TypeAlias = Callable[[NodeFacts], Function]

OPERATORS: dict[str, Maker] = {}
"""By operator type: makes the function of a node, with its attributes read once. Batches may be larger than the network's."""


def operator(*op_types: str) -> Callable[[Maker], Maker]:
    """Enters a maker for these operators."""

    def enter(maker: Maker) -> Maker:
        OPERATORS.update(dict.fromkeys(op_types, maker))
        return maker

    return enter


def with_batch(shape: Sequence[int], facts: NodeFacts, x: torch.Tensor) -> list[int]:
    """A shape of the network, whose batch is 1, for as many samples as ``x`` holds."""
    sizes = list(shape)
    source = facts.input_shapes[0]
    if source and sizes and source[0] == sizes[0] == 1:
        sizes[0] = x.shape[0]
    return sizes


def integers(facts: NodeFacts, index: int, attribute: str = "") -> list[int] | None:
    """A constant input of integers, or the attribute that older networks have instead; None where neither is there."""
    if index in facts.constants:
        return [int(item) for item in facts.constants[index].reshape(-1)]
    found = facts.attributes.get(attribute)
    return None if found is None else [int(item) for item in (found if isinstance(found, list) else [found])]


def rank_of(facts: NodeFacts, index: int = 0) -> int:
    """Number of axes of an input."""
    shape = facts.input_shapes[index]
    if shape is None:
        raise EspdlError(f"input {index} has no static shape")
    return len(shape)
