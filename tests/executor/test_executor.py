"""``TorchExecutor`` answers what the chip will. Needs PyTorch."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import pytest

from espdl.api import ENABLE_CUDA_KERNEL, espdl_quantize_onnx
from espdl.errors import EspdlError
from espdl.executor import TorchExecutor
from tests.quantize.graphs import network, op, weights


def test_without_pytorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EspdlError, match=r"PyTorch is not installed(.|\n)*espdl\[torch\]"):
        TorchExecutor(None)  # type: ignore[arg-type]


torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch

IMAGES = torch.from_numpy(weights(4, 3, 8, 8))


def quantized(proto: onnx.ModelProto, data: Any, target: str = "esp32s3") -> Any:
    with ENABLE_CUDA_KERNEL():
        return espdl_quantize_onnx(proto, "unused.espdl", data, 4, None, target=target, error_report=False, skip_export=True)


def small() -> onnx.ModelProto:
    nodes = [
        op("Conv", "image w b", "c"),
        op("Relu", "c", "hidden"),
        op("GlobalAveragePool", "hidden", "p"),
        op("Flatten", "p", "f"),
        op("Gemm", "f v", "logits", transB=1),
    ]
    constants = {"w": weights(6, 3, 3, 3), "b": weights(6, seed=1), "v": weights(5, 6, seed=2)}
    return network(nodes, {"image": [1, 3, 8, 8]}, constants, outputs="logits")


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
def test_a_batch_of_any_form_gives_the_chips_answers(target: str) -> None:
    model = quantized(small(), IMAGES.split(1), target)
    executor = TorchExecutor(graph=model, device="cpu")
    (answers,) = executor(IMAGES)
    assert answers.shape == (4, 5) and answers.dtype is torch.float32
    loaded = model.model()
    exponent = loaded.get_output().exponent
    for image, answer in zip(IMAGES.split(1), answers, strict=True):
        raw = loaded.run_arrays({"image": image.permute(0, 2, 3, 1).numpy()})["logits"]
        np.testing.assert_array_equal(raw[0] * 2.0 ** int(exponent), answer.numpy())
        for form in (image, image[0], image.numpy(), [image], (image,), {"image": image}):
            assert torch.equal(executor(form)[0][0], answer)


def test_intermediate_tensors_have_the_order_of_axes_of_the_float_network() -> None:
    executor = TorchExecutor(quantized(small(), IMAGES.split(1)))
    hidden, logits = executor.forward(IMAGES, ["hidden", "logits"])
    assert hidden.shape == (4, 6, 6, 6) and hidden.min() == 0
    assert torch.equal(logits, executor(IMAGES)[0])
    with pytest.raises(EspdlError, match="no tensor 'nothing'"):
        executor(IMAGES, ["nothing"])


def test_lists_are_in_the_order_of_the_inputs_and_mappings_by_name() -> None:
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.5, 4.0]])
    model = quantized(network([op("Sub", "a b", "y")], {"a": [1, 2], "b": [1, 2]}), [[a, b]])
    executor = TorchExecutor(model)
    for inputs in ([a, b], {"b": b, "a": a}):
        (answer,) = executor(inputs)
        assert answer.tolist() == [[0.5, pytest.approx(-2.0, abs=0.05)]]
    with pytest.raises(EspdlError, match="the network has 2 inputs"):
        executor(a)


def test_the_two_arithmetics_are_those_of_the_runtime() -> None:
    """256 products of nearly 2**14 leave the 20-bit lanes of the chip's vector unit, which saturate."""
    proto = network([op("Gemm", "x w", "y", transB=1)], {"x": [1, 256]}, {"w": np.full((16, 256), 1.0, np.float32)})
    x = torch.full((1, 256), 1.0)
    model = quantized(proto, [x])
    (silicon,) = TorchExecutor(model)(x)
    (reference,) = TorchExecutor(model, arithmetic="reference")(x)
    assert (silicon < reference).all()
    for arithmetic, answer in (("silicon", silicon), ("reference", reference)):
        loaded = model.model(arithmetic=arithmetic)
        raw = loaded.run_arrays({"x": x.numpy()})["y"]
        np.testing.assert_array_equal(raw * 2.0 ** int(loaded.get_output().exponent), answer.numpy())


def test_inputs_that_do_not_fit_are_told() -> None:
    executor = TorchExecutor(quantized(small(), IMAGES.split(1)))
    with pytest.raises(EspdlError, match="input 'image' has shape"):
        executor(IMAGES[:, :2])
    with pytest.raises(EspdlError, match="holds no samples"):
        executor(IMAGES[:0])
    with pytest.raises(EspdlError, match="a str cannot be run"):
        TorchExecutor("net.espdl")  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_gradients_go_through_the_chips_values(target: str) -> None:
    model = quantized(small(), IMAGES.split(1), target)
    executor = TorchExecutor(model, arithmetic="reference")
    for form in (IMAGES[:1], [IMAGES[:1]], {"image": IMAGES[:1]}, IMAGES[:1].numpy()):
        (answer,) = executor.forward_with_gradient(form)
        assert torch.equal(answer, executor(IMAGES[:1])[0])
    image = IMAGES[:1].clone().requires_grad_()
    hidden, logits = executor.forward_with_gradient(image, ["hidden", "logits"])
    (hidden.sum() + logits.square().sum()).backward()
    assert image.grad is not None and image.grad.abs().max() > 0
    with pytest.raises(EspdlError, match=r"no tensor 'nothing'"):
        executor.forward_with_gradient(image, ["nothing"])
    with pytest.raises(EspdlError, match="device 'nowhere'"):
        TorchExecutor(model, "nowhere")
    with pytest.raises(EspdlError, match="input 'image' is on device meta, the network on cpu"):
        executor.forward_with_gradient(IMAGES.to("meta"))
