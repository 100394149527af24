"""Networks with maxima and truth values, from ONNX to the integers of the chip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from espdl.chips import get_chip
from espdl.quantize.api import quantize
from espdl.quantize.check import check_network
from espdl.quantize.importer import load_network
from tests.quantize.graphs import counted, network, op, prepared, weights

TARGETS = ("c", "esp32s3", "esp32p4", "esp32s31")
Shapes = Mapping[str, tuple[int, ...]]


def samples(shapes: Shapes, truth: tuple[str, ...] = ()) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    drawn = [{name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(6)]
    return [{name: array > 0 if name in truth else array for name, array in sample.items()} for sample in drawn]


def set_bool(source: onnx.ModelProto, *names: str) -> onnx.ModelProto:
    for value in (*source.graph.input, *source.graph.output):
        if value.name in names:
            value.type.tensor_type.elem_type = TensorProto.BOOL
    return source


IMAGES: Shapes = {"x": (1, 4, 6, 6), "z": (1, 4, 1, 6), "k": (1, 1, 6, 6)}


def extrema_and_truth() -> onnx.ModelProto:
    nodes = [
        op("Conv", "x w", "c"),
        op("Max", "c x z", "m"),
        op("Min", "m b", "n"),
        op("Greater", "n x", "g"),
        op("Less", "n b", "l"),
        op("And", "g l", "a"),
        op("Or", "a k", "r"),
        op("Xor", "r g", "e"),
        op("Not", "e", "o"),
    ]
    constants = {"w": weights(4, 4, 1, 1) * 0.5, "b": weights(4, 1, 1)}
    return set_bool(network(nodes, IMAGES, constants, outputs="o n"), "o", "k")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("target", TARGETS)
def test_extrema_and_truth_values(target: str, bits: int) -> None:
    quantized = quantize(extrema_and_truth(), samples(IMAGES, ("k",)), target=target, bits=bits, test_values=True)
    nodes = {node.op_type: {a.name: a.value for a in node.attribute} for node in quantized.record.graph.node}
    assert {nodes[name]["quant_type"] for name in ("And", "Or", "Xor", "Not")} == {"S8"}
    assert {nodes[name]["quant_type"] for name in ("Max", "Min")} == {f"S{bits}"}
    for arithmetic in ("reference", "silicon"):
        assert quantized.model(arithmetic=arithmetic).test()
    snr = quantized.snr(quantized.samples)
    assert snr["n"] > 25
    assert snr["o"] > 15


def test_many_operands_become_pairs() -> None:
    three = prepared(network([op("Max", "x y z", "m"), op("Min", "m x z y", "o")], dict.fromkeys("xyz", (2, 3)), outputs="o"))
    assert counted(three) == {"Max": 2, "Min": 3}
    assert counted(prepared(network([op("Max", "x", "m"), op("Tanh", "m", "y")], {"x": (2, 3)}))) == {"Tanh": 1}


def test_the_check_says_that_firmware_must_register_them() -> None:
    verdicts = {v.op_type: v for v in check_network(load_network(extrema_and_truth()), get_chip("esp32s3"))}
    for name in ("Min", "And", "Not"):
        assert verdicts[name].status == "limited"
        assert "register_module" in verdicts[name].detail
    assert verdicts["Conv"].status == "supported"
