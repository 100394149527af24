"""Looks at the activations of the float network on real data and chooses their exponents (quantizer spec 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.progress import track
from espdl.quantize.dataloader import Sample
from espdl.quantize.float_run import FloatRun, first_bad_node
from espdl.quantize.gates import GateReach
from espdl.quantize.graph import QuantGraph, QuantInfo, Role
from espdl.quantize.observers import Observer, create_observer
from espdl.quantize.parameters import to_integers, to_reals
from espdl.quantize.passes.tools import constant
from espdl.wording import at_node


def calibrate(graph: QuantGraph, samples: Iterable[Sample], total: int | None = None) -> int:
    """Sets the exponents of every group of activations.

    One pass over the data, in memory that does not depend on their number.

    Args:
        graph: with shared and aligned representations; weights have exponents.
        samples: one array of the network's shape per input, by name.
        total: their number, for the progress bar.

    Returns:
        The number of samples seen.

    Raises:
        EspdlError: for NaN or infinite values, naming the first node that puts them out; and when there are no samples.
    """
    observers = _observers(graph)
    gates = [GateReach(node, graph.gates[node.name or ""]) for node in graph.nodes() if node.name in graph.gates]
    initializers = graph.model.graph.initializers
    watched = [name for name in observers if name not in initializers]
    names = dict.fromkeys([*watched, *(name for reach in gates for name in reach.names)])
    session = FloatRun(graph.model, list(names), quantized_weights(graph))
    count = 0
    for sample in track(samples, "Calibrating", total):
        for name, array in sample.items():
            if array.dtype.kind == "f" and not _is_finite(array):
                raise EspdlError(f"calibration sample {count} holds NaN or infinite values", where=f"input {name!r}")
        results = session.run(sample)
        for name, array in results.items():
            if not _is_finite(array):
                raise _not_finite(graph, sample, count)
            for watch in observers.get(name, ()):
                watch.observer.observe(array)
        for reach in gates:
            reach.observe(results)
        count += 1
    if not count:
        raise EspdlError("the calibration data are empty")
    _set_exponents(watch for watches in observers.values() for watch in watches)
    for reach in gates:
        reach.set_exponent()
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
    roots: dict[int, QuantInfo] = {}
    further: dict[int, list[str]] = {}
    for info in graph.infos():
        root = info.root
        if root.role is Role.ACTIVATION and not root.has_exponents:
            roots[id(root)] = root
            further.setdefault(id(root), list(root.watched)).extend(info.watched)
    initializers = graph.model.graph.initializers
    found: dict[str, list[_Watch]] = {}
    for root in roots.values():
        for name in dict.fromkeys((root.value, *further[id(root)])):
            watch = _Watch(root, create_observer(root.observer, root.bits))
            if name in initializers:
                watch.observer.observe(initializers[name].const_value.numpy())  # type: ignore[union-attr]  # initializers have values
            found.setdefault(name, []).append(watch)
    return found


def _set_exponents(watches: Iterable[_Watch]) -> None:
    """Each group gets the largest exponent that one of its tensors needs."""
    needed: dict[int, tuple[QuantInfo, int]] = {}
    for watch in watches:
        (exponent,) = watch.observer.exponents()
        _, least = needed.get(id(watch.info), (watch.info, exponent))
        needed[id(watch.info)] = (watch.info, max(exponent, least))
    for info, exponent in needed.values():
        info.set_exponents((exponent,))


@dataclass
class _Watch:
    """An observer and the group it observes for."""

    info: QuantInfo
    observer: Observer


def _is_finite(array: NDArray) -> bool:
    return array.size == 0 or bool(np.isfinite(array.max()) and np.isfinite(array.min()))


def _not_finite(graph: QuantGraph, sample: Sample, count: int) -> EspdlError:
    node = first_bad_node(graph.model, sample)
    where = at_node(node.name, node.op_type) if node is not None else ""
    return EspdlError(
        f"the float network puts out NaN or infinite values for calibration sample {count}",
        where=where,
        hint="check the sample's preprocessing, and the network in float",
    )
