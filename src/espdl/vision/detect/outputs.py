"""What a detection network puts out: raw arrays with their exponents, checked before they are decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.rounding import Rounding, dequantize, quantize
from espdl.tensor import TensorBase

INTEGERS = (np.int8, np.int16)


@dataclass(frozen=True)
class Output:
    """One output of a network, of one picture.

    Attributes:
        name: of the output.
        values: [H, W, C], int8 or int16 raw values, or float32 real ones (a float network in place of the quantized one).
        exponent: ``real = raw * 2**exponent``; 0 for float32.
    """

    name: str
    values: NDArray
    exponent: int = 0

    @property
    def height(self) -> int:
        return int(self.values.shape[0])

    @property
    def width(self) -> int:
        return int(self.values.shape[1])

    @property
    def channels(self) -> int:
        return int(self.values.shape[2])

    @property
    def is_float(self) -> bool:
        return self.values.dtype.kind == "f"

    @property
    def rows(self) -> NDArray:
        """The values as [H * W, C]."""
        return self.values.reshape(-1, self.channels)

    def real(self, raw: NDArray) -> NDArray[np.float32]:
        """Raw values of this output as real ones, in binary32 (spec 2.2)."""
        return raw.astype(np.float32) if self.is_float else dequantize(raw, self.exponent)

    def raw(self, value: np.float32, rounding: Rounding) -> NDArray:
        """A real value as a raw one, rounded as the chip does and saturated to the output's type; unchanged for float32."""
        return np.asarray(value if self.is_float else quantize(value, self.exponent, self.values.dtype, rounding))


def outputs_of(tensors: Mapping[str, TensorBase | NDArray], exponents: Mapping[str, int] | None = None) -> dict[str, Output]:
    """The outputs of a model, or raw arrays with their exponents, as what postprocessors take.

    Args:
        tensors: by name, [1, H, W, C]; int8, int16, or float32.
        exponents: of arrays, by name; arrays of floats need none.

    Raises:
        EspdlError: naming the output that has another rank, type, or more than one picture, or for which there is no exponent.
    """
    outputs = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, TensorBase):
            values, exponent = tensor.data, int(tensor.exponent)
        else:
            values, exponent = np.asarray(tensor), (exponents or {}).get(name, 0)
            if values.dtype.kind != "f" and name not in (exponents or {}):
                raise EspdlError(f"output {name!r} has no exponent", hint="give one for every array of integers")
        if values.ndim != 4 or values.shape[0] != 1:
            raise EspdlError(
                f"output {name!r} of shape {list(values.shape)} cannot be decoded", why="it takes [1, height, width, channels]"
            )
        if values.dtype.kind != "f" and values.dtype not in INTEGERS:
            raise EspdlError(f"output {name!r} of type {values.dtype} cannot be decoded", why="it takes int8, int16 or float32")
        outputs[name] = Output(name, values[0] if values.dtype.kind != "f" else values[0].astype(np.float32), exponent)
    return outputs


def require(
    outputs: Mapping[str, Output], name: str, *, channels: int = 0, multiple: int = 1, like: Output | None = None
) -> Output:
    """An output by name, after a look at its shape.

    Args:
        outputs: all of them.
        name: of the one wanted.
        channels: how many it must have; 0 takes any.
        multiple: the number of channels must be a multiple of this.
        like: an output whose height and width it must share.

    Raises:
        EspdlError: naming the output that is missing or of another shape.
    """
    output = outputs.get(name)
    if output is None:
        raise EspdlError(
            f"the model has no output {name!r}",
            why="its outputs are " + (", ".join(outputs) or "none"),
            hint="another --type may decode it",
        )
    if channels and output.channels != channels:
        raise EspdlError(f"output {name!r} has {output.channels} channels", why=f"it takes {channels}")
    if not output.channels or output.channels % multiple:
        raise EspdlError(f"output {name!r} has {output.channels} channels", why=f"it takes a multiple of {multiple}")
    if like is not None and (output.height, output.width) != (like.height, like.width):
        raise EspdlError(
            f"output {name!r} is {output.height} x {output.width}",
            why=f"output {like.name!r}, for the same cells, is {like.height} x {like.width}",
        )
    return output
