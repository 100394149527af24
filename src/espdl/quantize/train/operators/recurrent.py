"""GRU and LSTM, with the gates rounded as on the chip (runtime spec 3.12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from espdl.dl.module.contract import NodeFacts
from espdl.dl.module.gates import SIGMOID_BOUND, TANH_BOUND
from espdl.quantize.train.operators.table import Function, operator

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Inside:
    """How a recurrent operator rounds what it computes inside.

    Attributes:
        gate: rounds to the integers of the gates.
        hidden: rounds to those of the hidden state.
        exponent: of the gates.
    """

    gate: Callable[[torch.Tensor], torch.Tensor]
    hidden: Callable[[torch.Tensor], torch.Tensor]
    exponent: int

    def sigmoid(self, x: torch.Tensor) -> torch.Tensor:
        """Constant where the chip's table ends."""
        return torch.sigmoid(self._bounded(x, SIGMOID_BOUND))

    def tanh(self, x: torch.Tensor) -> torch.Tensor:
        """Constant where the chip's table ends."""
        return torch.tanh(self._bounded(x, TANH_BOUND))

    def _bounded(self, x: torch.Tensor, bound: float) -> torch.Tensor:
        last = (int(bound * 2.0**-self.exponent) + 1) * 2.0**self.exponent
        return torch.clamp(x, -last, last)


@dataclass(frozen=True)
class _Exact:
    """Nothing is rounded."""

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        return x

    hidden = gate

    def sigmoid(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x)

    def tanh(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x)


def _gru_cell(a: torch.Tensor, b: torch.Tensor, state: Tensors, at: Any) -> Tensors:
    (h,) = state
    size = h.shape[-1]
    both = at.sigmoid(a[..., : 2 * size] + b[..., : 2 * size])
    z, r = both[..., :size], both[..., size:]
    n = at.tanh(at.gate(a[..., 2 * size :] + r * b[..., 2 * size :]))
    return (at.hidden((1 - z) * n + z * h),)


def _lstm_cell(a: torch.Tensor, b: torch.Tensor, state: Tensors, at: Any) -> Tensors:
    h, c = state
    size = h.shape[-1]
    sums = a + b
    i, o, f = at.sigmoid(sums[..., : 3 * size]).split(size, -1)
    cells = at.gate(f * c + i * at.tanh(sums[..., 3 * size :]))
    return at.hidden(o * at.tanh(cells)), cells


@operator("GRU", "LSTM")
def recurrent(facts: NodeFacts) -> Function:
    """X [S, B, I] (or [B, S, I] with ``layout`` 1) to Y [S, D, B, H] and the last states [D, B, H]."""
    cell, states = (_gru_cell, 1) if facts.op_type == "GRU" else (_lstm_cell, 2)
    batch_first = bool(facts.attributes.get("layout", 0))
    backwards = str(facts.attributes.get("direction", "forward")) == "reverse"
    count = len(facts.output_shapes)

    def run(x: torch.Tensor, w: torch.Tensor, r: torch.Tensor, bias: Any = None, *rest: Any, inside: Inside | None = None) -> Any:
        at = inside or _Exact()
        rows = x.transpose(0, 1) if batch_first else x
        hidden, outputs, last = r.shape[-1], [], []
        for d in range(w.shape[0]):
            initial = [
                rest[1 + n][d] if len(rest) > 1 + n and rest[1 + n] is not None else x.new_zeros((rows.shape[1], hidden))
                for n in range(states)
            ]
            first, second = (0.0, 0.0) if bias is None else bias[d].chunk(2)
            a = at.gate(rows @ w[d].t()) + first
            state: Tensors = tuple(initial)
            found: list[torch.Tensor] = [x] * rows.shape[0]
            turned = d == 1 or backwards
            for step in reversed(range(rows.shape[0])) if turned else range(rows.shape[0]):
                b = at.gate(state[0] @ r[d].t()) + second
                state = cell(a[step], b, state, at)
                found[step] = state[0]
            outputs.append(torch.stack(found))
            last.append(state)
        y = torch.stack(outputs, 1)
        finals = [torch.stack([state[n] for state in last]) for n in range(states)]
        if batch_first:
            y, finals = y.permute(2, 0, 1, 3), [final.transpose(0, 1) for final in finals]
        return (y, *finals)[:count] if count > 1 else y

    return run
