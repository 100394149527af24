"""How far every layer's result is from the float network, all errors before it included (quantizer spec 14)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from espdl.quantize.analysis.compared import Compared
from espdl.quantize.analysis.noise import Means, measure_of
from espdl.quantize.dataloader import Sample
from espdl.quantize.emitter import Stored
from espdl.quantize.float_run import FloatRun
from espdl.quantize.passes.tools import shape_of
from espdl.quantize.scale import Scale
from espdl.rounding import dequantize

STEPS = 8
FETCHES = 4096
"""Elements of a tensor that are compared."""


def graphwise(compared: Compared, method: str = "snr", steps: int | None = STEPS, fetches: int = FETCHES) -> dict[str, float]:
    """Mean error of the first output of every layer, by the layer's name, in running order.

    Both networks run once per sample. Of larger tensors ``fetches`` elements are compared, the same ones in every sample.

    Args:
        compared: file, network and samples.
        method: ``snr``, ``mse`` or ``cosine``; see :mod:`espdl.quantize.analysis.noise`.
        steps: number of samples; all when None.
        fetches: elements per tensor.
    """
    measure, means = measure_of(method), Means()
    names = {layer.name: layer.outputs[0] for layer in compared.layers}
    if not names:
        return {}
    picked = _Picked(compared, list(dict.fromkeys(names.values())), fetches)
    floating, alone = FloatRun(compared.network, picked.names, threads=1), Lock()

    def work(sample: Sample) -> dict[str, float]:
        with alone:  # all tensors of the float network are there only here, so that this is once only
            tensors = floating.run(sample)
            exact = {name: picked.real(tensors, name) for name in picked.names}
            del tensors
        raw = compared.integers(sample, picked.names)
        return {name: measure(picked.stored(raw, name), exact[name]) for name in picked.names}

    for errors in compared.each(work, steps, "Comparing layer by layer"):
        for layer, name in names.items():
            means.add(layer, errors[name])
    return means()


class _Picked:
    """The same elements of a tensor of the network and of the file."""

    def __init__(self, compared: Compared, names: list[str], fetches: int) -> None:
        self.names = names
        self._places = {name: compared.stored[name] for name in names}
        shapes = {value.name: shape_of(value) or () for node in compared.network.graph for value in node.outputs}
        self._real: dict[str, NDArray[np.intp]] = {}
        self._stored: dict[str, NDArray[np.intp]] = {}
        self._scales: dict[str, Scale] = {}
        for name in names:
            size = int(np.prod(shapes[name]))
            random = np.random.default_rng(zlib.crc32(name.encode()))
            chosen = np.sort(random.choice(size, fetches, replace=False)) if size > fetches else np.arange(size)
            place = self._places[name]
            self._real[name] = chosen
            if place.order:
                axes = np.unravel_index(chosen, shapes[name])
                chosen = np.ravel_multi_index([axes[axis] for axis in place.order], place.shape)
            self._stored[name] = chosen
            if place.scale is not None:
                channels = np.unravel_index(self._real[name], shapes[name])[1]
                self._scales[name] = Scale(place.scale.factors[channels], place.scale.offsets[channels])

    def real(self, tensors: Mapping[str, NDArray], name: str) -> NDArray:
        return tensors[name].reshape(-1)[self._real[name]]

    def stored(self, raw: Mapping[str, NDArray], name: str) -> NDArray:
        place: Stored = self._places[name]
        values = raw[name].reshape(-1)[self._stored[name]]
        reals = dequantize(values, place.format[1]) if place.format[0] else values
        return self._scales[name].undo(reals, axis=0).astype(np.float32) if name in self._scales else reals
