"""PyTorch modules quantize as their ONNX exports do. Needs PyTorch, except for what is said without it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from espdl.api import espdl_quantize_onnx, espdl_quantize_torch
from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.executor import TorchExecutor
from espdl.quantize.torch_import import export_network

pytestmark = pytest.mark.torch


def test_without_pytorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EspdlError, match=r"PyTorch is not installed(.|\n)*espdl\[torch\]"):
        espdl_quantize_torch(object(), tmp_path / "net.espdl", [], 1, [1, 3])
    with pytest.raises(EspdlError, match="PyTorch is not installed"):
        TorchExecutor(graph=object())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")


@pytest.fixture
def net(torch: Any) -> Any:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = torch.nn.Sequential(
                torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU6(), torch.nn.Dropout()
            )
            self.head = torch.nn.Linear(8 * 6 * 6, 5)

        def forward(self, image: Any) -> Any:
            return self.head(torch.flatten(self.features(image), 1))

    torch.manual_seed(0)
    return Net()


@pytest.fixture
def images(torch: Any) -> Any:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def quantized(model: Any, path: Path, data: Any, shape: Any = (1, 3, 8, 8), **options: Any) -> Any:
    return espdl_quantize_torch(model, path, data, 4, shape, **{"error_report": False, **options})


@pytest.mark.parametrize("dynamo", [False, True, None])
def test_both_exporters_give_what_the_exported_file_gives(torch: Any, net: Any, images: Any, tmp_path: Path, dynamo: Any) -> None:
    model = quantized(net, tmp_path / "new" / "net.espdl", images.split(1), dynamo=dynamo, export_test_values=True)
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["net.espdl", "net.info", "net.json", "net.onnx"]
    assert Model(tmp_path / "new" / "net.espdl").test()
    again = espdl_quantize_onnx(
        tmp_path / "new" / "net.onnx",
        tmp_path / "again.espdl",
        images.split(1),
        4,
        None,
        error_report=False,
        export_test_values=True,
    )
    assert again.data == model.data
    layers = [node.name for node in model.graph.nodes()]
    assert ("/features/features.0/Conv" in layers) is (dynamo is not True)
    assert [value.name for value in model.graph.model.graph.inputs] == ["image"]


def test_the_module_keeps_its_modes_and_may_be_compiled_or_exported_before(
    torch: Any, net: Any, images: Any, tmp_path: Path
) -> None:
    net.features[3].eval()
    plain = quantized(net, tmp_path / "a.espdl", images.split(1))
    assert net.training and net.features.training and not net.features[3].training
    net.eval()
    example = (torch.zeros(1, 3, 8, 8),)
    traced = quantized(torch.jit.trace(net, example), tmp_path / "b.espdl", images.split(1))
    program = quantized(torch.export.export(net, example), tmp_path / "c.espdl", images.split(1), None)
    for other in (traced, program):
        sample = {other.graph.model.graph.inputs[0].name: images[:1].numpy()}
        got = next(iter(other.run(sample).values()))
        np.testing.assert_array_equal(got, next(iter(plain.run({"image": images[:1].numpy()}).values())))


def loaders(torch: Any, images: Any) -> dict[str, tuple[Any, dict[str, Any]]]:
    from torch.utils.data import DataLoader, TensorDataset

    labelled = TensorDataset(images, torch.arange(4))
    pairs = [(image, 0) for image in images]
    return {
        "loader of tensors": (DataLoader(list(images), batch_size=2), {}),
        "loader of pairs": (DataLoader(labelled, batch_size=2), {"collate_fn": lambda batch: batch[0]}),
        "loader with its own collate_fn": (
            DataLoader(pairs, batch_size=4, collate_fn=lambda batch: torch.stack([image for image, _ in batch])),
            {"collate_fn": lambda batch: batch.to("cpu")},
        ),
        "arrays": ([image.numpy() for image in images], {}),
        "mappings": ([{"image": image[None]} for image in images], {}),
        "lists": ([[image[None].double()] for image in images], {}),
        "tensors with gradients": ([image.clone().requires_grad_() for image in images], {}),
    }


def test_any_iterable_of_batches_is_calibration_data(torch: Any, net: Any, images: Any, tmp_path: Path) -> None:
    files = {
        name: espdl_quantize_torch(
            net, tmp_path / "x.espdl", data, len(data), [1, 3, 8, 8], error_report=False, skip_export=True, **options
        ).data
        for name, (data, options) in loaders(torch, images).items()
    }
    assert len(set(files.values())) == 1, {name: hash(data) for name, data in files.items()}
    assert not list(tmp_path.iterdir())


def test_a_generator_and_a_folder_of_pictures_are_calibration_data(torch: Any, net: Any, images: Any, tmp_path: Path) -> None:
    from PIL import Image

    def batches() -> Iterator[Any]:
        yield from images.split(1)

    assert quantized(net, tmp_path / "a.espdl", batches()).data == quantized(net, tmp_path / "a.espdl", images.split(1)).data
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index, image in enumerate(np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)):
        Image.fromarray(image).save(pictures / f"{index}.png")
    assert quantized(net, tmp_path / "b.espdl", pictures).samples[0]["image"].shape == (1, 3, 8, 8)


def test_inputs_of_their_own_types(torch: Any) -> None:
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(10, 4)

        def forward(self, index: Any, weight: Any) -> Any:
            return self.table(index) * weight

    network = export_network(Two(), None, [torch.tensor([[1, 2, 3]]), np.ones((1, 3, 4))])
    kinds = {value.name: value.type.tensor_type.elem_type for value in network.graph.input}
    assert kinds == {"index": onnx.TensorProto.INT64, "weight": onnx.TensorProto.FLOAT}


def test_what_cannot_be_exported_is_told(torch: Any, net: Any, tmp_path: Path) -> None:
    with pytest.raises(EspdlError, match="a list is not a PyTorch module"):
        export_network([], [[1]])
    with pytest.raises(EspdlError, match=r"cannot be exported to ONNX \(TorchScript: .*; torch.export: "):
        export_network(net, [[1, 4, 8, 8]])
    with pytest.raises(EspdlError, match="the shape of the module's input is not given"):
        export_network(net, None)
    if not torch.cuda.is_available():
        with pytest.raises(EspdlError, match="cannot run on device 'cuda'"):
            export_network(net, [[1, 3, 8, 8]], device="cuda")
    program = torch.export.export(net.eval(), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(EspdlError, match=r"torch\.export's exporter only"):
        export_network(program, None, dynamo=False)
    with pytest.raises(EspdlError, match=r"cannot be an \.onnx file"):
        quantized(net, tmp_path / "net.onnx", [])


def test_an_input_that_is_called_like_a_parameter_is_renamed(torch: Any) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = torch.nn.Parameter(torch.ones(3))

        def forward(self, x: Any) -> Any:
            return x * self.x

    for dynamo in (False, True):
        network = export_network(Net(), [[1, 3]], dynamo=dynamo)
        onnx.checker.check_model(network)
        assert [value.name for value in network.graph.input] == ["x_"]
