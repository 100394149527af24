"""What users give a network that runs in PyTorch, as tensors of its own device and shape; or what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from espdl.errors import EspdlError
from espdl.quantize.dataloader import as_array


def as_input(name: str, value: Any, shape: Sequence[int], device: torch.device, dtype: torch.dtype | None) -> torch.Tensor:
    """One input as a tensor on a device.

    Args:
        name: of the input, for messages.
        value: a tensor or array: one sample, one without its batch axis of 1, or several along the first axis.
        shape: of the network's input.
        device: where the network is.
        dtype: to which it is converted; None leaves it.

    Raises:
        EspdlError: for what is no array of numbers, another shape, and a tensor of another device that gradients are wanted for, which
            would not reach it, or that holds no data.
    """
    if isinstance(value, torch.Tensor):
        if value.device != device and (value.requires_grad or value.device.type == "meta"):
            raise EspdlError(
                f"input {name!r} is on device {value.device}, the network on {device}", hint=f"tensor.to({str(device)!r})"
            )
        tensor = value
    else:
        try:
            array = as_array(value)
            tensor = torch.from_numpy(np.require(array, requirements=("C", "W")))
        except (EspdlError, TypeError) as error:
            raise EspdlError(f"input {name!r} is no tensor", why=str(error).splitlines()[0]) from None
    if tensor.ndim == len(shape) - 1 and tuple(tensor.shape) == tuple(shape[1:]) and shape[0] == 1:
        tensor = tensor[None]
    if not _fits(tensor.shape, shape):
        raise EspdlError(
            f"input {name!r} has shape {list(shape)}, given is {list(tensor.shape)}",
            hint="any number of samples, in the shape that the network was quantized for",
        )
    return tensor.to(device) if dtype is None else tensor.to(device, dtype)


def samples_in(tensor: torch.Tensor, shape: Sequence[int]) -> int:
    """How many samples of a shape lie along the first axis of a tensor that fits it."""
    return tensor.shape[0] // shape[0] if shape and shape[0] else 1


def _fits(given: Sequence[int], shape: Sequence[int]) -> bool:
    if not shape:
        return len(given) == 0
    return len(given) == len(shape) and tuple(given[1:]) == tuple(shape[1:]) and (not shape[0] or given[0] % shape[0] == 0)
