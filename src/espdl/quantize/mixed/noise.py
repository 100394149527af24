"""How much noise every tensor and every layer's parameters bring into the outputs, measured one by one on real data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.progress import track
from espdl.quantize.analysis.rows import Disturbances, run_together
from espdl.quantize.dataloader import Sample
from espdl.quantize.float_run import FloatRun
from espdl.quantize.graph import QuantGraph, Role
from espdl.quantize.mixed.parts import NARROW, Held, Unit
from espdl.quantize.parameters import parameter, to_integers, to_reals
from espdl.quantize.passes.tools import constant
from espdl.quantize.shelf import Shelf
from espdl.quantize.subnetwork import subnetwork


@dataclass(frozen=True)
class Noise:
    """Noise power at the outputs as a share of the signal's, the mean over outputs.

    Attributes:
        tensors: of the rounding of each tensor, in the order of the tensors given.
        parameters: of the 8-bit weights and constants of each unit, in the order of the units.
    """

    tensors: list[float]
    parameters: list[float]


def measure_noise(graph: QuantGraph, units: Sequence[Unit], tensors: Sequence[Held], samples: Sequence[Sample]) -> Noise:
    """Rounds one tensor, or the parameters of one unit, and lets the float network go on with that.

    Nothing before a disturbance is computed again, and several are done in one run.

    Args:
        graph: quantized in 8 bits.
        units, tensors: of :func:`espdl.quantize.mixed.parts.find_parts`.
        samples: real inputs.
    """
    network = graph.model
    outputs = [value.name or "" for value in network.graph.outputs]
    inputs = {value.name or "" for value in network.graph.inputs}
    rounded = [_Rounded(graph, unit) for unit in units]
    inner = [held for held in tensors if held.name not in inputs]
    narrowed = [part for part in rounded if part.session is not None]
    disturbed = [*((held.name,) for held in inner), *(part.results for part in narrowed)]
    places = run_together(network, disturbed)
    groups = [Disturbances(network, disturbed[place.start : place.stop], outputs) for place in places]
    behind = [*dict.fromkeys(name for group in groups for name in group.needs)]
    needed = [*behind, *(held.name for held in tensors), *(name for part in narrowed for name in part.needs), *outputs]
    floating = FloatRun(network, list(dict.fromkeys(needed)))
    parts = [*inner, *narrowed]
    sums = {id(part): np.zeros(len(outputs)) for part in (*tensors, *rounded)}
    signal = np.zeros(len(outputs))
    with Shelf() as shelf:
        for sample in track(samples, "Rounding tensors and parameters", len(samples)):
            exact = floating.run(sample)
            signal += [float(np.square(exact[name], dtype=np.float64).sum()) for name in outputs]
            given = [{held.name: _held_values(graph, held, exact[held.name])} for held in inner]
            given += [part.run(exact) for part in narrowed]
            for index, (group, place) in enumerate(zip(groups, places, strict=True)):
                shelf.put(("needs", index), ({name: exact[name] for name in group.needs}, given[place.start : place.stop]))
            shelf.put("results", {name: exact[name] for name in outputs})
            for held in tensors:
                if held.name in inputs:
                    results = floating.run({**sample, held.name: _held_values(graph, held, sample[held.name])})
                    sums[id(held)] += _powers(results, exact, outputs)
        for index, place in enumerate(track(places, "Looking what that does to the outputs", len(places))):
            run = groups[index].start()
            for (needs, values), exact in zip(shelf.take(("needs", index)), shelf.take("results"), strict=True):
                for part, results in zip(parts[place.start : place.stop], run.run(needs, values), strict=True):
                    sums[id(part)] += _powers(results, exact, outputs)
    shares = {key: float(np.mean(total / np.maximum(signal, 1e-30))) for key, total in sums.items()}
    return Noise([shares[id(held)] for held in tensors], [shares[id(part)] for part in rounded])


def _powers(results: Mapping[str, NDArray], exact: Mapping[str, NDArray], names: Sequence[str]) -> NDArray[np.float64]:
    """Noise power of each output; of those that the disturbance does not reach, 0."""
    errors = [np.asarray(results.get(name, exact[name]), np.float64) - exact[name] for name in names]
    return np.array([float(np.square(error).sum()) for error in errors])


def _held_values(graph: QuantGraph, held: Held, array: NDArray) -> NDArray[np.float32]:
    return to_reals(to_integers(array, held.info, graph.chip), held.info)


class _Rounded:
    """A unit with its parameters as 8-bit integers stand for them, on float activations.

    Attributes:
        session: None where it has none of 8 bits.
        needs, results: names of tensors.
    """

    def __init__(self, graph: QuantGraph, unit: Unit) -> None:
        self._values = _rounded_parameters(graph, unit)
        self.results: tuple[str, ...] = ()
        self.needs: list[str] = []
        self.session: FloatRun | None = None
        if not self._values:
            return
        read = {value for node in unit.nodes for value in node.inputs}
        wanted: list[ir.Value] = [
            value for node in unit.nodes for value in node.outputs if value not in read and value.name and value.shape is not None
        ]
        part = subnetwork(graph.model, unit.nodes, wanted)
        self.results = tuple(value.name or "" for value in wanted)
        self.needs = [value.name or "" for value in part.graph.inputs]
        self.session = FloatRun(part, self.results, self._values)

    def run(self, exact: Mapping[str, NDArray]) -> dict[str, NDArray]:
        assert self.session is not None
        return self.session.run({name: exact[name] for name in self.needs})


def _rounded_parameters(graph: QuantGraph, unit: Unit) -> dict[str, NDArray]:
    found: dict[str, NDArray] = {}
    for node in unit.nodes:
        for index, value in enumerate(node.inputs):
            info, array = graph.input_info(node, index), parameter(graph, value)
            if value is None or array is None or info is None or constant(value) is None or not info.has_exponents:
                continue
            if info.role is not Role.BIAS and info.bits == NARROW and array.ndim:
                found[value.name or ""] = to_reals(to_integers(array, info, graph.chip), info)
            elif value.name in graph.adjusted:
                found[value.name or ""] = array.reshape(constant(value).shape)  # type: ignore[union-attr]  # a constant has a shape
    return found
