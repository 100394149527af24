"""Looks at the activations of the float network on real data and chooses their exponents (quantizer spec 6)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.free_memory import give_back_memory
from espdl.progress import track
from espdl.quantize.balance.moments import sensitivities
from espdl.quantize.dataloader import Sample
from espdl.quantize.float_run import PIECE, FloatRun, first_bad_node
from espdl.quantize.gates import GateReach
from espdl.quantize.graph import QuantGraph, QuantInfo, Role
from espdl.quantize.observers import Observer, View, create_observer
from espdl.quantize.parameters import to_integers, to_reals
from espdl.quantize.passes.tools import constant, shape_of, sole_consumer
from espdl.quantize.scale import Scales
from espdl.quantize.share import ACTIVATIONS
from espdl.quantize.survey import Survey
from espdl.quantize.tables import function, has_table
from espdl.wording import at_node


class Listener(Protocol):
    """Looks at tensors of the float network's runs, of which it is shown some at a time."""

    @property
    def names(self) -> list[str]: ...

    def observe(self, tensors: Mapping[str, NDArray]) -> None: ...


def calibrate(graph: QuantGraph, samples: Iterable[Sample], total: int | None = None, listeners: Sequence[Listener] = ()) -> int:
    """Sets the exponents of every group of activations.

    One pass over the data, in memory that does not depend on their number.

    Args:
        graph: with shared and aligned representations; weights have exponents.
        samples: one array of the network's shape per input, by name.
        total: their number, for the progress bar.
        listeners: see the same runs. The float network then has its own weights: what rounding them does to activations is corrected.
            Without any, it has quantized ones.

    Returns:
        The number of samples seen.

    Raises:
        EspdlError: as of :func:`run_network`.
    """
    watching = _Watching(graph)
    gates = gate_reaches(graph)
    constants = None if listeners else quantized_weights(graph)
    count = run_network(graph.model, samples, total, [watching, *gates, *listeners], constants)
    watching.set_exponents()
    set_gates(graph, gates)
    return count


def calibrate_from(graph: QuantGraph, survey: Survey, scales: Scales) -> None:
    """Sets the exponents of every group of activations by what was seen of its tensors.

    Args:
        graph: with shared and aligned representations, and observers that a survey is enough for.
        survey: of the tensors that :func:`watched` names.
        scales: what became of tensors since they were seen.
    """
    moments = survey.moments()
    observers = _observers(graph)
    for name, watches in observers.items():
        if name not in moments:
            continue
        known = moments[name]
        parts = (survey.values(name), np.stack([known.low, known.high], axis=1))
        some, ends = ((scales[name].of(part, axis=0) if name in scales else part).astype(np.float32) for part in parts)
        for watch in watches:
            watch.part.observe_some(some, ends, known.seen)
    _set_exponents(watch for watches in observers.values() for watch in watches)


def watched(graph: QuantGraph) -> list[str]:
    """Names of the activations whose values decide about exponents."""
    initializers = graph.model.graph.initializers
    names = [name for _, group in _roots(graph) for name in group]
    return [name for name in dict.fromkeys(names) if name not in initializers]


def gate_reaches(graph: QuantGraph) -> list[GateReach]:
    """What looks at the gates of each recurrent node."""
    return [GateReach(node) for node in graph.nodes() if node.name in graph.gates]


def set_gates(graph: QuantGraph, reaches: Iterable[GateReach]) -> None:
    """Sets the exponents of gates by how far they were seen to reach."""
    for reach in reaches:
        reach.set_exponent(graph.gates[reach.node])


def run_network(
    model: ir.Model,
    samples: Iterable[Sample],
    total: int | None,
    listeners: Sequence[Listener],
    constants: Mapping[str, NDArray] | None = None,
) -> int:
    """Runs the float network on calibration data.

    Args:
        model: the network.
        samples: one array of the network's shape per input, by name.
        total: their number, for the progress bar.
        listeners: see each run.
        constants: to be used instead of the network's own, by initializer name.

    Returns:
        The number of samples seen.

    Raises:
        EspdlError: when there are none, and when a sample, or what the network makes of it, is not finite.
    """
    names = list(dict.fromkeys(name for listener in listeners for name in listener.names))
    session = FloatRun(model, names, constants, piece=PIECE)
    surveys = [listener for listener in listeners if isinstance(listener, Survey)]
    surveyed = {name for survey in surveys for name in survey.names}
    count = 0
    for sample in track(samples, "Calibrating", total):
        for name, array in sample.items():
            if array.dtype.kind == "f" and not _is_finite(array):
                raise EspdlError(f"calibration sample {count} holds NaN or infinite values", where=f"input {name!r}")
        for tensors in session.pieces(sample):
            for survey in surveys:
                survey.observe(tensors)
            unseen = (array for name, array in tensors.items() if name not in surveyed)
            if not all(survey.is_finite for survey in surveys) or not all(map(_is_finite, unseen)):
                raise _not_finite(model, sample, count)
            for listener in listeners:
                if listener not in surveys:
                    listener.observe(tensors)
            tensors.clear()  # before the next piece makes as many
        count += 1
        if count == 1:
            give_back_memory()  # what listeners keep is now in its place
    del session
    give_back_memory()
    if not count:
        raise EspdlError("the calibration data are empty")
    return count


