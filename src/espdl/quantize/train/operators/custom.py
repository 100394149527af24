"""Operators of the user's own: their NumPy form, with the slope of functions of one value by differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from espdl.errors import EspdlError
from espdl.quantize.custom import run_custom
from espdl.quantize.tables import has_table
from espdl.quantize.train.operators.table import Function
from espdl.wording import at_node

DISTANCE = 1e-3
"""Between the values that a slope is computed from."""


def custom(node: ir.Node) -> Function:
    """The function of a node whose operator the user wrote."""

    def run(*tensors: torch.Tensor | None) -> Any:
        results = _Custom.apply(node, *tensors)
        return results if len(results) > 1 else results[0]

    return run


class _Custom(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, node: ir.Node, *tensors: torch.Tensor | None) -> Any:
        ctx.node = node
        ctx.save_for_backward(*tensors)
        like = next(tensor for tensor in tensors if tensor is not None)
        return tuple(_tensor(array, like) for array in _run(node, tensors))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        node, (x, *rest) = ctx.node, ctx.saved_tensors
        if not has_table(node):
            raise EspdlError(
                f"operator {node.op_type} cannot be trained through",
                where=at_node(node.name, node.op_type),
                why="the slope of an operator of one's own is known only where it is a function of one value",
            )
        ends = [_tensor(_run(node, (x + shift, *rest))[0], x) for shift in (DISTANCE, -DISTANCE)]
        return None, grads[0] * (ends[0] - ends[1]) / (2 * DISTANCE), *(None for _ in rest)


def _run(node: ir.Node, tensors: Any) -> list[np.ndarray]:
    return run_custom(node, [None if tensor is None else tensor.detach().cpu().float().numpy() for tensor in tensors])


def _tensor(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.array(array)).to(like.device, like.dtype)
