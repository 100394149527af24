"""Attention: scaled dot products of whole heads (quantizer spec 10)."""

from __future__ import annotations

import math
from typing import Any

import torch

from espdl.dl.module.contract import NodeFacts
from espdl.quantize.train.operators.table import Function, operator


@operator("Attention")
def attention(facts: NodeFacts) -> Function:
    """``softmax(scale * Q K^T + mask) V``; a query that no key counts for gives 0."""
    given = facts.attributes.get("scale")
    causal = bool(facts.attributes.get("is_causal", 0))
    heads_last = str(facts.attributes.get("layout", "BHND")).upper() == "BNHD"

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None, *rest: Any) -> torch.Tensor:
        q, k, v = (tensor.transpose(1, 2) if heads_last else tensor for tensor in (q, k, v))
        groups = q.shape[1] // k.shape[1]
        if groups > 1:
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if given is None else float(given))
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
        if causal:
            seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
            scores = scores.masked_fill(~seen, -math.inf)
        hidden = (scores == -math.inf).all(-1, keepdim=True)
        weights = torch.softmax(scores.masked_fill(hidden, 0.0), -1).masked_fill(hidden, 0.0)
        result = weights @ v
        return result.transpose(1, 2) if heads_last else result

    return run
