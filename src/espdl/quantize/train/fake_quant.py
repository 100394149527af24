"""Fake quantization: real values in, the real values that the chip's integers stand for out, with gradients to learn by.

Formulas: quantizer spec 8.9 and 9.2. Rounding is straight through: its derivative is taken as 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from espdl.rounding import Rounding

LN2 = math.log(2.0)


@dataclass(frozen=True)
class Grid:
    """The integers of a representation.

    Attributes:
        bits: their width.
        rounding: of the chip.
        axis: channel axis where there is one scale per channel.
    """

    bits: int
    rounding: Rounding
    axis: int = 0

    @property
    def low(self) -> int:
        return -(2 ** (self.bits - 1))

    @property
    def high(self) -> int:
        return 2 ** (self.bits - 1) - 1


def exponents_of(log2_scale: torch.Tensor) -> tuple[int, ...]:
    """The exponents that scales stand for: the nearest integers."""
    return tuple(int(e) for e in torch.round(log2_scale.detach()).reshape(-1).tolist())


def fake_quantize(x: torch.Tensor, log2_scale: torch.Tensor, grid: Grid, exponents: Sequence[int] | None = None) -> torch.Tensor:
    """``clamp(round(x / s), low, high) * s`` with ``s = 2**round(log2_scale)``.

    Gradients: to ``x`` where its integer is inside of the range, else 0. To ``log2_scale`` as to ``a`` in ``s = 2**a``:
    ``ln 2 * s * (q - x / s)`` inside, ``ln 2 * s * low`` or ``* high`` beyond, summed over what shares the scale.

    Args:
        x: real values of any shape.
        log2_scale: float tensor [], or [channels] for one scale per entry of axis ``grid.axis``.
        grid: width and rounding.
        exponents: what :func:`exponents_of` gives, where it is known already.
    """
    known = exponents_of(log2_scale) if exponents is None else exponents
    if len(known) == 1:
        return _PerTensor.apply(x, log2_scale, 2.0 ** known[0], grid)
    return _PerChannel.apply(x, log2_scale, grid)


def round_integers_(values: torch.Tensor, rounding: Rounding) -> torch.Tensor:
    """Rounds in place: half-even, or ``floor(v + 0.5)`` as the chip computes half-up."""
    return values.round_() if rounding is Rounding.HALF_EVEN else values.add_(0.5).floor_()


def step_weight(count: int, grid: Grid) -> float:
    """``g = 1 / sqrt(N * Qp)``: what LSQ multiplies the gradient of a step by that rounds N numbers (Esser and others, 2020, 2.2)."""
    return 1.0 / math.sqrt(max(count, 1) * grid.high)


def weigh_gradient(tensor: torch.Tensor, weight: float) -> torch.Tensor:
    """The tensor itself; its gradients are multiplied by ``weight``."""
    found: torch.Tensor = _Weighed.apply(tensor, weight)
    return found


class _Weighed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, weight: float) -> torch.Tensor:
        ctx.weight = weight
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        return grad * ctx.weight, None


class _PerTensor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, log2_scale: torch.Tensor, scale: float, grid: Grid) -> torch.Tensor:
        y = round_integers_(x * (1.0 / scale), grid.rounding).clamp_(grid.low, grid.high).mul_(scale)
        ctx.grid, ctx.scale, ctx.shape = grid, scale, log2_scale.shape
        ctx.save_for_backward(x, y if ctx.needs_input_grad[1] else None)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        x, y = ctx.saved_tensors
        low, high = _ends(ctx.grid, ctx.scale)
        inside = torch.ops.aten.hardtanh_backward(grad, x, low, high)
        to_scale = None
        if y is not None:
            to_scale = (LN2 * (_dot(grad, y) - _dot(inside, x))).reshape(ctx.shape)
        return inside, to_scale, None, None


class _PerChannel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, log2_scale: torch.Tensor, grid: Grid) -> torch.Tensor:
        shape = [1] * x.ndim
        shape[grid.axis] = -1
        scale = torch.exp2(torch.round(log2_scale.detach())).to(x.dtype).reshape(shape)
        integers = round_integers_(x / scale, grid.rounding)
        outside = (integers < grid.low) | (integers > grid.high)
        y = integers.clamp_(grid.low, grid.high).mul_(scale)
        ctx.axis = grid.axis
        ctx.save_for_backward(x, y, outside)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        x, y, outside = ctx.saved_tensors
        inside = grad.masked_fill(outside, 0.0)
        to_scale = None
        if ctx.needs_input_grad[1]:
            others = [axis for axis in range(x.ndim) if axis != ctx.axis]
            share = grad * y - inside * x
            to_scale = LN2 * (share.sum(others) if others else share)
        return inside, to_scale, None


def _ends(grid: Grid, scale: float) -> tuple[float, float]:
    """Real values between which, both left out, integers are in range.

    A tie at an end that rounds into the range counts as outside: there the slope is that of the end.
    """
    return (grid.low - 0.5) * scale, (grid.high + 0.5) * scale


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    if a.ndim == 4 and all(t.is_contiguous(memory_format=torch.channels_last) for t in (a, b)):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)  # so that nothing is copied
    return torch.dot(a.reshape(-1), b.reshape(-1))