def quantized_weights(graph: QuantGraph) -> dict[str, NDArray]:
    """The real values that quantized weights stand for, by initializer name, so that activations are seen as the chip will have them."""
    found: dict[str, NDArray] = {}
    for node in graph.nodes():
        for index, value in enumerate(node.inputs):
            info, array = graph.input_info(node, index), constant(value)
            if value is None or array is None or info is None or info.role is not Role.WEIGHT or not info.has_exponents:
                continue
            if len(list(value.uses())) == 1:
                found[value.name or ""] = to_reals(to_integers(array, info, graph.chip), info)
    return found


def _observers(graph: QuantGraph) -> dict[str, list[_Watch]]:
    """What looks at each tensor, by name; a tensor may belong to several groups (8 and 16 bits)."""
    views = _Views(graph)
    initializers = graph.model.graph.initializers
    found: dict[str, list[_Watch]] = {}
    for root, names in _roots(graph):
        shared = create_observer(root.observer, root.bits)
        for name in names:
            observer = shared if shared.joint else create_observer(root.observer, root.bits)
            watch = _Watch(root, observer, observer.part(views.of(name)))
            found.setdefault(name, []).append(watch)
            if name in initializers:
                watch.part.observe(initializers[name].const_value.numpy())  # type: ignore[union-attr]  # initializers have values
    return found


def _roots(graph: QuantGraph) -> list[tuple[QuantInfo, list[str]]]:
    """The groups that need exponents, each with the names of the tensors that these must suit."""
    roots: dict[int, QuantInfo] = {}
    further: dict[int, list[str]] = {}
    for info in graph.infos():
        root = info.root
        if root.role is Role.ACTIVATION and not root.has_exponents:
            roots[id(root)] = root
            further.setdefault(id(root), list(root.watched)).extend(info.watched)
    return [(root, list(dict.fromkeys((root.value, *further[key])))) for key, root in roots.items()]


def _set_exponents(watches: Iterable[_Watch]) -> None:
    """Each group gets the largest exponent that one of its tensors needs, or the one of the observer that saw all of them."""
    needed: dict[int, tuple[QuantInfo, int]] = {}
    for watch in watches:
        (exponent,) = watch.observer.exponents()
        _, least = needed.get(id(watch.info), (watch.info, exponent))
        needed[id(watch.info)] = (watch.info, max(exponent, least))
    for info, exponent in needed.values():
        info.set_exponents((exponent,))


@dataclass
class _Watch:
    """An observer of a group, and what of it observes one tensor."""

    info: QuantInfo
    observer: Observer
    part: Observer


class _Watching:
    """Shows every observer of a graph the tensors that it decides about."""

    def __init__(self, graph: QuantGraph) -> None:
        self._observers = _observers(graph)
        initializers = graph.model.graph.initializers
        self.names = [name for name in self._observers if name not in initializers]

    def observe(self, tensors: Mapping[str, NDArray]) -> None:
        for name in [name for name in self.names if name in tensors]:
            for watch in self._observers[name]:
                watch.part.observe(tensors[name])

    def set_exponents(self) -> None:
        _set_exponents(watch for watches in self._observers.values() for watch in watches)


class _Views:
    """How much errors of each tensor matter, to observers that ask."""

    def __init__(self, graph: QuantGraph) -> None:
        self._noise = sensitivities(graph.model)
        self._values = {value.name or "": value for node in graph.nodes() for value in node.outputs}
        self._values |= {value.name or "": value for value in graph.model.graph.inputs}
        self._answers = {value.name or "" for value in graph.model.graph.outputs}

    def of(self, name: str) -> View:
        value = self._values.get(name)
        reader = sole_consumer(value) if value is not None else None
        if reader is not None and reader.inputs[0] is value and reader.op_type not in ACTIVATIONS and has_table(reader):
            return View(self._weights(reader.outputs[0].name or ""), partial(function, reader))
        return View(self._weights(name), whole=self._is_answer(name, reader))

    def _is_answer(self, name: str, reader: ir.Node | None) -> bool:
        """Whether a tensor holds the scores of one choice: a vector that is an output of the network, or becomes one in the same order."""
        if reader is not None and reader.op_type in ("Softmax", "LogSoftmax", "ArgMax"):
            name = reader.outputs[0].name or ""
        shape = shape_of(self._values.get(name)) or ()
        return name in self._answers and math.prod(shape) == max(shape, default=1)

    def _weights(self, name: str) -> NDArray[np.float64] | None:
        found = self._noise.get(name)
        return found if isinstance(found, np.ndarray) and found.max() > 0 else None


def _is_finite(array: NDArray) -> bool:
    return array.size == 0 or bool(np.isfinite(array.max()) and np.isfinite(array.min()))


def _not_finite(model: ir.Model, sample: Sample, count: int) -> EspdlError:
    node = first_bad_node(model, sample)
    where = at_node(node.name, node.op_type) if node is not None else ""
    return EspdlError(
        f"the float network puts out NaN or infinite values for calibration sample {count}",
        where=where,
        hint="check the sample's preprocessing, and the network in float",
    )
