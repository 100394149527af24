"""Networks that nobody needs any more, and the memory that they hold."""

from __future__ import annotations

import gc

import onnx_ir as ir

from espdl.free_memory import give_back_memory

LARGE = 1 << 22
"""Bytes of parameters from which on a network is worth a collection, which takes as long as the whole of a small network."""


def free_left_over(network: ir.Model) -> None:
    """Frees what work before left, where ``network``, which is to be worked on, is so large that memory counts.

    Networks and models are full of circles: without a collection they stay as long as Python likes.
    """
    constants = (value.const_value for value in network.graph.initializers.values())
    if sum(tensor.nbytes for tensor in constants if tensor is not None) >= LARGE:
        gc.collect()
        give_back_memory()
