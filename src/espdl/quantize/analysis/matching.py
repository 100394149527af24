"""Which tensor of a file stands for which of the float network, and in which order of axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.dl.model import Model
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import records
from espdl.quantize.assign import is_real
from espdl.quantize.dataloader import Sample
from espdl.quantize.emitter import Stored
from espdl.quantize.float_run import FloatRun
from espdl.quantize.layout import Order
from espdl.quantize.passes.tools import shape_of
from espdl.quantize.scale import Scale, Scales
from espdl.quantize.test_values import from_file, to_file

_BITS = {DType.INT8: 8, DType.INT16: 16}


def match(model: Model, network: ir.Model, sample: Sample, scales: Scales | None = None) -> dict[str, Stored]:
    """Where the tensors of a network are in a file, by their names in the network.

    A file keeps the names of the tensors that it stores. Their order of axes is told by their shapes; where several orders fit, by what
    the file computes on a sample: the one that comes closest to the float network.

    Args:
        model: the file, loaded.
        network: prepared as the file's was.
        sample: real inputs in ONNX order, by name.
        scales: what the file's tensors hold of the network's.

    Raises:
        EspdlError: when the file is not one of this network: no input or output of the network is in it under its name and size.
    """
    stored: dict[str, Stored] = {}
    open_orders: dict[str, list[Stored]] = {}
    infos = _variables(model)
    for value in _values(network):
        name, info = value.name or "", infos.get(value.name or "")
        if info is None or not is_real(value):
            continue
        orders = orders_between(shape_of(value), tuple(info.shape or ()))
        found = [stored_as(info, order, (scales or {}).get(name)) for order in orders]
        if len(found) == 1:
            stored[name] = found[0]
        elif found:
            open_orders[name] = found
    _require_ends(network, infos, stored.keys() | open_orders.keys())
    if open_orders:
        stored |= _closest(model, network, sample, stored, open_orders)
    return stored


def _variables(model: Model) -> dict[str, records.ValueInfo]:
    graph = model.fbs_model.record.graph
    return {info.name: info for info in (*graph.value_info, *graph.output, *graph.input)}


def _values(network: ir.Model) -> Iterable[ir.Value]:
    yield from network.graph.inputs
    for node in network.graph:
        yield from node.outputs


def _require_ends(network: ir.Model, infos: Mapping[str, records.ValueInfo], found: Iterable[str]) -> None:
    known = set(found)
    for what, values in (("input", network.graph.inputs), ("output", network.graph.outputs)):
        for value in values:
            name = value.name or ""
            if is_real(value) and name not in known:
                shape = list(infos[name].shape or ()) if name in infos else None
                why = (
                    f"it has none of that name among {', '.join(sorted(infos)[:8])}"
                    if shape is None
                    else f"its shape there is {shape}"
                )
                raise EspdlError(
                    f"the file is not one of this network: it lacks {what} {name!r} of shape {list(shape_of(value) or ())}",
                    why=why,
                    hint="give the ONNX file, shapes and recipe that it was made from",
                )


def orders_between(shape: tuple[int, ...] | None, stored: tuple[int, ...]) -> list[Order]:
    """Orders of axes in which a tensor of ``shape`` has the shape ``stored``; channels last first, one for each movement of data."""
    if shape is None or int(np.prod(shape)) != int(np.prod(stored)):
        return []
    rank = len(shape)
    if len(stored) != rank:
        return [tuple(range(rank))] if rank == 0 else []
    last = (0, *range(2, rank), 1) if rank > 2 else tuple(range(rank))
    found: dict[tuple[int, ...], Order] = {}
    for order in (last, tuple(range(rank)), *(permutations(range(rank)) if rank <= 5 else ())):
        if tuple(shape[axis] for axis in order) == stored:
            found.setdefault(tuple(axis for axis in order if shape[axis] != 1), order)
    return list(found.values())


def stored_as(info: records.ValueInfo, order: Order, scale: Scale | None = None) -> Stored:
    """A variable of a file whose axes are in that order."""
    exponent = int(info.exponents[0]) if info.exponents and info.data_type in _BITS else 0
    shape = tuple(info.shape or ()) if order else ()
    return Stored(info.name, shape, order, (_BITS.get(info.data_type, 0), exponent), info.data_type, scale)


def _closest(
    model: Model, network: ir.Model, sample: Sample, known: Mapping[str, Stored], candidates: Mapping[str, list[Stored]]
) -> dict[str, Stored]:
    """For each tensor the order in which the file comes closest to the float network."""
    names = [value.name or "" for value in network.graph.inputs]
    inputs = {name: known[name] if name in known else candidates[name][0] for name in names}
    computed = [name for name in candidates if name not in names]
    exact = FloatRun(network, computed).run(sample)
    model.reset()
    raw = model.run_arrays({name: to_file(sample[name], inputs[name], model.chip) for name in names}, computed)

    def distance(name: str, stored: Stored) -> float:
        error: NDArray = np.asarray(exact[name], np.float64) - from_file(raw[name], stored)
        return float(np.square(error).sum())

    found = {name: inputs[name] for name in names if name in candidates}
    return found | {name: min(candidates[name], key=lambda stored: distance(name, stored)) for name in computed}
