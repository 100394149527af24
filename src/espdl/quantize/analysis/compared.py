"""A file beside the float network that it was made from: what every analysis starts with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.dl.batch import default_threads
from espdl.dl.model import Model
from espdl.dtypes import Arithmetic
from espdl.errors import EspdlError
from espdl.fbs import FbsModel
from espdl.fbs.loader import Source
from espdl.free_memory import give_back_memory
from espdl.progress import track
from espdl.quantize.analysis.layers import Layer, find_layers
from espdl.quantize.analysis.matching import match
from espdl.quantize.analysis.team import together
from espdl.quantize.dataloader import Sample
from espdl.quantize.emitter import Stored
from espdl.quantize.left_over import free_left_over
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
        self._turn = Lock()
        free_left_over(network)
        self._source: Source | FbsModel = source
        self._options: dict[str, Any] = {"target": target, "arithmetic": arithmetic}
        self._model: Model | None = None
        self.stored = dict(stored) if stored is not None else match(self.model, network, self._first(), scales)

    @property
    def model(self) -> Model:
        """The file, loaded."""
        if self._model is None:
            self._model = Model(self._source, **self._options)
            self._source = self._model.fbs_model
            give_back_memory()  # of the weights on their way to the kernels
        return self._model

    def unload(self) -> None:
        """Lets go of what :attr:`model` takes, until it is needed again."""
        self._model = None
        give_back_memory()

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

    def integers(self, sample: Sample, names: Iterable[str]) -> dict[str, NDArray]:
        """Raw tensors of the file for one sample, by their names in the network. Each sample starts from a fresh state."""
        wanted = {name: self.stored[name].name for name in names}
        with self._turn:
            inputs = {self.stored[name].name: to_file(sample[name], self.stored[name], self.model.chip) for name in self.inputs}
            self.model.reset()
            raw = self.model.run_arrays(inputs, set(wanted.values()))
        return {name: raw[place] for name, place in wanted.items()}

    def reals(self, sample: Sample, names: Iterable[str]) -> dict[str, NDArray]:
        """The same as real tensors in the order of the network."""
        return {name: from_file(raw, self.stored[name]) for name, raw in self.integers(sample, names).items()}

    def alone(self, given: Mapping[str, NDArray]) -> list[dict[str, NDArray]]:
        """Raw outputs of every layer run alone on raw inputs, all by their names in the network, as of :meth:`Layer.run_raw`."""
        with self._turn:
            return [layer.run_raw(self.model, self.stored, given) for layer in self.layers]

    def each(self, work: Callable[[Sample], T], steps: int | None, text: str) -> Iterator[T]:
        """``work`` on the first ``steps`` samples, or all, several at a time; results in order.

        Memory does not grow with the number of samples: no more are read than are worked on. They share the one model, whose run is
        the smallest part of the work; each run of it is alone.
        """
        yield from track(together(work, islice(iter(self.samples), steps), default_threads()), text, steps)
