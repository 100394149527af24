"""Byte order of constant filters in a file: packing for a chip, unpacking, and the tag that tells which (runtime spec 1.5, appendix C).

With N output channels, C input channels and u vector lanes, a filter lies in a file as

===========  ==================================================  ==================================================
packing      convolution (group 1), Gemm, each matrix of MatMul  depthwise convolution
===========  ==================================================  ==================================================
``PLAIN``    ``[N][KH][KW][C]``                                  ``[KH][KW][N]``
``BLOCKED``  ``[N // u][KH][KW][C][u]``, then the remaining      ``[N // u][KH][KW][u]``, then the remaining
             channels as ``[N % u][KH][KW][C]``                  channels as ``[KH][KW][N % u]``
===========  ==================================================  ==================================================

One-dimensional filters have no KH. A Gemm matrix ``[C, N]`` is a convolution filter of extent 1 by 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Packing
from espdl.errors import EspdlError

_PREFIX = "layout ==> "
_BLOCKED = re.compile(r"(?:\(N/(?P<new>\d+)\)|N(?P<old>\d+))(?P<spatial>H?)WC(?P<lanes>\d+)(?P<unaligned>_UNALIGNED)?")
_PLAIN = {"NHWC": False, "NWC": False, "HWCN": True, "WCN": True}


@dataclass(frozen=True)
class PackingTag:
    """What the tag of a filter says.

    Attributes:
        packing: see the table above.
        lanes: elements of a block; 1 when plain.
        unaligned: whether channels remain after the last full block.
        depthwise: known of plain filters only, where the two have tags of their own.
    """

    packing: Packing
    lanes: int = 1
    unaligned: bool = False
    depthwise: bool | None = None


def packing_tag(packing: Packing, lanes: int, channels: int, *, spatial: int = 2, depthwise: bool = False) -> str:
    """The tag of a filter with ``channels`` output channels and ``spatial`` dimensions, as in ``(N/16)HWC16_UNALIGNED``."""
    extents = "HW" if spatial == 2 else "W"
    if packing is Packing.PLAIN:
        return f"{extents}CN" if depthwise else f"N{extents}C"
    return f"(N/{lanes}){extents}C{lanes}" + ("_UNALIGNED" if channels % lanes else "")


def packing_doc_string(tag: str = "UNK") -> str:
    """The ``doc_string`` of a constant: of one that is no filter without argument."""
    return _PREFIX + tag


def parse_packing_tag(doc_string: str) -> PackingTag | None:
    """What a constant's ``doc_string`` says of its packing; None when it is no packed filter ("UNK", or no tag at all)."""
    tag = doc_string.removeprefix(_PREFIX).strip()
    if tag in _PLAIN:
        return PackingTag(Packing.PLAIN, depthwise=_PLAIN[tag])
    match = _BLOCKED.fullmatch(tag)
    if match is None:
        return None
    lanes = int(match["new"] or match["old"])
    if lanes != int(match["lanes"]) or not 1 < lanes <= 64:
        raise EspdlError(f"the packing {tag!r} contradicts itself", hint="the file is damaged")
    return PackingTag(Packing.BLOCKED, lanes, match["unaligned"] is not None)


