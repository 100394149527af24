"""``TensorBase``: what flows between operators, in files and to users (guide 4.1, runtime spec 2)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.bias_layout import pack_bias
from espdl.chips import Chip
from espdl.dtypes import DType, QuantType
from espdl.errors import EspdlError
from espdl.exponent import ExponentInfo
from espdl.rounding import Rounding
from espdl.tensor_compare import Difference, compare_arrays
from espdl.tensor_convert import convert, refusal
from espdl.tensor_memory import Exponent, TensorMemory
from espdl.tensor_ops import (
    PaddingMode,
    flip_array,
    pad_array,
    push_array,
    slice_array,
    strides_in_elements,
    transpose_array,
)

__all__ = ["Difference", "ExponentInfo", "TensorBase"]

_log = logging.getLogger("espdl.tensor")

_COMPARABLE = {
    DType.FLOAT,
    DType.DOUBLE,
    DType.INT8,
    DType.UINT8,
    DType.INT16,
    DType.UINT16,
    DType.INT32,
    DType.UINT32,
    DType.BOOL,
}


class TensorBase(TensorMemory):
    """A dense row-major tensor with element type and exponent.

    Memory it owns starts at a multiple of 16 bytes and is zero-filled up to a multiple of 16 bytes. A NumPy array stands wherever a
    method takes a tensor: an array of integers holds raw values with this tensor's exponent, an array of floats real values.

    Args:
        shape: extents; ``[]`` is a scalar with one element.
        element: the values, as raw elements of ``dtype`` (any shape of the right size); None gives zeros.
        exponent: one integer or one per output channel.
        dtype: element type; taken from ``element`` when None and ``element`` is an array, else FLOAT.
        deep: True copies ``element``; False aliases its memory, which must then be a contiguous array of ``dtype``.
        caps: memory capability flags of the chip, kept for the record.

    Attributes:
        dtype, exponent, caps: as given.
        data: the values, an array of shape ``shape`` and type ``dtype.numpy``; assigning an array aliases its memory.
        shape, size, axis_offset: extents, number of elements, row-major strides in elements.
        auto_free: whether the tensor owns its memory (False when it aliases a file or an arena).
        cache: preloaded copy of the values, None without one.
        doc_string: of a constant read from a file; tells the packing of convolution weights.
        rounding: of the chip that a model's tensor belongs to; None of a tensor that belongs to none.

    Raises:
        EspdlError: when the number of values is not the product of ``shape``.
    """

    # Values

    def assign(
        self,
        tensor: TensorBase | NDArray | Sequence[int] | None,
        element: ArrayLike | bytes | None = None,
        exponent: Exponent = 0,
        dtype: DType = DType.FLOAT,
        *,
        rounding: Rounding | None = None,
    ) -> bool:
        """Takes over the values of another tensor, converted to this type and exponent (spec 2.3).

        ``assign(tensor)`` or ``assign(shape, element, exponent, dtype)``. Sizes must agree, shapes need not.

        Args:
            rounding: of the chip; None takes that of this tensor, else of the other one, else half up.

        Returns:
            False, with the reason in the log ``espdl.tensor`` and the tensor unchanged, where the runtime refuses. :meth:`why_not_assign`
            returns the reason.
        """
        if element is not None and not isinstance(tensor, (TensorBase, np.ndarray)):
            source = None if tensor is None else TensorBase(tensor, element, exponent, dtype)
        else:
            source = self._wrap(tensor)
        reason = self.why_not_assign(source)
        if source is None or reason:
            _log.error("a tensor is not assigned: %s", reason)
            return False
        chosen = rounding or self.rounding or source.rounding or Rounding.HALF_UP
        values = convert(source.data, source.dtype, source.exponent, self.dtype, self.exponent, chosen)
        if values is None:
            return False
        self._data[...] = values.reshape(self._data.shape)
        return True

    def why_not_assign(self, tensor: TensorBase | NDArray | None) -> str:
        """Why :meth:`assign` would return False for ``tensor``; empty when it would not."""
        source = self._wrap(tensor)
        if source is None:
            return "there is no tensor to assign"
        if source.size != self.size:
            return f"{source.size} elements do not fit into {self.size} (shapes {source.shape} and {self.shape})"
        if not self._data.flags.writeable:
            return "the memory of the tensor is read-only (a constant of a file)"
        return refusal(source.dtype, source.exponent, self.dtype, self.exponent)

    def _wrap(self, tensor: Any) -> TensorBase | None:
        """A tensor as it is; an array as a tensor whose meaning this one gives: integers are raw values, floats are real ones."""
        if tensor is None or isinstance(tensor, TensorBase):
            return tensor
        if not isinstance(tensor, np.ndarray):
            raise EspdlError(f"a tensor or NumPy array is expected, not {type(tensor).__name__}")
        array = tensor
        if array.dtype.kind == "f":
            if self.dtype in (DType.FLOAT, DType.DOUBLE):
                array = array.astype(self.dtype.numpy)
            elif array.dtype == np.float16:
                array = array.astype(np.float32)
        raw = array.dtype.kind in "iub" or DType.of(array.dtype) is self.dtype
        return TensorBase(
            array.shape, np.ascontiguousarray(array), self.exponent if raw else 0, DType.of(array.dtype), deep=False
        )

    def memset(self, value: int) -> None:
        """Sets every byte to ``value`` (its low 8 bits)."""
        self._data.reshape(-1).view(np.uint8)[...] = value & 0xFF

    def rand(self, generator: np.random.Generator | None = None) -> None:
        """Fills the tensor with random bytes; pass a seeded ``generator`` to get the same ones again."""
        generator = generator or np.random.default_rng()
        raw = generator.integers(0, 256, self._data.nbytes, dtype=np.uint8)
        self._data.reshape(-1).view(np.uint8)[...] = raw & 1 if self.dtype is DType.BOOL else raw

    def push(self, new_tensor: TensorBase | NDArray, dim: int) -> None:
        """Shifts the values along ``dim`` by the extent of ``new_tensor`` and puts it at the end.

        Int8 and int16 only, as on the chip (where an int16 push moves half of the data: a defect that is not reproduced). Raises
        :class:`EspdlError` for other types and for shapes that do not fit.
        """
        new = self._wrap(new_tensor)
        if new is None or new.dtype is not self.dtype or self.dtype not in (DType.INT8, DType.INT16):
            raise EspdlError(
                f"a {new.dtype.name if new else 'missing'} tensor cannot be pushed onto {self.dtype.name}",
                hint="both int8 or both int16",
            )
        push_array(self.get_element_ptr(), new.get_element_ptr(), dim)

    def flip(self, axes: Sequence[int]) -> Self:
        """Reverses the values along ``axes``, in place."""
        values = self.get_element_ptr()
        values[...] = flip_array(values, axes).copy()
        return self

    def transpose(self, input: TensorBase | NDArray, perm: Sequence[int] = ()) -> Self:
        """Copies ``input`` with its axes in the order ``perm`` (reversed when empty) into this tensor, which takes that shape."""
        source = self._same_type(input)
        return self._take(transpose_array(source.get_element_ptr(), perm))

    def ttranspose(
        self, input_element: NDArray, input_shape: Sequence[int], input_axis_offset: Sequence[int] = (), perm: Sequence[int] = ()
    ) -> Self:
        """:meth:`transpose` of bare elements. ``input_axis_offset`` is what ``input_shape`` says: strides of dense rows."""
        if len(input_axis_offset) and list(input_axis_offset) != strides_in_elements(input_shape):
            raise EspdlError(f"offsets {list(input_axis_offset)} are not those of a dense tensor of shape {list(input_shape)}")
        return self.transpose(np.asarray(input_element).reshape(input_shape), perm)

    def slice(self, start: Sequence[int], end: Sequence[int], axes: Sequence[int] = (), step: Sequence[int] = ()) -> TensorBase:
        """A new tensor with a part of this one; see :func:`espdl.tensor_ops.slice_indices` for bounds."""
        part = slice_array(self.get_element_ptr(), start, end, axes, step)
        return TensorBase(part.shape, part, self.exponent, self.dtype, caps=self.caps)

    @staticmethod
    def slice_into(
        input: TensorBase,
        output: TensorBase,
        start: Sequence[int],
        end: Sequence[int],
        axes: Sequence[int] = (),
        step: Sequence[int] = (),
    ) -> None:
        """Copies a part of ``input`` into ``output``, which keeps its shape (the static ``slice`` of the C++ class).

        Raises :class:`EspdlError` when types or the number of elements differ.
        """
        part = slice_array(output._same_type(input).get_element_ptr(), start, end, axes, step)
        if part.size != output.size:
            raise EspdlError(f"a slice of shape {list(part.shape)} does not fill a tensor of shape {output.shape}")
        output.get_element_ptr()[...] = part.reshape(output.shape)

    def pad(
        self,
        input: TensorBase | NDArray,
        pads: Sequence[int],
        mode: PaddingMode | str = PaddingMode.CONSTANT,
        const_value: TensorBase | ArrayLike | None = None,
    ) -> Self:
        """Copies ``input`` with a border into this tensor, which takes that shape.

        Args:
            pads: [begin of every axis..., end of every axis...].
            mode: constant, edge or reflect.
            const_value: raw value for ``constant``; 0 when None.
        """
        source = self._same_type(input).get_element_ptr()
        value = 0 if const_value is None else np.asarray(const_value).reshape(-1)[0]
        return self._take(pad_array(source, pads, mode, value))

    def _same_type(self, tensor: TensorBase | NDArray) -> TensorBase:
        source = self._wrap(tensor)
        if source is None or source.dtype is not self.dtype:
            raise EspdlError(f"a {self.dtype.name} tensor is expected, not {source.dtype.name if source else None}")
        return source

    def _take(self, values: NDArray) -> Self:
        if values.size != self.size:
            raise EspdlError(f"a result of shape {list(values.shape)} does not fill a tensor of shape {self.shape}")
        if np.may_share_memory(values, self._data):
            values = values.copy()
        self.reshape(values.shape)
        self.get_element_ptr()[...] = values
        return self

    # Elements

    def get_element_index(self, axis_index: Sequence[int]) -> int:
        """Flat index of an element, given by its coordinates."""
        return int(np.ravel_multi_index(tuple(self._inside(axis_index)), self._data.shape)) if len(axis_index) else 0

    def get_element_coordinates(self, index: int) -> list[int]:
        """Coordinates of an element, given by its flat index."""
        return [int(i) for i in np.unravel_index(self._inside_flat(index), self._data.shape)]

    def get_element(self, index: int | Sequence[int]) -> Any:
        """One element as a NumPy scalar, by flat index (negative ones count from the end) or by coordinates."""
        if isinstance(index, (int, np.integer)):
            return self._data.reshape(-1)[self._inside_flat(int(index))]
        return self._data.reshape(-1)[self.get_element_index(index)]

    def _inside(self, coordinates: Sequence[int]) -> list[int]:
        shape = self._data.shape
        if len(coordinates) != len(shape) or not all(0 <= c < n for c, n in zip(coordinates, shape, strict=True)):
            raise EspdlError(f"there is no element {list(coordinates)} in a tensor of shape {self.shape}")
        return [int(c) for c in coordinates]

    def _inside_flat(self, index: int) -> int:
        if not -self.size <= index < self.size:
            raise EspdlError(f"there is no element {index} in a tensor of {self.size} elements")
        return index % self.size

    # Comparison

    def equal(self, tensor: TensorBase | NDArray | None, epsilon: float = 1e-6, verbose: bool = False) -> bool:
        """Whether type, shape, exponent and every element (within ``epsilon``) are those of ``tensor`` (spec 2.4).

        Without ``verbose`` and with ``epsilon`` 0 or less the bytes are compared. Otherwise int64, uint64 and float16 tensors are never
        equal, as on the chip; use :meth:`difference` for those.

        Args:
            tensor: the expected one.
            verbose: log what differs (log ``espdl.tensor``).
        """
        expected = self._wrap(tensor)
        if expected is None:
            return False
        if not verbose and epsilon <= 0:
            return not self._unlike(expected) and self.get_element_ptr().tobytes() == expected.get_element_ptr().tobytes()
        difference = self.difference(expected, epsilon)
        reason = difference.reason
        if not reason and self.dtype not in _COMPARABLE:
            reason = f"elements of type {self.get_dtype_string()} are not compared"
        if reason and verbose:
            _log.error("tensors differ: %s (epsilon %.10f)", reason, epsilon)
        return not reason

    def difference(self, other: TensorBase | NDArray, epsilon: float = 0.0) -> Difference:
        """How this tensor differs from the expected one: the first wrong element, how many, and by how much.

        Args:
            other: the expected tensor.
            epsilon: largest accepted absolute difference of an element.
        """
        expected = self._wrap(other)
        if expected is None:
            return Difference(self.size, "there is no tensor to compare with")
        reason = self._unlike(expected)
        if reason:
            return Difference(self.size, reason)
        got, wanted = self.get_element_ptr(), expected.get_element_ptr()
        return Difference(self.size) if got is wanted else compare_arrays(got, wanted, epsilon)

    def compare_elements(self, gt_elements: ArrayLike, epsilon: float = 1e-6, verbose: bool = False) -> bool:
        """Whether every element is within ``epsilon`` of ``gt_elements`` (as many elements of the same type, any shape)."""
        wanted = np.asarray(gt_elements, dtype=self.dtype.numpy)
        if wanted.size != self.size:
            raise EspdlError(f"{wanted.size} elements are compared with {self.size}")
        difference = compare_arrays(self.get_element_ptr(), wanted.reshape(self.shape), epsilon)
        if difference and verbose:
            _log.error("elements differ: %s (epsilon %.10f)", difference, epsilon)
        return not difference

    def _unlike(self, expected: TensorBase) -> str:
        for fact, mine, theirs in (
            ("type", self.get_dtype_string(), expected.get_dtype_string()),
            ("shape", self.shape, expected.shape),
            ("exponent", self.exponent, expected.exponent),
        ):
            if mine != theirs:
                return f"{fact} is {mine}, expected {theirs}"
        return ""

    # Chip

    def set_preload_addr(self, addr: NDArray | None, size: int) -> int:
        """Reserves memory for a preloaded copy of the values.

        Args:
            addr: contiguous writable memory, or None to drop the copy.
            size: how much of it may be used. The chip compares it with the number of elements, not of bytes.

        Returns:
            How much is taken: :meth:`get_aligned_size`, or 0 (and no copy) where it does not fit. Raises :class:`EspdlError` where the
            chip would take memory that is too small.
        """
        self.cache = None
        if addr is None or size < self.get_aligned_size():
            return 0
        if not addr.flags.c_contiguous or addr.nbytes < self.get_bytes():
            raise EspdlError(f"a copy of {self.get_bytes()} bytes does not fit into {addr.nbytes} bytes of memory")
        self.cache = self._view(addr.reshape(-1).view(np.uint8), self._data.shape)
        return self.get_aligned_size()

    def preload(self) -> None:
        """Copies the values into the memory of :meth:`set_preload_addr`, from where they are read then."""
        if self.cache is not None:
            self.cache[...] = self._data

    def reset_bias_layout(self, op_quant_type: QuantType, is_depthwise: bool, chip: Chip) -> None:
        """Packs the biases of a Conv or Gemm as the vector unit of ``chip`` loads them (spec 2.5).

        On a chip that keeps plain biases nothing changes. Otherwise the tensor becomes a flat UINT8 one; see
        :func:`espdl.bias_layout.pack_bias`. Raises :class:`EspdlError` when the biases are not int32 (8 bits) or int64 (16 bits).
        """
        eight = op_quant_type is QuantType.SYMM_8BIT
        wanted = DType.INT32 if eight else DType.INT64
        if self.dtype is not wanted:
            raise EspdlError(
                f"a bias of type {self.dtype.name} is {wanted.name} on chips",
                hint="quantize the model again: the file is of an old kind",
            )
        bits = chip.macs(op_quant_type).bias_bits
        if bits is None:
            return
        packed = pack_bias(self._data, bits, chip.lanes(1 if eight else 2), is_depthwise)
        self.dtype = DType.UINT8
        self._own(packed.shape)
        self._data[...] = packed
        self.auto_free = True
        self.cache = None

    def print(self, print_data: bool = False) -> None:
        """Prints shape, type, exponent and ownership; with ``print_data`` the values, 16 in a line."""
        exponent = self.exponent.data().tolist() if self.exponent.is_per_channel() else int(self.exponent)
        print(
            f"shape: {self.shape}, dtype: {self.get_dtype_string()}, exponent: {exponent}, "
            f"auto_free: {int(self.auto_free)}, data: {self._data.ctypes.data:#x}"
        )
        if not print_data:
            return
        form = "%f, " if self._data.dtype.kind == "f" else "%d, "
        flat = self._data.reshape(-1).tolist()
        for start in range(0, len(flat), 16):
            print("".join(form % value for value in flat[start : start + 16]))
