"""What an oracle gets and gives: arrays of Python numbers, and the facts of a chip that change results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

Position = tuple[int, ...]


def positions(shape: Sequence[int]) -> Iterator[Position]:
    """All positions of a shape, the last axis fastest."""
    return itertools.product(*(range(length) for length in shape))


@dataclass(frozen=True)
class Array:
    """A tensor of Python numbers.

    Attributes:
        values: flat, the last axis fastest.
        exponent: of the whole tensor, or a list with one per output channel.
    """

    shape: Position
    values: Sequence[Any]
    dtype: str = "int8"
    exponent: int | list[int] = 0

    @property
    def size(self) -> int:
        return prod(self.shape)

    def flat_index(self, at: Sequence[int]) -> int:
        index = 0
        for place, length in zip(at, self.shape, strict=True):
            assert 0 <= place < length, f"position {tuple(at)} of a tensor of shape {self.shape}"
            index = index * length + place
        return index

    def __getitem__(self, at: Sequence[int]) -> Any:
        """The element at a position, one index per axis, none negative."""
        return self.values[self.flat_index(at)]

    @classmethod
    def build(cls, shape: Sequence[int], element: Callable[[Position], Any], dtype: str = "int8") -> Array:
        """``element(position)`` everywhere."""
        return cls(tuple(shape), [element(at) for at in positions(shape)], dtype)

    def map(self, function: Callable[[Any], Any]) -> Array:
        """``function`` of every element."""
        return Array(self.shape, [function(value) for value in self.values], self.dtype)

    def reshaped(self, shape: Sequence[int]) -> Array:
        assert prod(shape) == self.size
        return Array(tuple(shape), self.values, self.dtype, self.exponent)


@dataclass(frozen=True)
class Facts:
    """Where the case runs.

    Attributes:
        target: name of the chip.
        rounding: ``half_up`` or ``half_even``.
        silicon: whether the vector unit computes (lane widths, saturation); else the C code with wide accumulators.
        vector_bytes: of the vector unit, 0 without one.
    """

    target: str
    rounding: str
    silicon: bool
    vector_bytes: int

    def lanes(self, itemsize: int) -> int:
        return self.vector_bytes // itemsize or 1


FACTS = {"c": ("half_up", 0), "esp32s3": ("half_up", 16), "esp32p4": ("half_even", 16)}
"""Rounding and vector bytes of the chips that stand for all (runtime spec 0)."""


def facts(target: str, arithmetic: str) -> Facts:
    rounding, vector_bytes = FACTS[target]
    return Facts(target, rounding, arithmetic == "silicon", vector_bytes)


@dataclass(frozen=True)
class Result:
    """What an output of a node is to hold: type and exponent (0 for floats)."""

    dtype: str
    exponent: int


@dataclass
class Node:
    """One operator of a case.

    Attributes:
        op_type: of the node.
        inputs: in node order, constants included; None for an omitted one. Filters are in logical order, with the shape of the file
            ([KH, KW, C, N]); the byte order of the chip is none of the oracle's business.
        outputs: in node order; None for an omitted one.
        lut: values of the attached table, if any.
        state: empty at the first run; what an operator keeps from run to run.
        options: how the model runs, by argument of ``Model`` (``int16_lut``).
    """

    op_type: str
    inputs: list[Array | None]
    attributes: dict[str, Any]
    outputs: list[Result | None]
    facts: Facts
    lut: Array | None = None
    state: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def x(self, index: int = 0) -> Array:
        """An input that is there."""
        array = self.inputs[index]
        assert array is not None, f"input {index} of {self.op_type} is omitted"
        return array

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def y(self, index: int = 0) -> Result:
        """An output that is there."""
        result = self.outputs[index]
        assert result is not None, f"output {index} of {self.op_type} is omitted"
        return result

    @property
    def rounding(self) -> str:
        return self.facts.rounding


Oracle = Callable[[Node], Any]
ORACLES: dict[str, Oracle] = {}
"""What gives the expected :class:`Array` of a node, or a list of them (None for an omitted output), by table name."""


def oracle(*names: str) -> Callable[[Oracle], Oracle]:
    """Registers a function for the tables of those names."""

    def register(function: Oracle) -> Oracle:
        for name in names:
            assert name not in ORACLES, f"two oracles for {name}"
            ORACLES[name] = function
        return function

    return register