def pack_filter(filter_ohwi: NDArray, packing: Packing, lanes: int, depthwise: bool = False) -> NDArray:
    """A filter in file order.

    Args:
        filter_ohwi: [N, KH, KW, C] or [N, KW, C]; depthwise [KH, KW, N] or [KW, N].
        lanes: elements of a vector of the chip; not used when plain.

    Returns:
        The same elements, flat.
    """
    if packing is Packing.PLAIN:
        return np.ascontiguousarray(filter_ohwi).reshape(-1)
    _check_lanes(lanes)
    axis = filter_ohwi.ndim - 1 if depthwise else 0
    channels = filter_ohwi.shape[axis]
    aligned = channels - channels % lanes
    full, rest = np.split(filter_ohwi, [aligned], axis=axis)
    if depthwise:
        blocks = np.moveaxis(full.reshape(*full.shape[:-1], channels // lanes, lanes), -2, 0)
    else:
        blocks = np.moveaxis(full.reshape(channels // lanes, lanes, *full.shape[1:]), 1, -1)
    return np.concatenate([blocks.reshape(-1), rest.reshape(-1)])


def unpack_filter(data: NDArray, dims: Sequence[int], tag: PackingTag, depthwise: bool | None = None) -> NDArray:
    """A filter of a file in logical order.

    Args:
        data: the elements in file order, of any shape.
        dims: as in the file: [KH, KW, C, N] or [KW, C, N]; depthwise [KH, KW, N, 1] or [KW, N, 1].
        tag: of the filter.
        depthwise: whether the convolution has groups; needed for blocked filters, where the tag does not tell.

    Returns:
        [KH, KW, C, N] or [KW, C, N]; depthwise [KH, KW, N] or [KW, N]. A view where the order allows it.

    Raises:
        EspdlError: when dims and data, or tag and ``depthwise``, do not fit together.
    """
    if len(dims) not in (3, 4):
        raise EspdlError(f"a filter of shape {list(dims)} cannot be unpacked", why="it has neither 3 nor 4 dimensions")
    if tag.depthwise is not None and depthwise is not None and tag.depthwise != depthwise:
        raise EspdlError("the filter's packing and the group attribute of its convolution contradict each other")
    depthwise = bool(tag.depthwise if depthwise is None else depthwise)
    spatial = tuple(dims[:-2])
    flat = _flat(data, dims)
    if not depthwise:
        return _unpack_blocks(flat, spatial, dims[-2], dims[-1], tag)
    if dims[-1] != 1:
        raise EspdlError(
            f"a filter of shape {list(dims)} is not depthwise", why="groups of several channels do not run on the chips"
        )
    channels = dims[-2]
    if tag.packing is Packing.PLAIN:
        return flat.reshape(*spatial, channels)
    aligned = channels - channels % tag.lanes
    extent = prod(spatial)
    blocks = flat[: aligned * extent].reshape(channels // tag.lanes, *spatial, tag.lanes)
    rest = flat[aligned * extent :].reshape(*spatial, channels - aligned)
    return np.concatenate([np.moveaxis(blocks, 0, -2).reshape(*spatial, aligned), rest], axis=-1)


def pack_matmul(matrices: NDArray, packing: Packing, lanes: int) -> NDArray:
    """The constant input of a MatMul, [..., K, N], in file order: every matrix on its own, as a filter of extent 1 by 1. Flat."""
    transposed = np.swapaxes(matrices, -1, -2)
    if packing is Packing.PLAIN or matrices.size == 0:
        return np.ascontiguousarray(transposed).reshape(-1)
    k, n = matrices.shape[-2:]
    return np.concatenate([pack_filter(m.reshape(n, 1, 1, k), packing, lanes) for m in transposed.reshape(-1, n, k)])


def unpack_matmul(data: NDArray, dims: Sequence[int], tag: PackingTag) -> NDArray:
    """The inverse of :func:`pack_matmul`: [..., K, N] from elements in file order. Raises :class:`EspdlError` when they do not fit."""
    if len(dims) < 2:
        raise EspdlError(f"a tensor of shape {list(dims)} is no matrix")
    k, n = dims[-2:]
    flat = _flat(data, dims)
    if flat.size == 0:
        return flat.reshape(dims)
    matrices = [_unpack_blocks(m, (1, 1), k, n, tag) for m in flat.reshape(-1, k * n)]
    return np.stack(matrices).reshape(dims)


def matmul_columns(k: int, n: int, tag: PackingTag | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where the columns of a matrix [K, N] lie in file order; ``tag`` None means it is plain, row after row.

    Returns:
        [N] each: the place of a column's first element, and how far on the next one is.
    """
    columns = np.arange(n, dtype=np.intp)
    if tag is None:
        return columns, np.full(n, n, np.intp)
    lanes = 1 if tag.packing is Packing.PLAIN else tag.lanes
    in_block = columns < n - n % lanes
    starts = np.where(in_block, columns // lanes * lanes * k + columns % lanes, columns * k)
    return starts, np.where(in_block, lanes, 1)


def _unpack_blocks(flat: NDArray, spatial: tuple[int, ...], c: int, n: int, tag: PackingTag) -> NDArray:
    """[spatial, C, N] of a filter without groups."""
    if tag.packing is Packing.PLAIN:
        return np.moveaxis(flat.reshape(n, *spatial, c), 0, -1)
    aligned = n - n % tag.lanes
    per_channel = prod(spatial) * c
    blocks = flat[: aligned * per_channel].reshape(n // tag.lanes, *spatial, c, tag.lanes)
    rest = flat[aligned * per_channel :].reshape(n - aligned, *spatial, c)
    full = np.moveaxis(blocks, 0, -2).reshape(*spatial, c, aligned)
    return np.concatenate([full, np.moveaxis(rest, 0, -1)], axis=-1)


def _flat(data: NDArray, dims: Sequence[int]) -> NDArray:
    if data.size != prod(dims):
        raise EspdlError(f"{data.size} elements do not fill a filter of shape {list(dims)}")
    return data.reshape(-1)


def _check_lanes(lanes: int) -> None:
    if lanes < 2:
        raise EspdlError(f"blocks of {lanes} elements cannot be packed", hint="give the lanes of the chip's vector unit")
