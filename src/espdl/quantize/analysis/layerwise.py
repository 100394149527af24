"""What every layer's quantization alone does to the results of the network (quantizer spec 14)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from numpy.typing import NDArray

from espdl.dl.batch import default_threads
from espdl.errors import EspdlError
from espdl.free_memory import give_back_memory
from espdl.progress import track
from espdl.quantize.analysis.compared import Compared
from espdl.quantize.analysis.graphwise import STEPS
from espdl.quantize.analysis.layers import Layer
from espdl.quantize.analysis.noise import Means, Measure, measure_of
from espdl.quantize.analysis.rows import Disturbances, run_together
from espdl.quantize.analysis.team import together
from espdl.quantize.dataloader import Sample
from espdl.quantize.float_run import FloatRun
from espdl.quantize.shelf import Shelf
from espdl.quantize.test_values import from_file, to_file
from espdl.wording import nearest

ON_DISK = 1 << 29
"""Bytes in a temporary file from which on no more samples are put there before its samples are done."""

Tensors = dict[str, NDArray]


def layerwise(
    compared: Compared, method: str = "snr", steps: int | None = STEPS, outputs: Iterable[str] | None = None
) -> dict[str, float]:
    """Mean error of the network's outputs when one layer alone is quantized, by the layer's name, in running order.

    The layer runs as in the file, on the float network's own tensors; the float network goes on with its result. Nothing before a layer
    is computed again, and several layers are done in one run (:class:`~espdl.quantize.analysis.rows.Disturbances`).

    Args:
        compared: file, network and samples.
        method: ``snr``, ``mse`` or ``cosine``; see :mod:`espdl.quantize.analysis.noise`.
        steps: number of samples; all when None.
        outputs: tensors of the network to look at; its outputs when None. Of several the mean is taken.

    Raises:
        EspdlError: for an output that the network does not have.
    """
    measure, means = measure_of(method), Means()
    names = list(outputs) if outputs else compared.outputs
    known = [value.name or "" for node in compared.network.graph for value in node.outputs]
    for name in names:
        if name not in known:
            raise EspdlError(f"the network has no tensor {name!r}", where="outputs", hint=nearest(name, known))
    if not compared.layers:
        return {}
    by_layer = _ByLayer(compared, names, measure)
    total = None if steps is None else steps * by_layer.passes
    for errors in track(by_layer.errors(islice(iter(compared.samples), steps)), "Quantizing one layer at a time", total):
        for layer, values in errors.items():
            for value in values:
                means.add(layer, value)
    return means()


class _ByLayer:
    """Goes through samples once for the layers' own results, which wait in a temporary file, and then through these once for every few
    layers, so that only what lies behind those is in memory.

    Attributes:
        passes: how often each sample is worked on.
    """

    def __init__(self, compared: Compared, names: list[str], measure: Measure) -> None:
        self._compared = compared
        self._names = names
        self._measure = measure
        places = run_together(compared.network, [layer.outputs for layer in compared.layers])
        self._groups = [compared.layers[place.start : place.stop] for place in places]
        self._parts = [Disturbances(compared.network, [layer.outputs for layer in group], names) for group in self._groups]
        self.passes = 1 + len(self._parts)

    def errors(self, samples: Iterator[Sample]) -> Iterator[dict[str, list[float]]]:
        """After each pass over each sample what is known then: by layer, the error of each output."""
        exhausted = False
        while not exhausted:
            with Shelf(self.passes) as shelf:
                for _ in self._fill(shelf, samples):
                    yield {}
                exhausted = shelf.size < ON_DISK
                for index, group in enumerate(self._groups):
                    give_back_memory()  # of the float network, and of the group before
                    if shelf.count(index):
                        yield from self._behind(shelf, index, group)

    def _fill(self, shelf: Shelf, samples: Iterator[Sample]) -> Iterator[None]:
        """Puts onto a pile for each group of layers what they make of the float network's tensors, and what runs behind them need; onto
        the last pile the results of the float network."""
        compared = self._compared
        inputs = {name for layer in compared.layers for name, _ in layer.inputs}
        needs = dict.fromkeys([*inputs, *(name for part in self._parts for name in part.needs), *self._names])
        floating = FloatRun(compared.network, list(needs), threads=1)
        kept = [*dict.fromkeys(name for part in self._parts for name in part.needs), *self._names]

        def work(sample: Sample) -> tuple[Tensors, list[Tensors]]:
            tensors = floating.run(sample)
            given = {name: to_file(tensors[name], compared.stored[name], compared.model.chip) for name in inputs}
            exact = {name: tensors[name].copy() for name in kept}
            del tensors
            return exact, compared.alone(given)

        def until_full() -> Iterator[Sample]:
            while shelf.size < ON_DISK and (sample := next(samples, None)) is not None:
                yield sample

        for exact, results in map(work, until_full()):  # one at a time: only here are all tensors of the float network there
            waiting = iter(results)
            for index, (part, group) in enumerate(zip(self._parts, self._groups, strict=True)):
                shelf.put(index, ({name: exact[name] for name in part.needs}, list(islice(waiting, len(group)))))
            shelf.put(len(self._parts), {name: exact[name] for name in self._names})
            yield

    def _behind(self, shelf: Shelf, index: int, group: list[Layer]) -> Iterator[dict[str, list[float]]]:
        stored, disturbed = self._compared.stored, self._parts[index].start()

        def work(kept: tuple[tuple[Tensors, list[Tensors]], Tensors]) -> dict[str, list[float]]:
            (needs, results), exact = kept
            given = [{name: from_file(raw, stored[name]) for name, raw in result.items()} for result in results]
            found = disturbed.run(needs, given)
            return {
                layer.name: [self._measure(of_layer.get(name, exact[name]), exact[name]) for name in self._names]
                for layer, of_layer in zip(group, found, strict=True)
            }

        threads = 1 if self._parts[index].is_large else default_threads()
        yield from together(work, zip(shelf.take(index), shelf.take(len(self._parts)), strict=True), threads)
