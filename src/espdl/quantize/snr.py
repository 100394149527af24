"""How close the integer run of a file is to the float network, on real data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from espdl.dl.model import Model
from espdl.dtypes import Arithmetic
from espdl.progress import track
from espdl.quantize.dataloader import Sample
from espdl.quantize.float_run import FloatRun
from espdl.quantize.graph import QuantGraph
from espdl.quantize.lower import Lowered
from espdl.quantize.test_values import from_file, stored_name, to_file


class Snr:
    """Signal-to-noise ratio, added up over samples."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0

    def add(self, reference: NDArray, got: NDArray) -> None:
        """Takes in one tensor: real values of the same shape."""
        exact = reference.astype(np.float64)
        self.signal += float(np.sum(exact**2))
        self.noise += float(np.sum((exact - got) ** 2))

    @property
    def decibels(self) -> float:
        """``10 log10(sum ref**2 / sum err**2)``: infinite without noise, and minus infinite where noise has no signal."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


class IntegerRun:
    """Runs the bytes of a file on real inputs in ONNX order, and gives real outputs in ONNX order."""

    def __init__(self, data: bytes, graph: QuantGraph, lowered: Lowered, arithmetic: Arithmetic = Arithmetic.REFERENCE) -> None:
        self.model = Model(data, target=graph.chip, arithmetic=arithmetic)
        self._graph = graph
        self._lowered = lowered

    def run(self, sample: Sample, names: Iterable[str] | None = None) -> dict[str, NDArray]:
        """The network's outputs, or the tensors named, by their names in the network."""
        stored, network = self._lowered.stored, self._graph.model.graph
        fed = [value.name or "" for value in network.inputs]
        inputs = {name: to_file(sample[name], stored[name], self._graph.chip) for name in fed}
        wanted = list(names) if names is not None else [value.name or "" for value in network.outputs]
        raw = self.model.run_arrays(inputs, {stored_name(self._lowered, name) for name in wanted})
        return {name: from_file(raw[stored[name].name], stored[name]) for name in wanted}


def output_snr(
    data: bytes,
    graph: QuantGraph,
    lowered: Lowered,
    samples: Iterable[Sample],
    references: Iterable[Mapping[str, NDArray]] | None = None,
) -> dict[str, float]:
    """SNR in dB of every output of the network, over all samples.

    Args:
        data, graph, lowered: a quantized model; run in reference arithmetic.
        samples: real inputs in ONNX order.
        references: float outputs for each sample; computed by ONNX Runtime when None.
    """
    names = [value.name or "" for value in graph.model.graph.outputs]
    integer = IntegerRun(data, graph, lowered)
    floating = FloatRun(graph.original, names) if references is None else None
    known = iter(references or ())
    found = {name: Snr() for name in names}
    for sample in track(samples, "Comparing with float"):
        expected = floating.run(sample) if floating is not None else next(known)
        got = integer.run(sample)
        for name in names:
            found[name].add(expected[name], got[name])
    return {name: snr.decibels for name, snr in found.items()}
