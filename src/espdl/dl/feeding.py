"""What a user gives becomes what a model's input tensors hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.rounding import Rounding
from espdl.tensor import TensorBase


def assign_inputs(tensors: Mapping[str, TensorBase], values: Any, rounding: Rounding) -> None:
    """Fills a model's inputs.

    Args:
        tensors: the input tensors by name.
        values: one array or tensor per input by name, or a single one when the model has one input. An integer array of the input's
            own type is taken raw, a float array is quantized with the input's exponent.
        rounding: of the chip.

    Raises:
        EspdlError: naming the input that is missing, unknown, or of another shape or type.
    """
    if not isinstance(values, Mapping):
        if len(tensors) != 1:
            raise EspdlError(f"the model has {len(tensors)} inputs", hint="give a mapping by name: " + ", ".join(tensors))
        values = {next(iter(tensors)): values}
    if values.keys() != tensors.keys():
        given = ", ".join(map(str, values)) or "none"
        raise EspdlError(f"the inputs given are {given}, the model's are {', '.join(tensors)}")
    for name, value in values.items():
        assign_input(tensors[name], name, value, rounding)


def assign_input(tensor: TensorBase, name: str, value: Any, rounding: Rounding) -> None:
    """Fills one input; see :func:`assign_inputs`."""
    if value is tensor:
        return
    if not isinstance(value, TensorBase):
        array = np.asarray(value)
        if list(array.shape) != tensor.shape:
            raise EspdlError(
                f"input {name!r} has shape {tensor.shape}, given is {list(array.shape)}", hint=layout_hint(array, tensor)
            )
        if array.dtype == tensor.dtype.numpy:
            tensor.data[...] = array
            return
        if array.dtype.kind != "f":
            raise EspdlError(
                f"input {name!r} is {tensor.dtype.name}, given is {array.dtype}",
                hint=f"give {tensor.dtype.numpy} for raw values or float32 for real ones",
            )
        if np.isnan(array).any():
            raise EspdlError(f"input {name!r} is given {int(np.isnan(array).sum())} values that are not a number")
        value = TensorBase(array.shape, array.astype(np.float32), 0, DType.FLOAT)
    if not tensor.assign(value, rounding=rounding):
        raise EspdlError(
            f"input {name!r} cannot be assigned", why=f"it is {tensor.dtype.name} {tensor.shape}, given is {value.shape}"
        )


def layout_hint(array: NDArray, tensor: TensorBase, free: int | None = None) -> str:
    """What to do about an array that would fit in the order of ONNX; axis ``free`` of the tensor may have any length."""
    channels_last = [0, *range(2, array.ndim), 1]
    if (
        array.ndim in (3, 4)
        and array.ndim == len(tensor.shape)
        and all(
            array.shape[axis] == size or place == free
            for place, (axis, size) in enumerate(zip(channels_last, tensor.shape, strict=True))
        )
    ):
        return f"the runtime's layout is channels last: transpose with axes {channels_last}"
    return ""
