"""What every operator checks before it runs: types, axes, constant inputs. The caller that knows the node adds its name to an error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from espdl.dl.module.base import Module
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase
from espdl.tensor_ops import axis_in as axis_in

INTEGER_TYPES = (DType.INT8, DType.INT16)
NUMBER_TYPES = (DType.INT8, DType.INT16, DType.FLOAT)

_SPELLING = {DType.INT8: "int8", DType.INT16: "int16", DType.FLOAT: "float32", DType.BOOL: "bool"}


def common_dtype(
    module: Module,
    tensors: Iterable[TensorBase],
    allowed: Sequence[DType] = NUMBER_TYPES,
    *,
    hint: str = "",
) -> DType:
    """The one element type of ``tensors``. Raises :class:`EspdlError` when they differ or the operator has no form for it."""
    types = {tensor.dtype for tensor in tensors}
    if len(types) != 1:
        raise EspdlError(
            "activations of different types: " + ", ".join(sorted(type_name(t) for t in types)),
            why="this operator takes one type",
        )
    dtype = types.pop()
    if dtype not in allowed:
        raise EspdlError(
            f"{module.op_type} has no {type_name(dtype)} form",
            why="the chip computes it in " + ", ".join(type_name(t) for t in allowed),
            hint=hint,
        )
    return dtype


def type_name(dtype: DType) -> str:
    """As in NumPy."""
    return _SPELLING.get(dtype, dtype.name.lower())


def tensor_exponent(tensor: TensorBase) -> int:
    """The one exponent of ``tensor``. Raises :class:`EspdlError` when it has one per channel."""
    if tensor.exponent.is_per_channel():
        raise EspdlError("a tensor with one exponent per channel", why="only weights of Conv and Gemm may have them")
    return int(tensor.exponent)


def given(tensors: Sequence[TensorBase | None], index: int, name: str) -> TensorBase:
    """Input ``index``, which must not be omitted."""
    tensor = tensors[index] if index < len(tensors) else None
    if tensor is None:
        raise EspdlError(f"input {index} ({name}) is missing")
    return tensor


def optional(tensors: Sequence[TensorBase | None], index: int) -> TensorBase | None:
    """Input ``index``, None when it is omitted."""
    return tensors[index] if index < len(tensors) else None


def input_shape(input_shapes: Sequence[Sequence[int]], index: int = 0) -> list[int]:
    """Shape of input ``index`` as a list of its own."""
    if index >= len(input_shapes):
        raise EspdlError(f"input {index} is missing")
    return [int(d) for d in input_shapes[index]]


def axes_in(axes: Iterable[int], rank: int) -> list[int]:
    """Axes counted from the front, in the order given; each at most once."""
    result = [axis_in(axis, rank) for axis in axes]
    if len(set(result)) != len(result):
        raise EspdlError(f"an axis named twice: {result}")
    return result


def constant_integers(module: Module, index: int, name: str) -> list[int] | None:
    """Values of the constant integer input ``index``; None when it is omitted. Meant for :meth:`Module.configure`."""
    tensor = module.parameters.get(index)
    if tensor is None:
        return None
    if np.asarray(tensor.data).dtype.kind not in "iu":
        raise EspdlError(f"input {index} ({name}) holds no integers")
    return [int(value) for value in np.asarray(tensor.data).ravel()]


def integer_attribute(module: Module, name: str, default: int) -> int:
    """Attribute ``name`` as an integer. Meant for :meth:`Module.configure`."""
    value = module.attributes.get(name, default)
    if not isinstance(value, (int, np.integer)):
        raise EspdlError(f"attribute {name} must be an integer, not {value!r}")
    return int(value)


def integers_attribute(module: Module, name: str, default: Sequence[int] = ()) -> list[int]:
    """Attribute ``name`` as a list of integers. Meant for :meth:`Module.configure`."""
    value = module.attributes.get(name, list(default))
    if isinstance(value, (int, np.integer)):
        value = [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, (int, np.integer)) for v in value):
        raise EspdlError(f"attribute {name} must be a list of integers, not {value!r}")
    return [int(v) for v in value]


def float_attribute(module: Module, name: str, default: float) -> float:
    """Attribute ``name`` as the binary32 value the chip holds. Meant for :meth:`Module.configure`."""
    value = module.attributes.get(name, default)
    if not isinstance(value, (int, float, np.integer, np.floating)):
        raise EspdlError(f"attribute {name} must be a number, not {value!r}")
    return float(np.float32(value))


def text_attribute(module: Module, name: str, default: str) -> str:
    """Attribute ``name`` as text. Meant for :meth:`Module.configure`."""
    value = module.attributes.get(name, default)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise EspdlError(f"attribute {name} must be text, not {value!r}")
    return value
