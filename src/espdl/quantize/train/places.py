"""The scales of a quantized graph as tensors that can be trained, and the places where they are used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from espdl.chips import Chip
from espdl.quantize.graph import QuantGraph, QuantInfo
from espdl.quantize.train.fake_quant import Grid, exponents_of, fake_quantize, step_weight, weigh_gradient
from espdl.rounding import Rounding


@dataclass(eq=False)
class Scale:
    """The scale of a group of representations.

    Attributes:
        root: of the group.
        log2: its logarithm, float [] or [channels]; the scale used is ``2**round(log2)``.
        is_weighed: multiplies the gradients of ``log2`` at every place by :func:`espdl.quantize.train.fake_quant.step_weight`, as LSQ does.
    """

    root: QuantInfo
    log2: torch.Tensor
    is_weighed: bool = False
    _known: tuple[int, tuple[int, ...]] = field(default=(-1, ()), repr=False)

    @property
    def exponents(self) -> tuple[int, ...]:
        """One exponent, or one per channel. Read from the device once per change."""
        version = self.log2._version
        if self._known[0] != version:
            self._known = version, exponents_of(self.log2)
        return self._known[1]

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self.log2._version


@dataclass(eq=False)
class Place:
    """Where a tensor is rounded to the integers of a group: width, rounding and channel axis are those of the place."""

    scale: Scale
    grid: Grid

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        log2 = self.scale.log2
        if self.scale.is_weighed:
            log2 = weigh_gradient(log2, step_weight(x.numel() // log2.numel(), self.grid))
        return fake_quantize(x, log2, self.grid, self.scale.exponents)

    @property
    def versions(self) -> tuple[int, ...]:
        return (self.scale.version,)

    @property
    def is_trained(self) -> bool:
        return self.scale.log2.requires_grad

    def same_integers(self, other: Place) -> bool:
        """Whether what lies on the integers of ``other`` lies on these, too, whatever becomes of the scales."""
        return self.scale is other.scale and self.grid == other.grid


@dataclass(eq=False)
class BiasPlace:
    """Where a bias is rounded: its exponents are the sums of those of input and weight, and learn nothing by themselves."""

    source: Scale
    weight: Scale
    grid: Grid

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        (first,) = self.source.exponents
        exponents = [first + exponent for exponent in self.weight.exponents]
        log2 = torch.tensor(exponents, dtype=x.dtype, device=x.device)
        return fake_quantize(x, log2.reshape(()) if len(exponents) == 1 else log2, self.grid, exponents)

    @property
    def versions(self) -> tuple[int, ...]:
        return (self.source.version, self.weight.version)

    @property
    def is_trained(self) -> bool:
        return False


class Scales:
    """The scales of a graph, one per group.

    Args:
        graph: with exponents.
        device, dtype: of the tensors.
    """

    def __init__(self, graph: QuantGraph, device: torch.device, dtype: torch.dtype) -> None:
        self._chip: Chip = graph.chip
        self._device, self._dtype = device, dtype
        self._by_root: dict[int, Scale] = {}

    def __iter__(self) -> Iterator[Scale]:
        return iter(self._by_root.values())

    def of(self, info: QuantInfo) -> Scale:
        """The scale of the group of ``info``."""
        root = info.root
        if id(root) not in self._by_root:
            exponents = root.exponents
            log2 = torch.tensor(exponents, dtype=self._dtype, device=self._device)
            self._by_root[id(root)] = Scale(root, log2.reshape(()) if len(exponents) == 1 else log2)
        return self._by_root[id(root)]

    def place(self, info: QuantInfo) -> Place:
        """A place of a representation."""
        return Place(self.of(info), Grid(info.bits, self.rounding, info.axis or 0))

    @property
    def rounding(self) -> Rounding:
        """Of the chip."""
        return self._chip.rounding

    def write_back(self) -> None:
        """Gives the graph the exponents that the scales stand for."""
        for scale in self._by_root.values():
            scale.root.set_exponents(scale.exponents)
