"""A file beside the float network that it was made from: what every analysis starts with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.dl.batch import default_threads
from espdl.dl.model import Model
from espdl.dl.module.base import Module
from espdl.dtypes import Arithmetic
from espdl.errors import EspdlError
from espdl.fbs import FbsModel
from espdl.fbs.loader import Source
from espdl.progress import track
from espdl.quantize.analysis.layers import Layer, find_layers
from espdl.quantize.analysis.matching import match
from espdl.quantize.dataloader import Sample
from espdl.quantize.emitter import Stored
from espdl.quantize.scale import Scales
from espdl.quantize.test_values import from_file, to_file

T = TypeVar("T")


class Compared:
    """A file, the float network, and samples.

    Args:
        source: the file.
        network: prepared as the file's was (:func:`espdl.quantize.pipeline.prepare`).
        samples: real inputs in ONNX order; gone through once for every analysis, and looked at before where ``stored`` is None.
        target: chip; None takes it from the file.
        stored: where the network's tensors are in the file; found out when None.
        scales: what the file's tensors hold of the network's, to find that out.
        arithmetic: of the integer runs.

    Attributes:
        model: the file, loaded.
        stored: where the network's tensors are.

    Raises:
        EspdlError: when there are no samples, and when the file is not one of this network.
    """

    def __init__(
        self,
        source: Source | FbsModel,
        network: ir.Model,
        samples: Iterable[Sample],
        *,
        target: str | Chip | None = None,
        stored: Mapping[str, Stored] | None = None,
        scales: Scales | None = None,
        arithmetic: Arithmetic = Arithmetic.SILICON,
    ) -> None:
        self.network = network
        self.samples = samples
        self.model = Model(source, target=target, arithmetic=arithmetic)
        self.stored = dict(stored) if stored is not None else match(self.model, network, self._first(), scales)

    def _first(self) -> Sample:
        first = next(iter(self.samples), None)
        if first is None:
            raise EspdlError("there are no samples to analyse with", hint="give at least one")
        return first

    @property
    def inputs(self) -> list[str]:
        """Names of the network's inputs."""
        return [value.name or "" for value in self.network.graph.inputs]

    @property
    def outputs(self) -> list[str]:
        """Names of the network's outputs."""
        return [value.name or "" for value in self.network.graph.outputs]

    @cached_property
    def layers(self) -> list[Layer]:
        """The quantized layers, in running order."""
        return find_layers(self.model, self.stored)

    def integers(self, model: Model, sample: Sample, names: Iterable[str]) -> dict[str, NDArray]:
        """Raw tensors of the file for one sample, by their names in the network. Each sample starts from a fresh state."""
        model.reset()
        inputs = {self.stored[name].name: to_file(sample[name], self.stored[name], model.chip) for name in self.inputs}
        wanted = {name: self.stored[name].name for name in names}
        raw = model.run_arrays(inputs, set(wanted.values()))
        return {name: raw[place] for name, place in wanted.items()}

    def reals(self, model: Model, sample: Sample, names: Iterable[str]) -> dict[str, NDArray]:
        """The same as real tensors in the order of the network."""
        return {name: from_file(raw, self.stored[name]) for name, raw in self.integers(model, sample, names).items()}

    def each(self, work: Callable[[Model, Sample], T], steps: int | None, text: str) -> Iterator[T]:
        """``work`` on the first ``steps`` samples, or all, several at a time, each with a model of its own; results in order.

        Memory does not grow with the number of samples: no more are read than are worked on.
        """
        team = 1 if any(type(module).reset is not Module.reset for module in self.model.modules) else default_threads()
        chosen = islice(iter(self.samples), steps)
        models: SimpleQueue[Model] = SimpleQueue()
        for model in (self.model, *self.model.workers(team - 1)):
            models.put(model)

        def one(sample: Sample) -> T:
            model = models.get()
            try:
                return work(model, sample)
            finally:
                models.put(model)

        def results() -> Iterator[T]:
            with ThreadPoolExecutor(team) as pool:
                waiting = deque(pool.submit(one, sample) for sample in islice(chosen, team))
                while waiting:
                    yield waiting.popleft().result()
                    waiting.extend(pool.submit(one, sample) for sample in islice(chosen, 1))

        yield from track(results(), text, steps)
