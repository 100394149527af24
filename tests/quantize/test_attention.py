"""Networks with Attention, from ONNX to the integers of the chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from espdl.quantize.api import quantize
from tests.quantize.graphs import counted, network, op, prepared, weights

TOKENS: Mapping[str, tuple[int, ...]] = {"x": (1, 10, 16)}


def samples() -> list[np.ndarray]:
    return list(np.random.default_rng(0).standard_normal((6, 1, 10, 16)).astype(np.float32))


def attention(mask: Any = None, *, split: bool = True, **attributes: Any) -> onnx.ModelProto:
    """Two heads of 8 on 10 tokens; with ``split`` false on tensors of rank 3."""
    nodes = [op("MatMul", f"x w{letter}", letter) for letter in "qkv"]
    constants: dict[str, Any] = {f"w{letter}": weights(16, 16, seed=seed) * 0.3 for seed, letter in enumerate("qkv")}
    if split:
        constants["s"] = [1, 10, 2, 8]
        for letter in "qkv":
            nodes += [op("Reshape", f"{letter} s", f"{letter}r"), op("Transpose", f"{letter}r", f"{letter}h", perm=[0, 2, 1, 3])]
    else:
        attributes = {"q_num_heads": 2, "kv_num_heads": 2} | attributes
    operands = "qh kh vh" if split else "q k v"
    if mask is not None:
        constants["m"], operands = mask, operands + " m"
    return network([*nodes, op("Attention", operands, "y", **attributes)], TOKENS, constants, opset=23)


HIDDEN = np.where(np.arange(10) > np.arange(10)[:, None] + 2, -np.inf, 0).astype(np.float32)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
@pytest.mark.parametrize(
    "source",
    [
        attention(),
        attention(split=False, scale=0.4),
        attention(HIDDEN == 0),
        attention(HIDDEN, is_causal=1),
        attention(np.where(HIDDEN == 0, 0.5, HIDDEN).astype(np.float32)),
    ],
    ids=["plain", "rank 3", "truth", "hidden", "added"],
)
def test_attention(source: onnx.ModelProto, target: str, bits: int) -> None:
    quantized = quantize(source, samples(), target=target, bits=bits, test_values=True)
    (node,) = (node for node in quantized.record.graph.node if node.op_type == "Attention")
    assert {a.name for a in node.attribute} <= {"quant_type", "scale", "is_causal"}
    assert quantized.model(arithmetic="reference").test()
    assert min(quantized.snr(quantized.samples).values()) > (20 if bits == 8 else 70)


def test_attention_is_brought_into_the_chips_form() -> None:
    assert counted(prepared(attention(split=False)))["Transpose"] == 4
    tidy = prepared(attention(HIDDEN, softcap=0.0, qk_matmul_output_mode=0))
    (node,) = (node for node in tidy.graph if node.op_type == "Attention")
    assert not node.attributes
    assert node.inputs[3] is not None
    assert node.inputs[3].const_value is not None
    assert node.inputs[3].const_value.numpy().dtype == np.bool_
