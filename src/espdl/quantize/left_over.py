"""Networks that nobody needs any more, and the memory that they hold."""

from __future__ import annotations

import gc

import onnx_ir as ir

from espdl.free_memory import give_back_memory

LARGE = 1 << 22
"""Bytes of parameters from which on a network is worth a collection, which takes as long as the whole of a small network."""

OFTEN = 1 << 25
"""Bytes of parameters of all networks since the last collection from which on the next one to be quantized is preceded by another."""


class _SinceCollection:
    size = 0


def free_left_over(network: ir.Model) -> None:
    """Frees what work before left, where ``network``, which is to be worked on, is so large that memory counts.

    Networks and models are full of circles: without a collection they stay as long as Python likes, which knows nothing of the size of
    their arrays.
    """
    if _size(network) >= LARGE:
        _collect()


def free_much_left_over(network: ir.Model) -> None:
    """The same once it may be much, for work that does not take much longer itself."""
    if _SinceCollection.size >= OFTEN:
        _collect()
    _SinceCollection.size += _size(network)


def _collect() -> None:
    gc.collect()
    give_back_memory()
    _SinceCollection.size = 0


def _size(network: ir.Model) -> int:
    constants = (value.const_value for value in network.graph.initializers.values())
    return sum(tensor.nbytes for tensor in constants if tensor is not None)
