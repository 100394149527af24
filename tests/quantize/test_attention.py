"""Networks with Attention, from ONNX to the integers of the chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from espdl.errors import EspdlError
from espdl.quantize.api import quantize
from espdl.quantize.setting import QuantizationSettingFactory
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
    assert sum("Attention: needs an ESP-DL newer" in warning for warning in quantized.warnings) == 1
    assert min(quantized.snr(quantized.samples).values()) > (20 if bits == 8 else 70)


def test_attention_is_brought_into_the_chips_form() -> None:
    assert counted(prepared(attention(split=False)))["Transpose"] == 4
    tidy = prepared(attention(HIDDEN, softcap=0.0, qk_matmul_output_mode=0))
    (node,) = (node for node in tidy.graph if node.op_type == "Attention")
    assert not node.attributes
    assert node.inputs[3] is not None
    assert node.inputs[3].const_value is not None
    assert node.inputs[3].const_value.numpy().dtype == np.bool_


def by_hand(
    *,
    heads: int = 2,
    depth: int = 8,
    rank: int = 4,
    factor: str = "Div",
    mask: Any = None,
    where: str = "",
    before: bool = False,
    masked_score: float = -np.inf,
) -> onnx.ModelProto:
    """The formula in single operators, on 10 tokens; ``before`` multiplies Q and K, ``factor`` the product."""
    width = heads * depth
    nodes = [op("MatMul", f"x w{letter}", letter) for letter in "qkv"]
    constants: dict[str, Any] = {f"w{letter}": weights(16, width, seed=seed) * 0.3 for seed, letter in enumerate("qkv")}
    constants["s"] = [1, 10, heads, depth]
    for letter in "qkv":
        nodes += [op("Reshape", f"{letter} s", f"{letter}r")]
        nodes += [op("Transpose", f"{letter}r", f"{letter}h", perm=[0, 2, 3, 1] if letter == "k" else [0, 2, 1, 3])]
    q, k, v = "qh", "kh", "vh"
    if rank == 3:
        shapes = {"q": [heads, 10, depth], "k": [heads, depth, 10], "v": [heads, 10, depth]}
        constants |= {f"s{letter}": shape for letter, shape in shapes.items()}
        nodes += [op("Reshape", f"{letter}h s{letter}", f"{letter}3") for letter in "qkv"]
        q, k, v = "q3", "k3", "v3"
    if before:
        constants["half"] = np.array(depth**-0.25, np.float32)
        nodes += [op("Mul", f"{q} half", "qs"), op("Mul", f"half {k}", "ks")]
        q, k = "qs", "ks"
    nodes.append(op("MatMul", f"{q} {k}", "scores"))
    last = "scores"
    if factor:
        constants["f"] = np.array(depth ** (0.5 if factor == "Div" else -0.5), np.float32)
        nodes.append(op(factor, f"{last} f", "scaled"))
        last = "scaled"
    if where:
        constants |= {"cond": (HIDDEN == 0) == (where == "c s l"), "level": np.array(masked_score, np.float32)}
        nodes.append(op("Where", " ".join({"c": "cond", "s": last, "l": "level"}[part] for part in where.split()), "masked"))
        last = "masked"
    elif mask is not None:
        constants["m"] = mask
        nodes.append(op("Add", f"{last} m", "masked"))
        last = "masked"
    nodes += [op("Softmax", last, "p", axis=-1), op("MatMul", f"p {v}", "y")]
    return network(nodes, TOKENS, constants, opset=18)


LOWEST = np.where(HIDDEN == 0, 0, np.finfo(np.float32).min).astype(np.float32)


@pytest.mark.parametrize(
    "source",
    [
        by_hand(),
        by_hand(factor="Mul"),
        by_hand(factor=""),
        by_hand(factor="", before=True),
        by_hand(mask=HIDDEN),
        by_hand(mask=LOWEST),
        by_hand(mask=weights(10, 10) * 0.3),
        by_hand(where="c s l", masked_score=-3e38),
        by_hand(rank=3, mask=HIDDEN),
        by_hand(rank=3, factor="", before=True),
    ],
    ids=["div", "mul", "no factor", "before", "mask", "lowest", "bias", "where", "rank 3", "rank 3 before"],
)
def test_the_formula_becomes_attention(source: onnx.ModelProto) -> None:
    found = counted(prepared(source))
    assert found["Attention"] == 1
    assert "Softmax" not in found and "Where" not in found
    quantized = quantize(source, samples(), target="esp32p4", test_values=True)
    assert quantized.model(arithmetic="reference").test()
    assert min(quantized.snr(quantized.samples).values()) > 20


def test_a_where_may_hide_where_its_condition_is_true() -> None:
    source = by_hand(where="c l s")
    assert counted(prepared(source))["Attention"] == 1


def test_a_mask_of_the_lowest_number_hides() -> None:
    (node,) = (node for node in prepared(by_hand(mask=LOWEST)).graph if node.op_type == "Attention")
    assert node.inputs[3] is not None and node.inputs[3].const_value is not None
    assert node.inputs[3].const_value.numpy().dtype == np.bool_


def test_heads_beyond_the_chip_stay_as_they_are() -> None:
    found = counted(prepared(by_hand(heads=1, depth=96)))
    assert "Attention" not in found and found["Softmax"] == 1


def test_the_setting_leaves_the_formula_alone() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.espdl_attention_fusion = False
    quantized = quantize(by_hand(), samples(), target="esp32p4", setting=setting)
    assert "Attention" not in counted(quantized.graph.model)


def beyond(*, kv_heads: int = 2, depth: int = 72, mask: Any = None, **attributes: Any) -> onnx.ModelProto:
    """Attention with heads that the kernels do not take, two for Q."""
    nodes = []
    constants: dict[str, Any] = {}
    for seed, (letter, count) in enumerate({"q": 2, "k": kv_heads, "v": kv_heads}.items()):
        constants |= {f"w{letter}": weights(16, count * depth, seed=seed) * 0.2, f"s{letter}": [1, 10, count, depth]}
        nodes += [
            op("MatMul", f"x w{letter}", letter),
            op("Reshape", f"{letter} s{letter}", f"{letter}r"),
            op("Transpose", f"{letter}r", f"{letter}h", perm=[0, 2, 1, 3]),
        ]
    if mask is not None:
        constants["m"] = mask
    operands = "qh kh vh" + ("" if mask is None else " m")
    return network([*nodes, op("Attention", operands, "y", **attributes)], TOKENS, constants, opset=23)


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
@pytest.mark.parametrize(
    "source",
    [
        beyond(),
        beyond(kv_heads=1, scale=0.2),
        beyond(is_causal=1),
        beyond(mask=HIDDEN == 0),
        beyond(mask=HIDDEN, is_causal=1),
        beyond(depth=8, softcap=2.0),
    ],
    ids=["large", "shared heads", "causal", "truth", "both", "soft cap"],
)
def test_attention_beyond_the_chip_is_taken_apart(source: onnx.ModelProto, target: str) -> None:
    found = counted(prepared(source, target))
    assert "Attention" not in found and found["Softmax"] == 1
    quantized = quantize(source, samples(), target=target, test_values=True)
    assert quantized.model(arithmetic="reference").test()
    assert min(quantized.snr(quantized.samples).values()) > 18


def test_what_cannot_be_taken_apart_is_reported() -> None:
    nodes = [op("Cast", "t", "m", to=onnx.TensorProto.BOOL), op("Attention", "q q q m", "y")]
    source = network(nodes, {"q": (1, 2, 10, 72), "t": (10, 10)}, opset=23)
    with pytest.raises(EspdlError, match="at most 64 elements"):
        quantize(source, [], target="esp32p4")
