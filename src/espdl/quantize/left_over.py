"""Networks that nobody needs any more, and the memory that they hold."""

from __future__ import annotations

import gc

import onnx_ir as ir

from espdl.free_memory import give_back_memory

OFTEN = 1 << 25
"""Bytes of parameters worked on since the last collection from which on there is another one, which takes as long as the whole of a
small network."""


class _SinceCollection:
    size = 0


def free_left_over(network: ir.Model) -> None:
    """Frees what work before left, where that may be much by now; ``network`` is to be worked on.

    Networks and models are full of circles: without a collection they stay as long as Python likes, which knows nothing of the size of
    their arrays.
    """
    if _SinceCollection.size >= OFTEN:
        gc.collect()
        give_back_memory()
        _SinceCollection.size = 0
    constants = (value.const_value for value in network.graph.initializers.values())
    _SinceCollection.size += sum(tensor.nbytes for tensor in constants if tensor is not None)
