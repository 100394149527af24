"""Recordings in array files, cut into inputs of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espdl.dl.arrays import load_arrays, reading_arrays
from espdl.dl.model import Model
from espdl.dl.series import describe_inputs
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


def load_recordings(path: Path, model: Model) -> list[dict[str, NDArray]]:
    """Inputs of a model, one mapping by name for each recording.

    Args:
        path: an ``.npy`` file for the only input, or an ``.npz`` file with one array per input; each holds recordings of the input's shape
            stacked on the first axis, in the file's order of axes, or in that of the ONNX network where only that fits.

    Raises:
        EspdlError: when the file cannot be read or an array does not fit.
    """
    tensors = model.get_inputs()
    arrays = load_arrays(path) if path.suffix == ".npz" else {"": _single(path)}
    if set(arrays) == {""} and len(tensors) == 1:
        arrays = {next(iter(tensors)): arrays[""]}
    if set(arrays) != set(tensors):
        raise EspdlError(
            f"the inputs are {describe_inputs(model)}", where=str(path), why=f"given are {', '.join(arrays) or 'none'}"
        )
    stacks = {name: _recordings(name, array, tensors[name], path) for name, array in arrays.items()}
    counts = {len(stack) for stack in stacks.values()}
    if len(counts) != 1 or not min(counts):
        raise EspdlError("the inputs hold no recordings, or different numbers of them", where=str(path))
    return [{name: stack[index] for name, stack in stacks.items()} for index in range(min(counts))]


def _single(path: Path) -> NDArray:
    with reading_arrays("the array cannot be read", path, "numpy.save writes such a file"):
        array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise EspdlError("the file holds several arrays", where=str(path), hint="name it .npz")
    return array


def _recordings(name: str, array: NDArray, tensor: TensorBase, path: Path) -> list[NDArray]:
    shape = list(tensor.shape)
    rank = len(shape)
    orders = [list(range(rank))] + ([[0, *range(2, rank), 1]] if rank in (3, 4) else [])
    if array.ndim == rank + 1:
        array = array.reshape(-1, *array.shape[2:])
    if array.ndim == rank:
        for order in orders:
            moved = array.transpose(order)
            if list(moved.shape[1:]) == shape[1:] and shape[0] and moved.shape[0] % shape[0] == 0:
                return np.split(np.ascontiguousarray(moved), moved.shape[0] // shape[0]) if moved.shape[0] else []
    raise EspdlError(f"input {name!r} has shape {shape}, given is {list(array.shape)}", where=str(path))
