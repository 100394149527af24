"""How the integers of weights and activations lie on the grid that their type and exponent give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.fbs.records import Graph

BINS = 128


@dataclass(frozen=True)
class Histogram:
    """Integers of one tensor.

    Attributes:
        bits: of its type: 8 or 16.
        counts: int64 [:data:`BINS`], from the smallest integer of the type to the largest.
        low, high: the smallest and largest integer that occurs.
        at_ends: share of the values that are the smallest or largest integer of the type.
        zeros: share of those that are 0.
    """

    bits: int
    counts: NDArray[np.int64]
    low: int
    high: int
    at_ends: float
    zeros: float

    @property
    def unused_bits(self) -> float:
        """How many upper bits are empty: 0 where the grid is used to its ends; all of them where there are only zeros."""
        largest = max(self.high, -self.low - 1, 0)
        return self.bits - 1 - log2(largest + 1)


class _Tally:
    """Counts of one tensor over several runs."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.counts = np.zeros(BINS, np.int64)
        self.low, self.high, self.ends, self.zeros = 1 << 30, -(1 << 30), 0, 0

    def add(self, values: NDArray) -> None:
        half = 1 << (self.bits - 1)
        flat = values.reshape(-1)
        if self.bits == 8:
            exact = np.bincount(flat.view(np.uint8) ^ 0x80, minlength=256)
            self.counts += exact.reshape(BINS, 2).sum(axis=1)
            self.ends += int(exact[0] + exact[-1])
            self.zeros += int(exact[half])
        else:
            self.counts += np.bincount((flat.astype(np.int32) + half) >> (self.bits - 7), minlength=BINS)
            self.ends += int(np.count_nonzero((flat == -half) | (flat == half - 1)))
            self.zeros += int(np.count_nonzero(flat == 0))
        self.low, self.high = min(self.low, int(flat.min())), max(self.high, int(flat.max()))

    def finish(self) -> Histogram:
        total = max(int(self.counts.sum()), 1)
        return Histogram(self.bits, self.counts, self.low, self.high, self.ends / total, self.zeros / total)


def histogram(values: NDArray) -> Histogram | None:
    """Of one array; None where it holds no 8- or 16-bit integers."""
    if values.dtype.kind != "i" or values.itemsize > 2 or not values.size:
        return None
    tally = _Tally(values.itemsize * 8)
    tally.add(np.ascontiguousarray(values))
    return tally.finish()


def weight_histograms(graph: Graph) -> dict[str, Histogram]:
    """Of the integer parameters that nodes take as inputs, by name: tables and 32-bit biases have none."""
    read = {name for node in graph.node for name in node.input}
    found = {tensor.name: histogram(tensor.data) for tensor in graph.initializer if tensor.name in read}
    return {name: entry for name, entry in found.items() if entry is not None}


def activation_histograms(model: Model, samples: Iterable[Mapping[str, NDArray]]) -> dict[str, Histogram]:
    """Of every integer variable over all runs, by name; empty without samples. Each run starts from a fresh state."""
    tallies: dict[str, _Tally] = {}
    for sample in samples:
        model.reset()
        for name, array in model.run_arrays(sample, model.variable_names).items():
            if array.dtype.kind == "i" and array.itemsize <= 2 and array.size:
                tallies.setdefault(name, _Tally(array.itemsize * 8)).add(array)
    return {name: tally.finish() for name, tally in tallies.items()}
