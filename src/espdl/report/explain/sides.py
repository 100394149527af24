"""What is compared: the tensors of one run of a file on a chip, or those of a dump."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.dl.model import Model
from espdl.dl.operators import Operator
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.report.explain.dump import Value


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        label: what it is, in words.
        values: its tensors by name; of a run of a file all of them, in running order, of a dump those that were printed.
        model: the file; None for a dump.
        inputs: what the file was run on.
    """

    label: str
    values: Mapping[str, Value]
    model: Model | None = None
    inputs: Mapping[str, NDArray] | None = None


def run_side(label: str, model: Model, inputs: Mapping[str, ArrayLike]) -> Side:
    """Runs a file from a fresh state on raw or real inputs and keeps every tensor."""
    model.reset()
    arrays = model.run_arrays({name: np.asarray(array) for name, array in inputs.items()}, model.variable_names)
    values = {name: value_of(model, name, arrays[name]) for name in model.variable_names}
    return Side(label, values, model, {name: arrays[name] for name in model.get_inputs()})


def value_of(model: Model, name: str, array: NDArray) -> Value:
    """An array of a run with the type and exponent that the file gives it."""
    tensor = model.get_inputs().get(name) or model.get_intermediate(name)
    exponent = int(tensor.exponent) if tensor.dtype in (DType.INT8, DType.INT16) else 0
    return Value(name, tensor.dtype, array, exponent)


def forced_run(
    model: Model, inputs: Mapping[str, NDArray], forced: Mapping[str, NDArray]
) -> Iterator[tuple[int, Operator, dict[str, NDArray]]]:
    """Runs operator by operator, each on what is forced where something is.

    Args:
        model: from a fresh state.
        inputs: raw, by name.
        forced: raw arrays by tensor, of its type and shape; put into its place as soon as it has been computed.

    Yields:
        Position in running order, the operator, and what it computed, before anything is forced.
    """
    model.reset()
    operators = model.operators
    for position, operator in enumerate(operators):
        model.run(inputs if position == 0 else None, stages=len(operators), stage=position)
        tensors = {name: model.get_intermediate(name) for name in operator.produces}
        yield position, operator, {name: tensor.data.copy() for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            if name in forced:
                tensor.data[...] = forced[name]


def random_inputs(model: Model, seed: int = 0) -> dict[str, NDArray]:
    """Full-range integers (floats: normal), the same ones every time, by input name."""
    generator = np.random.default_rng(seed)
    found: dict[str, NDArray] = {}
    for name, tensor in sorted(model.get_inputs().items()):
        dtype = tensor.dtype.numpy
        if dtype.kind == "f":
            found[name] = generator.standard_normal(tensor.shape).astype(dtype)
        elif dtype.kind == "b":
            found[name] = generator.integers(0, 2, tensor.shape).astype(dtype)
        else:
            limits = np.iinfo(dtype)
            found[name] = generator.integers(limits.min, limits.max, tensor.shape, dtype=dtype, endpoint=True)
    return found


def embedded_inputs(model: Model) -> dict[str, NDArray]:
    """The test inputs of a file; empty where it has none for some input."""
    tensors = {name: model.fbs_model.get_test_input_tensor(name) for name in model.get_inputs()}
    return {name: tensor.data for name, tensor in tensors.items() if tensor is not None} if all(tensors.values()) else {}


def require_same_names(first: Side, second: Side) -> None:
    """Raises :class:`EspdlError` when two sides have no tensor in common."""
    if not first.values.keys() & second.values.keys():
        raise EspdlError(
            "the two have no tensor in common",
            why=f"{first.label} has {', '.join(list(first.values)[:4])} ..., {second.label} {', '.join(list(second.values)[:4])} ...",
            hint="both must come from one network",
        )
