"""``TensorMemory``: type, exponent, shape and memory of a tensor; the part of ``TensorBase`` that does not look at values."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.alignment import ALIGNMENT, aligned_zeros, round_up
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.exponent import ExponentInfo
from espdl.rounding import Rounding
from espdl.tensor_ops import resolve_shape, strides_in_elements

Exponent = int | Sequence[int] | NDArray[np.integer] | ExponentInfo


class TensorMemory:
    """A dense row-major block of elements. Users see :class:`espdl.tensor.TensorBase`, which documents it."""

    def __init__(
        self,
        shape: Sequence[int],
        element: ArrayLike | bytes | None = None,
        exponent: Exponent = 0,
        dtype: DType | None = None,
        deep: bool = True,
        caps: int = 0,
    ) -> None:
        if dtype is None:
            dtype = DType.of(element.dtype) if isinstance(element, np.ndarray) else DType.FLOAT
        self.dtype = DType(dtype)
        self._exponent = ExponentInfo(exponent)
        self.caps = caps
        self.auto_free = deep or element is None
        self.cache: NDArray | None = None
        self.doc_string = ""
        self.rounding: Rounding | None = None
        dims = _checked(shape)
        size = prod(dims)
        if element is None:
            self._own(dims)
            return
        if isinstance(element, (bytes, bytearray, memoryview)):
            values = self._elements_of(element)
        else:
            values = np.asarray(element)
            fits = isinstance(element, np.ndarray) and values.flags.c_contiguous and values.dtype == self.dtype.numpy
            if not deep and not fits:
                raise EspdlError(f"only a contiguous {self.dtype.name} array can be aliased", hint="pass deep=True")
        if values.size != size:
            raise EspdlError(f"{values.size} values do not fill a tensor of shape {list(dims)}", hint=f"give {size} values")
        if deep:
            self._own(dims)
            self._data[...] = _cast(values, self.dtype).reshape(dims)
        else:
            self.data = values.reshape(dims)

    def _elements_of(self, element: bytes | bytearray | memoryview) -> NDArray:
        size = memoryview(element).nbytes
        if size % self.dtype.numpy.itemsize:
            raise EspdlError(f"{size} bytes are no whole number of {self.dtype.name} elements")
        return np.frombuffer(element, dtype=self.dtype.numpy) if size else np.empty(0, dtype=self.dtype.numpy)

    def _own(self, dims: tuple[int, ...]) -> None:
        size = prod(dims)
        self._memory = aligned_zeros(size * self.dtype.numpy.itemsize)
        self._data: NDArray = self._view(self._memory, dims)

    def _view(self, memory: NDArray[np.uint8], dims: Sequence[int]) -> NDArray:
        return memory[: prod(dims) * self.dtype.numpy.itemsize].view(self.dtype.numpy).reshape(dims)

    # Facts

    @property
    def data(self) -> NDArray:
        """The values: an array of shape ``shape`` and type ``dtype.numpy``. Assigning an array aliases its memory."""
        return self._data

    @data.setter
    def data(self, array: NDArray) -> None:
        if not array.flags.c_contiguous or array.dtype != self.dtype.numpy:
            raise EspdlError(f"the data of a {self.dtype.name} tensor is a contiguous array of that type, not {array.dtype}")
        self._data = array
        self._memory = array.reshape(-1).view(np.uint8)

    @property
    def exponent(self) -> ExponentInfo:
        """Per tensor or per channel. One integer or a list may be assigned too."""
        return self._exponent

    @exponent.setter
    def exponent(self, exponent: Exponent) -> None:
        self._exponent = ExponentInfo(exponent)

    @property
    def shape(self) -> list[int]:
        return list(self._data.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._data.size

    @property
    def axis_offset(self) -> list[int]:
        """Elements from one index to the next, per axis."""
        return strides_in_elements(self._data.shape)

    def get_size(self) -> int:
        """Number of elements."""
        return self._data.size

    def get_aligned_size(self) -> int:
        """Number of elements rounded up to whole multiples of 16 bytes."""
        return round_up(self.size, ALIGNMENT // self.get_dtype_bytes())

    def get_dtype_bytes(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    def get_dtype_string(self) -> str:
        """Name of the element type as the chip prints it; UINT32 is spelled "unit32" there."""
        return "unit32" if self.dtype is DType.UINT32 else self.dtype.name.lower()

    def get_bytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.get_dtype_bytes()

    def get_aligned_bytes(self) -> int:
        """Bytes of all elements rounded up to a multiple of 16."""
        return self.get_aligned_size() * self.get_dtype_bytes()

    def get_shape(self) -> list[int]:
        """The extents; of a scalar none."""
        return self.shape

    def get_exponent(self) -> int:
        """The per-tensor exponent; 0 when there is one per channel."""
        return int(self.exponent)

    def get_dtype(self) -> DType:
        """The element type."""
        return self.dtype

    def get_caps(self) -> int:
        """The memory capability flags, as given."""
        return self.caps

    def get_element_ptr(self) -> NDArray:
        """The values: the preloaded copy when there is one, else :attr:`data`."""
        return self._data if self.cache is None else self.cache

    def set_element_ptr(self, data: NDArray | bytearray | memoryview) -> Self:
        """Lets the tensor alias ``data`` from now on.

        Args:
            data: contiguous memory of at least :meth:`get_bytes` bytes; its own element type does not matter.
        """
        memory = np.frombuffer(data, dtype=np.uint8) if not isinstance(data, np.ndarray) else data
        if not memory.flags.c_contiguous or memory.nbytes < self.get_bytes():
            raise EspdlError(f"a tensor of {self.get_bytes()} bytes needs that much contiguous memory, not {memory.nbytes} bytes")
        dims = self._data.shape
        self._memory = memory.reshape(-1).view(np.uint8)
        self._data = self._view(self._memory, dims)
        self.auto_free = False
        return self

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> NDArray:
        return np.array(self._data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        exponent = self.exponent.data().tolist() if self.exponent.is_per_channel() else int(self.exponent)
        return f"{type(self).__name__}({self.shape}, {self.get_dtype_string()}, exponent {exponent})"

    # Shape

    def set_shape(self, shape: Sequence[int]) -> Self:
        """Gives the same memory another shape, which may have fewer elements.

        Raises :class:`EspdlError` when the memory does not hold so many.
        """
        dims = _checked(shape)
        needed = prod(dims) * self.dtype.numpy.itemsize
        if needed > self._memory.size:
            raise EspdlError(f"shape {list(dims)} takes {needed} bytes, the tensor has {self._memory.size}")
        self._data = self._view(self._memory, dims)
        self.cache = None
        return self

    def reshape(self, shape: Sequence[int]) -> Self:
        """Another shape with as many elements; one extent may be -1. Raises :class:`EspdlError`, unchanged, when there is none."""
        self._data = self._data.reshape(resolve_shape(shape, self.size))
        if self.cache is not None:
            self.cache = self.cache.reshape(self._data.shape)
        return self

    def is_same_shape(self, tensor: TensorMemory | NDArray) -> bool:
        """Whether ``tensor`` has the same extents."""
        return self._data.shape == tuple(tensor.shape)


def _checked(shape: Sequence[int]) -> tuple[int, ...]:
    dims = tuple(map(int, shape))
    if dims and min(dims) < 0:
        raise EspdlError(f"{list(dims)} is no shape", hint="extents are not negative")
    return dims


def _cast(values: NDArray, dtype: DType) -> NDArray:
    """Values as elements of ``dtype``, where that loses nothing but precision of floats."""
    if values.dtype == dtype.numpy:
        return values
    if values.dtype.kind not in "biuf":
        raise EspdlError(f"values of type {values.dtype} are no {dtype.name} elements")
    with np.errstate(invalid="ignore", over="ignore"):
        result = values.astype(dtype.numpy)
    if dtype.numpy.kind != "f" and not np.array_equal(result, values):
        raise EspdlError(f"values do not fit {dtype.name} elements", hint="use assign() to quantize real values")
    return result
