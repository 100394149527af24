"""Networks with operators of a user's own: imported from any opset and domain, quantized, exported, run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from espdl.dl import Module
from espdl.dl.module import BUILT_IN, MODULE_TYPES, Layout, LayoutRule, Quantization
from espdl.errors import EspdlError
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.importer import load_network
from tests.pages import operators_forgotten


@pytest.fixture(autouse=True)
def operators() -> Iterator[None]:
    with operators_forgotten():

        class Squareplus(Module, op_type="Squareplus"):
            quantization = Quantization(table=True)
            layout = LayoutRule(Layout.FOLLOWS_INPUT)

            def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
                return [input_shapes[0]]

            def float_forward(self, x: Any) -> Any:
                return (x + np.sqrt(x * x + self.attributes.get("b", 4.0))) / 2

        class Shuffle(Module, op_type="Shuffle"):
            """Channels in another order: [N, H, W, C]."""

            quantization = Quantization(passive=True)
            layout = LayoutRule(Layout.CHANNELS_LAST)

            def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
                assert input_shapes[0][-1] % self.attributes["groups"] == 0
                return [input_shapes[0]]

            def float_forward(self, x: Any) -> Any:
                apart = x.reshape(*x.shape[:-1], self.attributes["groups"], -1)
                return apart.swapaxes(-1, -2).reshape(x.shape)

        class Scale(Module, op_type="Scale"):
            """One constant factor per channel."""

            layout = LayoutRule(Layout.CHANNELS_LAST)

            def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
                return [input_shapes[0]]

            def float_forward(self, x: Any, factor: Any) -> Any:
                return x * factor

        class Halves(Module, op_type="Halves"):
            """Two outputs along the last axis."""

            def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
                half = [*input_shapes[0][:-1], input_shapes[0][-1] // 2]
                return [half, half]

            def float_forward(self, x: Any) -> Any:
                first, second = np.split(x, 2, axis=-1)
                return first, second

        yield


RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
FACTOR = np.float32([1, -2, 0.5, 3])
IMAGES = list(RNG.normal(size=(6, 1, 3, 6, 8)).astype(np.float32))


def network(opset: int = 18, domain: str = "com.example", groups: int = 2) -> onnx.ModelProto:
    own = {"domain": domain} if domain else {}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Squareplus", ["c"], ["s"], name="squareplus", b=1.0, **own),
        helper.make_node("Shuffle", ["s"], ["t"], name="shuffle", groups=groups, **own),
        helper.make_node("Scale", ["t", "k"], ["u"], name="scale", **own),
        helper.make_node("Halves", ["u"], ["a", "b"], name="halves", **own),
        helper.make_node("Add", ["a", "b"], ["y"], name="add"),
    ]
    constants = [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(FACTOR, "k")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y], constants), opset_imports=imports, ir_version=8)


def float_result(image: np.ndarray) -> np.ndarray:
    """The network in NumPy, [1, 4, 6, 4]."""
    padded = np.pad(image[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    c = np.einsum("chwij,ncij->nhw", windows, WEIGHT)
    s = (c + np.sqrt(c * c + 1)) / 2
    u = s[[0, 2, 1, 3]] * FACTOR[:, None, None]
    return (u[..., :4] + u[..., 4:])[None]


def close(quantized: QuantizedModel, decibels: float) -> None:
    found = [quantized.run({"x": image})["y"] for image in IMAGES]
    wanted = [float_result(image) for image in IMAGES]
    noise = sum(float(((a - b) ** 2).sum()) for a, b in zip(found, wanted, strict=True))
    assert 10 * np.log10(sum(float((b**2).sum()) for b in wanted) / noise) > decibels
    assert quantized.snr([{"x": image} for image in IMAGES])["y"] > decibels


@pytest.mark.parametrize(("opset", "domain"), [(11, ""), (13, "com.example"), (18, ""), (24, "com.example")])
@pytest.mark.parametrize(("target", "bits", "decibels"), [("esp32s3", 8, 15), ("esp32p4", 16, 40)])
def test_quantize_and_run(opset: int, domain: str, target: str, bits: int, decibels: float) -> None:
    quantized = quantize(network(opset, domain), IMAGES, target=target, bits=bits, test_values=True)
    assert [node.op_type for node in quantized.record.graph.node if node.op_type != "Transpose"] == [
        "Conv",
        "LUT",
        "Shuffle",
        "Scale",
        "Halves",
        "Add",
    ]
    for backend in ("numpy", "native"):
        assert quantized.model(backend=backend).test()
    close(quantized, decibels)


def test_shapes_are_inferred_by_the_operator() -> None:
    model = load_network(network())
    shapes = {value.name: list(value.shape.numpy()) for node in model.graph for value in node.outputs}
    assert shapes == {"c": [1, 4, 6, 8], "s": [1, 4, 6, 8], "t": [1, 4, 6, 8], "u": [1, 4, 6, 8]} | {
        name: [1, 4, 6, 4] for name in "aby"
    }


def test_a_shape_that_does_not_fit_names_the_node() -> None:
    with pytest.raises(EspdlError, match=r"node 'shuffle' \(Shuffle\).*operator Shuffle failed.*AssertionError"):
        load_network(network(groups=3))


def test_a_float_form_that_contradicts_its_shape_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE_TYPES["Scale"], "float_forward", lambda self, x, factor: x[:, :-1])
    with pytest.raises(EspdlError, match=r"node 'scale'.*float_forward gives shape \[1, 4, 5, 8\]"):
        quantize(network(), IMAGES)
    monkeypatch.setattr(MODULE_TYPES["Scale"], "float_forward", lambda self, x, factor: x / None)
    with pytest.raises(EspdlError, match=r"node 'scale'.*TypeError"):
        quantize(network(), IMAGES)


def test_too_few_outputs_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE_TYPES["Halves"], "get_output_shape", lambda self, shapes: [shapes[0]])
    with pytest.raises(EspdlError, match="makes 1 outputs, the node names 2"):
        load_network(network())


def test_an_operator_nobody_defines_is_refused() -> None:
    del MODULE_TYPES["Scale"]
    with pytest.raises(EspdlError, match="define the operator as a subclass"):
        quantize(network(), IMAGES)


def test_ours_are_no_custom_operators() -> None:
    assert {"Conv", "LUT", "GRU"} <= BUILT_IN
    assert "Squareplus" not in BUILT_IN
