"""Slicing, padding, transposing and pushing of plain arrays, with the rules of the runtime (runtime spec 2.1, 3.13).

Pure functions of NumPy arrays, shared by ``TensorBase`` and the data-movement operators.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError


class PaddingMode(enum.StrEnum):
    """What fills the border; the values are those of the ONNX ``mode`` attribute."""

    CONSTANT = "constant"
    EDGE = "edge"
    REFLECT = "reflect"

    @classmethod
    def parse(cls, mode: PaddingMode | str) -> PaddingMode:
        """From the attribute's spelling. Raises :class:`EspdlError` for any other, "wrap" included."""
        try:
            return cls(mode)
        except ValueError:
            raise EspdlError(f"there is no padding mode {mode!r}", hint="one of " + ", ".join(m.value for m in cls)) from None


def axis_in(axis: int, rank: int) -> int:
    """``axis`` counted from the front. Raises :class:`EspdlError` when the tensor has no such axis."""
    if not -rank <= axis < rank:
        raise EspdlError(f"there is no axis {axis} in a tensor of rank {rank}")
    return axis % rank


def slice_indices(
    shape: Sequence[int],
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> tuple[slice, ...]:
    """Bounds of a Slice as Python slices, one per axis of ``shape``.

    Negative starts and ends count from the end, both are clipped to the axis. A negative step walks backwards from ``start``: the
    runtime flips the axis and slices forwards, which is the same.

    Args:
        shape: of the input.
        starts, ends: one per entry of ``axes``; ends are exclusive.
        axes: None or empty for the first ``len(starts)`` ones.
        steps: None or empty for 1.

    Raises:
        EspdlError: for lists of different lengths, an axis named twice or absent, step 0, and a slice without elements (the runtime
            asserts that there are some).
    """
    chosen = list(axes) if axes is not None and len(axes) else list(range(len(starts)))
    strides = list(steps) if steps is not None and len(steps) else [1] * len(starts)
    if not len(starts) == len(ends) == len(chosen) == len(strides):
        lengths = f"{len(starts)}, {len(ends)}, {len(chosen)} and {len(strides)}"
        raise EspdlError(f"starts, ends, axes and steps of a slice differ in length: {lengths}")
    result = [slice(0, extent, 1) for extent in shape]
    seen: set[int] = set()
    for start, end, axis, step in zip(starts, ends, chosen, strides, strict=True):
        position = axis_in(int(axis), len(shape))
        if position in seen:
            raise EspdlError(f"a slice names axis {position} twice")
        seen.add(position)
        if step == 0:
            raise EspdlError(f"a slice has step 0 on axis {position}")
        first, last, stride = slice(int(start), int(end), int(step)).indices(shape[position])
        if not len(range(first, last, stride)):
            raise EspdlError(
                f"a slice leaves nothing of axis {position}",
                why=f"start {start}, end {end}, step {step} on {shape[position]} elements",
            )
        result[position] = slice(first, None if last < 0 else last, stride)
    return tuple(result)


def slice_array(
    array: NDArray,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> NDArray:
    """The part of ``array`` that :func:`slice_indices` names, as a view."""
    return array[slice_indices(array.shape, starts, ends, axes, steps)]


def flip_array(array: NDArray, axes: Sequence[int]) -> NDArray:
    """``array`` reversed along ``axes``, as a view. An axis named twice is reversed twice, as in the runtime."""
    for axis in axes:
        array = np.flip(array, axis_in(axis, array.ndim))
    return array


def transpose_array(array: NDArray, perm: Sequence[int] = ()) -> NDArray:
    """``array`` with its axes in the order ``perm`` (reversed when empty), as a view. Raises :class:`EspdlError` for no permutation."""
    if not len(perm):
        return array.transpose()
    order = [axis_in(int(axis), array.ndim) for axis in perm]
    if sorted(order) != list(range(array.ndim)):
        raise EspdlError(f"{list(perm)} is no permutation of the axes of shape {list(array.shape)}")
    return array.transpose(order)


def padded_shape(shape: Sequence[int], pads: Sequence[int]) -> list[int]:
    """Shape after padding with ONNX-ordered ``pads``: [begin of every axis..., end of every axis...].

    Raises :class:`EspdlError` when ``pads`` has not two entries per axis, or an axis would vanish.
    """
    rank = len(shape)
    if len(pads) != 2 * rank:
        raise EspdlError(f"{len(pads)} pads for a tensor of rank {rank}", hint=f"give {2 * rank}: all beginnings, then all ends")
    result = [int(extent + pads[axis] + pads[axis + rank]) for axis, extent in enumerate(shape)]
    if min(result, default=1) < 1 or min((int(p) for p in pads), default=0) < 0:
        raise EspdlError(f"pads {list(pads)} do not fit shape {list(shape)}", hint="pads are not negative; crop with Slice")
    return result


def pad_array(array: NDArray, pads: Sequence[int], mode: PaddingMode | str = PaddingMode.CONSTANT, value: float = 0) -> NDArray:
    """``array`` with a border (spec 3.13 Pad).

    Args:
        array: any rank and type.
        pads: ONNX order, see :func:`padded_shape`.
        mode: ``edge`` repeats the border element, ``reflect`` mirrors without it.
        value: for ``constant``, in the raw domain of ``array``.

    Raises:
        EspdlError: for pads that do not fit, and a reflection of more elements than the axis has inside its border.
    """
    chosen = PaddingMode.parse(mode)
    if chosen is not PaddingMode.CONSTANT:
        return array[border_indices(array.shape, pads, chosen)]
    padded_shape(array.shape, pads)
    widths = [(int(pads[axis]), int(pads[axis + array.ndim])) for axis in range(array.ndim)]
    return np.pad(array, widths, constant_values=np.asarray(value).astype(array.dtype))


def border_indices(shape: Sequence[int], pads: Sequence[int], mode: PaddingMode) -> tuple[NDArray[np.intp], ...]:
    """Where each element of an array padded by ``edge`` or ``reflect`` comes from: open index arrays, one per axis.

    Raises :class:`EspdlError` as :func:`pad_array`.
    """
    padded_shape(shape, pads)
    positions = []
    for axis, (extent, before, behind) in enumerate(zip(shape, pads[: len(shape)], pads[len(shape) :], strict=True)):
        along = np.arange(-before, extent + behind)
        if mode is PaddingMode.EDGE:
            along = np.clip(along, 0, extent - 1)
        elif max(before, behind) >= extent and max(before, behind):
            raise EspdlError(
                f"axis {axis} of {extent} elements cannot be reflected by {max(before, behind)}", hint="use mode edge"
            )
        else:
            along = (extent - 1) - np.abs((extent - 1) - np.abs(along))
        positions.append(along)
    return np.ix_(*positions)


def push_array(queue: NDArray, new: NDArray, axis: int) -> None:
    """Shifts ``queue`` along ``axis`` by the extent of ``new`` and puts ``new`` at the end, in place.

    Raises :class:`EspdlError` when the other extents differ or ``new`` is longer than ``queue``.
    """
    if not 0 <= axis < queue.ndim:
        raise EspdlError(f"there is no axis {axis} in a tensor of rank {queue.ndim}")
    others = [extent for i, extent in enumerate(queue.shape) if i != axis]
    if new.ndim != queue.ndim or [extent for i, extent in enumerate(new.shape) if i != axis] != others:
        raise EspdlError(f"a tensor of shape {list(new.shape)} cannot be pushed onto {list(queue.shape)} along axis {axis}")
    count, length = new.shape[axis], queue.shape[axis]
    if count > length:
        raise EspdlError(f"{count} new elements along axis {axis} do not fit into {length}")
    frames = np.moveaxis(queue, axis, 0)
    frames[: length - count] = frames[count:].copy()
    frames[length - count :] = np.moveaxis(new, axis, 0)


def strides_in_elements(shape: Sequence[int]) -> list[int]:
    """Row-major strides, in elements."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 1, 0, -1):
        strides[axis - 1] = strides[axis] * shape[axis]
    return strides


def resolve_shape(shape: Sequence[int], size: int) -> list[int]:
    """``shape`` with one -1 replaced so that it holds ``size`` elements. Raises :class:`EspdlError` when none does."""
    dims = [int(d) for d in shape]
    if any(d < -1 for d in dims) or dims.count(-1) > 1:
        raise EspdlError(f"{dims} is no shape", hint="extents are positive; one may be -1")
    known = 1
    for d in dims:
        known *= 1 if d == -1 else d
    if -1 in dims and known and size % known == 0:
        dims[dims.index(-1)] = size // known
    elif -1 in dims or known != size:
        raise EspdlError(f"{size} elements cannot have shape {dims}")
    return dims
