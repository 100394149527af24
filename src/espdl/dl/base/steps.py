"""Steps that are more than a function: what the plan of a model may know of them, and the records that some are bound with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from espdl.dl.base.kernels import Step

Relation = Literal["equal", "greater", "greater_equal"]
"""A relation of two integers; the others are these with operands exchanged."""

ThenTable = Callable[[NDArray[np.int8], NDArray[np.int8]], "BoundStep"]
"""Given a table of 256 entries and another output: the step that looks its results up and writes them there."""


class BoundStep:
    """A step that knows what may be fused with it.

    Attributes:
        run: the work itself.
        table: of a step that is nothing but a look-up of int8 values: its 256 entries; None for every other step.
        source: the values that such a step looks up.
        then_table: how to make the same step with a table behind it; None where that cannot be.
    """

    __slots__ = ("run", "source", "table", "then_table")

    def __init__(
        self,
        run: Step,
        *,
        table: NDArray[np.int8] | None = None,
        source: NDArray[np.int8] | None = None,
        then_table: ThenTable | None = None,
    ) -> None:
        self.run = run
        self.table = table
        self.source = source
        self.then_table = then_table

    def __call__(self) -> None:
        self.run()


def _nothing() -> None:
    pass


NOTHING = BoundStep(_nothing)
"""The step of an operator whose output lies on its input, byte for byte."""


class InTurn:
    """Several steps one after the other; ``steps`` are not such sequences themselves."""

    __slots__ = ("steps",)

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = flattened(steps)

    def __call__(self) -> None:
        for step in self.steps:
            step()


def flattened(steps: Iterable[Step]) -> list[Step]:
    """The bare work of all steps in order: sequences and descriptions taken apart, what does nothing left out."""
    result: list[Step] = []
    for step in steps:
        if step is NOTHING:
            continue
        if isinstance(step, BoundStep):
            result += flattened([step.run])
        elif isinstance(step, InTurn):
            result += step.steps
        else:
            result.append(step)
    return result


@dataclass(frozen=True)
class Joined:
    """A list of steps as few calls.

    Attributes:
        pooled: run on as many threads as the backend has.
        alone: the same on the calling thread only.
        is_native: whether nothing of it is Python.
    """

    pooled: tuple[Step, ...]
    alone: tuple[Step, ...]
    is_native: bool = False


@dataclass(frozen=True)
class WindowAxis:
    """How a window moves along one spatial axis."""

    kernel: int
    stride: int
    before: int
    behind: int

    def outputs(self, length: int) -> int:
        """Positions of the window on an axis of that length."""
        return (length + self.before + self.behind - self.kernel) // self.stride + 1

    def taps(self, length: int) -> list[tuple[slice, slice]]:
        """For every position in the window: the outputs at which it lies inside the input, and the inputs it lies on."""
        count, result = self.outputs(length), []
        for position in range(self.kernel):
            offset = position - self.before
            first = max(0, -(offset // self.stride))
            last = min(count - 1, (length - 1 - offset) // self.stride)
            if first <= last:
                start = first * self.stride + offset
                result.append((slice(first, last + 1), slice(start, start + (last - first) * self.stride + 1, self.stride)))
        return result


def slide(
    x: NDArray[Any], axes: Sequence[WindowAxis], operation: np.ufunc, start: float, dtype: np.dtype | None = None
) -> NDArray[Any]:
    """Combines the taps of every window with ``operation``, one spatial axis after the other; a window without any gives ``start``.

    Args:
        x: [1, spatial axes, C].
        dtype: of the result; that of ``x`` by default.
    """
    result = x.astype(dtype or x.dtype, copy=False)
    for axis, window in reversed(list(enumerate(axes, start=1))):
        length = result.shape[axis]
        if window.kernel == length and window.outputs(length) == 1 and not window.before:
            result = operation.reduce(result, axis=axis, keepdims=True)
            continue
        shape = list(result.shape)
        shape[axis] = window.outputs(length)
        combined = np.full(shape, start, dtype=result.dtype)
        before = (slice(None),) * axis
        for outputs, inputs in window.taps(length):
            part = combined[(*before, outputs)]
            operation(part, result[(*before, inputs)], out=part)
        result = combined
    return result


@dataclass(frozen=True)
class Taps:
    """Which two source positions make each target position of an axis: ``(1 - ratio) * x[low] + ratio * x[high]``."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    ratio: NDArray[np.float32]


def interpolate(x: NDArray[Any], taps: Sequence[Taps]) -> NDArray[Any]:
    """Resizes the axes from 1 on, one :class:`Taps` each, the last one first as the chip does."""
    result = x
    for axis, at in reversed(list(enumerate(taps, start=1))):
        ratio = at.ratio.reshape(-1, *[1] * (result.ndim - axis - 1))
        result = np.take(result, at.low, axis) * (1 - ratio) + np.take(result, at.high, axis) * ratio
    return result


def merged_shapes(first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
    """Two broadcast shapes as the chip's loops see them: right-aligned, neighbouring axes merged.

    Two axes merge when on both the operands are equal, or when the same operand has 1 on both. At least one axis remains.
    """
    rank = max(len(first), len(second))
    pairs = list(zip([1] * (rank - len(first)) + list(first), [1] * (rank - len(second)) + list(second), strict=True))
    merged: list[tuple[int, int]] = []
    for a, b in pairs or [(1, 1)]:
        if merged:
            last_a, last_b = merged[-1]
            if (a == b and last_a == last_b) or (a == 1 and last_a == 1) or (b == 1 and last_b == 1):
                merged[-1] = (last_a * a, last_b * b)
                continue
        merged.append((a, b))
    return [a for a, _ in merged], [b for _, b in merged]
