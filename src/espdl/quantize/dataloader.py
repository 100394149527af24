"""Calibration samples from whatever yields batches: arrays, tensors, lists of them, mappings by name.

Tensors of other libraries are taken by their ``detach``, ``cpu`` and ``numpy`` methods or ``__array__``, so none of them is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from numbers import Integral
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantize.passes.tools import shape_of
from espdl.wording import counted

Sample = Mapping[str, NDArray]
"""One array per input, by name, in the shape that the network takes."""

Shapes = Mapping[str, tuple[int, ...]]


def as_array(value: Any) -> NDArray:
    """A tensor, array or nested list as an array. Raises :class:`EspdlError` for anything else."""
    try:
        for method in ("detach", "cpu", "numpy"):
            if not isinstance(value, np.ndarray) and hasattr(value, method):
                value = getattr(value, method)()
        array = np.asarray(value)
    except (ValueError, TypeError, NotImplementedError) as error:  # the last for tensors without data
        raise EspdlError(f"a {type(value).__name__} is no array", why=str(error)) from None
    if array.dtype.kind not in "fiub":
        raise EspdlError(f"a {type(value).__name__} of {array.dtype} holds no numbers", hint="give arrays or tensors of numbers")
    return array


def samples_of(
    loader: Iterable[Any], model: ir.Model, steps: int | None = None, collate: Callable[[Any], Any] | None = None
) -> Iterator[Sample]:
    """Samples of a network's own shape, taken from batches.

    The first batch is read and checked at once, so that data that do not fit are refused before any work.

    Args:
        loader: yields batches. Each is one array (networks of one input), a list of arrays in the order of the inputs, or a mapping
            from input name to array. An array may hold several samples along the batch axis, or one without it.
        model: the network.
        steps: number of batches to take; a loader with fewer is gone through again. None takes every batch once.
        collate: turns what the loader yields into one of the forms above.

    Raises:
        EspdlError: when there are no batches, or when one does not fit, naming batch, input and shapes.
    """
    if loader is None or not isinstance(loader, Iterable):
        raise EspdlError(f"calibration data must be an iterable of batches, given is {type(loader).__name__}")
    if steps is not None and (not isinstance(steps, Integral) or isinstance(steps, bool)):
        raise EspdlError(f"calib_steps is {steps!r}, not a whole number", hint="16 to 64 batches are usual")
    if steps is not None and steps < 1:
        raise EspdlError(f"calib_steps is {steps}", hint="16 to 64 batches are usual")
    if isinstance(loader, (str, bytes)):
        raise EspdlError("calibration data must be an iterable of batches, given is a text")
    batches = _samples(loader, model, steps, collate)
    try:
        first = next(batches)
    except StopIteration:
        raise EspdlError("the calibration data are empty", hint="give at least one batch") from None
    return chain([first], batches)


def _samples(loader: Iterable[Any], model: ir.Model, steps: int | None, collate: Callable[[Any], Any] | None) -> Iterator[Sample]:
    shapes = {value.name or "": shape_of(value) or () for value in model.graph.inputs}
    types = {value.name or "": _taken_type(value) for value in model.graph.inputs}
    for number, batch in enumerate(_batches(loader, steps)):
        try:
            for sample in split_batch(collate(batch) if collate is not None else batch, shapes):
                yield {name: array.astype(types[name], copy=False) for name, array in sample.items()}
        except EspdlError as error:
            raise error.at(f"calibration batch {number}") from None


def _taken_type(value: ir.Value) -> np.dtype:
    """Integers and booleans for an input that takes them, else float32."""
    dtype = value.dtype.numpy() if value.dtype is not None else np.dtype(np.float32)
    return dtype if dtype.kind in "iub" else np.dtype(np.float32)


def _batches(loader: Iterable[Any], steps: int | None) -> Iterator[Any]:
    taken = 0
    while True:
        before = taken
        for batch in loader:
            if steps is not None and taken >= steps:
                return
            yield batch
            taken += 1
        # One that gives nothing the second time, as a generator does, is exhausted.
        if steps is None or taken == before:
            return


def split_batch(batch: Any, shapes: Shapes) -> Iterator[Sample]:
    """The samples of one batch, each in the shapes given by input name; the type of the numbers stays as it is.

    Raises:
        EspdlError: when the batch is of none of the forms of :func:`samples_of`, or does not fit.
    """
    stacks = {name: stack_samples(name, as_array(given), shapes[name]) for name, given in _by_name(batch, list(shapes)).items()}
    counts = {len(stack) for stack in stacks.values()}
    if len(counts) > 1:
        text = ", ".join(f"{name}: {len(stack)}" for name, stack in stacks.items())
        raise EspdlError("the inputs have different numbers of samples", why=text)
    for index in range(counts.pop()):
        yield {name: stack[index] for name, stack in stacks.items()}


def _by_name(batch: Any, names: list[str]) -> Mapping[str, Any]:
    if isinstance(batch, Mapping):
        if batch.keys() != set(names):
            given = ", ".join(map(str, batch)) or "nothing"
            raise EspdlError(f"the batch feeds {given}, the network's inputs are {', '.join(names)}")
        return batch
    if isinstance(batch, (list, tuple)) and batch and not _is_number(batch[0]):
        if len(batch) == len(names):
            return dict(zip(names, batch, strict=True))
        hint = "collate_fn=lambda batch: batch[0] takes the first" if len(names) == 1 else "give one array per input"
        raise EspdlError(
            f"the batch is a list of {counted(len(batch), 'array')}, the network has {counted(len(names), 'input')}", hint=hint
        )
    if len(names) != 1:
        raise EspdlError(f"the batch is one array, the network has {len(names)} inputs", hint="give a list or a mapping by name")
    return {names[0]: batch}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number))


def stack_samples(name: str, array: NDArray, shape: tuple[int, ...]) -> NDArray:
    """``array`` as [samples, *shape]: the network's batch axis of 1 may be there, may be the samples' axis, or may be missing.

    Raises:
        EspdlError: naming the input and both shapes.
    """
    if array.shape == shape:
        return array[np.newaxis]
    if array.shape == shape[1:] and shape[:1] == (1,):
        return array[np.newaxis, np.newaxis]
    if array.ndim == len(shape) and array.shape[1:] == shape[1:] and shape[0] >= 1 and array.shape[0] % shape[0] == 0:
        return array.reshape(-1, *shape)
    if array.shape[1:] == shape:
        return array
    rank, hint = len(shape), ""
    if rank in (3, 4) and array.ndim == rank and array.shape[1:] == (*shape[2:], shape[1]):
        hint = f"the network takes channels first: transpose with axes {[0, rank - 1, *range(1, rank - 1)]}"
    raise EspdlError(f"input {name!r} has shape {list(shape)}, given is {list(array.shape)}", hint=hint)
