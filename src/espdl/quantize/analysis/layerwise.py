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
from espdl.quantize.analysis.noise import Means, Measure, measure_of
from espdl.quantize.analysis.rows import Disturbances, run_together
from espdl.quantize.analysis.team import together
from espdl.quantize.dataloader import Sample
from espdl.quantize.float_run import FloatRun
from espdl.quantize.shelf import Shelf
from espdl.quantize.test_values import from_file, to_file
from espdl.wording import nearest

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
    """Goes through samples in three steps, each with nothing in memory but what it needs; what is between waits in a temporary file.

    The float network gives the inputs of all layers, the file turns them into the layers' own results, and then, a few layers at a
    time, the float network goes on behind them.

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
        self.passes = 2 + len(self._parts)

    def errors(self, samples: Iterator[Sample]) -> Iterator[dict[str, list[float]]]:
        """After each pass over each sample what is known then: by layer, the error of each output."""
        exhausted = False
        while not exhausted:
            with Shelf() as shelf:
                for _ in self._run_float(shelf, samples):
                    yield {}
                exhausted = not shelf.is_full
                for _ in self._run_layers(shelf):
                    yield {}
                self._compared.unload()
                for index in range(len(self._parts)):
                    yield from self._run_behind(shelf, index)
                    give_back_memory()

    def _run_float(self, shelf: Shelf, samples: Iterator[Sample]) -> Iterator[None]:
        """Until the file is full: the layers' inputs as the file has them, what runs behind the layers need, and the results."""
        compared, chip = self._compared, self._compared.model.chip
        inputs = list(dict.fromkeys(name for layer in compared.layers for name, _ in layer.inputs))
        needs = dict.fromkeys([*inputs, *(name for part in self._parts for name in part.needs), *self._names])
        floating = FloatRun(compared.network, list(needs))
        while not shelf.is_full and (sample := next(samples, None)) is not None:
            tensors = floating.run(sample)
            shelf.put("inputs", {name: to_file(tensors[name], compared.stored[name], chip) for name in inputs})
            for index, part in enumerate(self._parts):
                shelf.put(("needs", index), {name: tensors[name] for name in part.needs})
            shelf.put("results", {name: tensors[name] for name in self._names})
            del tensors
            yield

    def _run_layers(self, shelf: Shelf) -> Iterator[None]:
        for given in shelf.take("inputs"):
            found = iter(self._compared.alone(given))
            for index, group in enumerate(self._groups):
                shelf.put(("found", index), list(islice(found, len(group))))
            yield

    def _run_behind(self, shelf: Shelf, index: int) -> Iterator[dict[str, list[float]]]:
        stored, group, part = self._compared.stored, self._groups[index], self._parts[index]
        disturbed = part.start()

        def work(kept: tuple[Tensors, list[Tensors], Tensors]) -> dict[str, list[float]]:
            needs, found, exact = kept
            given = [{name: from_file(raw, stored[name]) for name, raw in tensors.items()} for tensors in found]
            results = disturbed.run(needs, given)
            return {
                layer.name: [self._measure(of_layer.get(name, exact[name]), exact[name]) for name in self._names]
                for layer, of_layer in zip(group, results, strict=True)
            }

        kept = zip(shelf.take(("needs", index)), shelf.take(("found", index)), shelf.take("results"), strict=True)
        yield from together(work, kept, 1 if part.is_large else default_threads())
