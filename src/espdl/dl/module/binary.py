"""``Binary``: operators of two broadcast inputs (runtime spec 3.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from espdl.dl.base.steps import merged_shapes
from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import NUMBER_TYPES, common_dtype, given, input_shape
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Limit, NodeFacts
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase

MAX_MERGED_RANK = 4


def broadcast_shape(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """NumPy's broadcast shape of the two. Raises :class:`EspdlError`."""
    try:
        return list(np.broadcast_shapes(tuple(first), tuple(second)))
    except ValueError:
        raise EspdlError(f"shapes {list(first)} and {list(second)} do not broadcast", why="right-aligned, equal or 1") from None


def _merges(node: NodeFacts) -> bool:
    shapes = [shape for shape in node.input_shapes[:2] if shape is not None]
    return len(shapes) < 2 or len(merged_shapes(*shapes)[0]) <= MAX_MERGED_RANK


MERGED_RANK = Limit(
    "at most 4 axes remain when neighbouring axes of the same kind are merged",
    _merges,
    "expand one input, or reshape both so that fewer axes alternate between broadcast and not",
)


class Binary(Module, ABC):
    """An element-wise operator on two inputs with NumPy's broadcasting. A subclass says :meth:`integer_step` and :meth:`float_forward`."""

    contract: ClassVar[Contract] = Contract(INTEGER_AND_FLOAT, limits=(MERGED_RANK,))
    layout: ClassVar[LayoutRule] = LayoutRule(Layout.BROADCAST)
    types: ClassVar[tuple[DType, ...]] = NUMBER_TYPES

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        first, second = input_shape(input_shapes), input_shape(input_shapes, 1)
        merged, _ = merged_shapes(first, second)
        if len(merged) > MAX_MERGED_RANK:
            raise EspdlError(
                f"shapes {first} and {second} merge to {len(merged)} axes",
                why="the chip loops over 4",
                hint=MERGED_RANK.remedy,
            )
        try:
            return [broadcast_shape(first, second)]
        except EspdlError as error:
            raise EspdlError(error.what, why=error.why) from None

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        first, second, target = given(inputs, 0, "A"), given(inputs, 1, "B"), outputs[0]
        dtype = common_dtype(self, self._typed(first, second, target), self.types)
        if dtype is DType.FLOAT:
            return self.float_step(first, second, target)
        return self.integer_step(first, second, target, machine)

    def _typed(self, first: TensorBase, second: TensorBase, target: TensorBase) -> tuple[TensorBase, ...]:
        return first, second, target

    def float_step(self, first: TensorBase, second: TensorBase, target: TensorBase) -> Step:
        """The step of a float32 file."""

        def step() -> None:
            with np.errstate(all="ignore"):
                target.data[...] = self.float_forward(first.data, second.data)

        return step

    @abstractmethod
    def integer_step(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> Step:
        """The step for int8 and int16."""
