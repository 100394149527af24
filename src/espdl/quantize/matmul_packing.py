"""Nodes that bring a computed right operand of MatMul into the byte order of the chip's filters (quantizer spec 11.1, runtime spec 1.5).

The runtime multiplies with its convolution kernels: it takes the memory of [..., K, N] for one packed filter per matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from espdl.chips import Packing
from espdl.quantize.emitter import Emitter, Format, Stored
from espdl.quantize.layout import Order, identity


def pack_computed(out: Emitter, source: Stored, fmt: Format) -> Stored:
    """Adds the nodes after which the memory of a tensor is what MatMul reads; the result has the tensor's shape in the ONNX network.

    Args:
        out: takes the nodes.
        source: a tensor of at least two axes, in any order.
        fmt: the format that MatMul reads.
    """
    shape = source.onnx_shape
    rank, (k, n) = len(shape), shape[-2:]
    by_column: Order = (*range(rank - 2), rank - 1, rank - 2)
    lanes = out.chip.lanes(fmt[0] // 8)
    blocks, rest = (0, n) if out.chip.packing is Packing.PLAIN else divmod(n, lanes)
    if k == 1:
        return out.bring(source, identity(rank), fmt)  # one row: every order is the same
    if blocks and not rest and source.order == identity(rank):
        rows = out.reshape(out.bring(source, identity(rank), fmt), (prod(shape[:-2]), k, blocks, lanes))
        return out.reshape(_transpose(out, rows, (0, 2, 1, 3)), shape)
    columns = out.bring(source, by_column, fmt)
    if not blocks:
        return out.reshape(columns, shape)
    batch = prod(shape[:-2])
    flat = out.reshape(columns, (batch, n, k))
    full = _rows(out, flat, 0, blocks * lanes) if rest else flat
    split = out.reshape(full, (batch, blocks, lanes, k))
    packed = _transpose(out, split, (0, 1, 3, 2))
    if not rest:
        return out.reshape(packed, shape)
    head = out.reshape(packed, (batch, blocks * lanes * k))
    tail = out.reshape(_rows(out, flat, blocks * lanes, n), (batch, rest * k))
    inputs, attributes = (tail.name,), {"axis": 1}
    joined = out.helper("Concat", head, (batch, n * k), identity(2), fmt, inputs=inputs, attributes=attributes)
    return out.reshape(joined, shape)


def _transpose(out: Emitter, source: Stored, permutation: Sequence[int]) -> Stored:
    shape = [source.shape[axis] for axis in permutation]
    return out.helper("Transpose", source, shape, identity(len(shape)), source.format, attributes={"perm": list(permutation)})


def _rows(out: Emitter, source: Stored, start: int, end: int) -> Stored:
    """Entries start to end of axis 1."""
    constants = ((start, "starts"), (end, "ends"), (1, "axes"), (1, "steps"))
    names = tuple(out.plain_constant(np.array([n], dtype=np.int64), out.fresh(f"{source.name}/{what}")) for n, what in constants)
    shape = (source.shape[0], end - start, *source.shape[2:])
    return out.helper("Slice", source, shape, identity(len(shape)), source.format, inputs=names)
