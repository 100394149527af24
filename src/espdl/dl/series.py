"""Several runs of a model in a row: arrays that hold more than one chunk on their first axis (streaming)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from espdl.errors import EspdlError

if TYPE_CHECKING:
    from espdl.dl.running import Running


def run_series(model: Running, inputs: Mapping[str, NDArray], names: Iterable[str] | None = None) -> dict[str, NDArray]:
    """Runs a model once per chunk, without a reset between, and returns the last run's arrays.

    Args:
        model: its state is that of its last run.
        inputs: one array per input by name, k times as long as the model's on the first axis or k of them stacked on an axis of their
            own, with one k for all; raw integers of the input's type, or floats to be quantized.
        names: tensors to return; the model's outputs when None.

    Returns:
        Raw arrays in the runtime's layout, by name.

    Raises:
        EspdlError: listing the model's inputs, when a name, shape or type does not fit.
    """
    wanted = list(names) if names is not None else None
    try:
        steps = count_steps(model, inputs)
        shapes = {name: tensor.shape for name, tensor in model.get_inputs().items()}
        results: dict[str, NDArray] = {}
        for step in range(steps):
            chunks = {name: chunk(array, shapes.get(name, []), step, steps) for name, array in inputs.items()}
            results = model.run_arrays(chunks, wanted)
        return results
    except EspdlError as error:
        if not error.hint:
            error.hint = "the inputs are " + describe_inputs(model)
        raise


def count_steps(model: Running, inputs: Mapping[str, NDArray]) -> int:
    """How many chunks the arrays hold; 1 where they cannot be cut into chunks of the model's shape (the run then says what is wrong).

    Raises:
        EspdlError: when the inputs hold different numbers of chunks, or none.
    """
    counts: dict[str, int] = {}
    for name, tensor in model.get_inputs().items():
        if name in inputs:
            counts[name] = _chunks(inputs[name].shape, tensor.shape)
            if not counts[name]:
                raise EspdlError(f"the array for input {name!r} is empty")
    if len(set(counts.values())) > 1:
        raise EspdlError(
            "the inputs hold different numbers of chunks", why=", ".join(f"{name}: {count}" for name, count in counts.items())
        )
    return next(iter(counts.values()), 1)


def _chunks(shape: tuple[int, ...], wanted: list[int]) -> int:
    """How often ``wanted`` is in ``shape``: along its first axis, or stacked on an axis of its own. 1 where it does not fit."""
    if len(shape) == len(wanted) + 1 and list(shape[1:]) == wanted:
        return shape[0]
    if wanted and list(shape[1:]) == wanted[1:] and wanted[0] and shape[0] % wanted[0] == 0:
        return shape[0] // wanted[0]
    return 1


def describe_inputs(model: Running) -> str:
    """The inputs in one line: name, type and shape."""
    return ", ".join(f"{name!r}: {tensor.dtype.numpy} {tensor.shape}" for name, tensor in model.get_inputs().items())


def chunk(array: NDArray, wanted: list[int], step: int, steps: int) -> NDArray:
    """Chunk ``step`` of the ``steps`` that an array for an input of shape ``wanted`` holds."""
    if array.ndim == len(wanted) + 1 and list(array.shape[1:]) == wanted:
        return array[step]
    length = array.shape[0] // steps if steps > 1 else 0
    return array[step * length : (step + 1) * length] if length else array
