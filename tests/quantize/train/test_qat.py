"""A quantized network as a PyTorch module, and the loop that trains it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import espdl.quantize.train
from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.quantize.api import quantize
from espdl.quantize.setting import QuantizationSettingFactory
from tests.quantize.graphs import network, op, weights
from tests.quantize.unequal import samples, unequal


def test_without_pytorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EspdlError, match=r"PyTorch is not installed(.|\n)*espdl\[torch\]"):
        _ = espdl.quantize.train.prepare


torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch
DATA = np.stack([x[0] for x in samples(48)])


def prepared(**options: Any) -> Any:
    options.setdefault("setting", QuantizationSettingFactory.esp_ppq_setting())
    return espdl.quantize.train.prepare(unequal(gemm=True), samples(16), **options)


def trainer(model: Any, folder: Path | None = None, lr: float = 3e-5) -> tuple[Any, Any]:
    """Learns the float network's answers."""
    x = torch.from_numpy(DATA)
    y = model.float_forward(x)
    loss = torch.nn.functional.mse_loss
    made = espdl.quantize.train.QuantTrainer(
        model, torch.optim.Adam(model.parameters(), lr), loss, lambda model: -loss(model(x[32:]), y[32:]), folder=folder
    )
    dataset = torch.utils.data.TensorDataset(x[:32], y[:32])
    return made, torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=True)


def states(model: Any) -> list[np.ndarray]:
    return [tensor.numpy().copy() for tensor in model.state_dict().values()]


@pytest.mark.parametrize("preset", ["espdl_setting", "esp_ppq_setting"])
def test_the_file_gives_what_the_module_gives(tmp_path: Path, preset: str) -> None:
    model = prepared(setting=getattr(QuantizationSettingFactory, preset)())
    made, loader = trainer(model)
    made.fit(loader, 1)
    with torch.no_grad():
        values = model(torch.from_numpy(DATA[:6])).numpy()
    integers = [model.quantized_model().run({"x": x[None]})["y"] for x in DATA[:6]]
    np.testing.assert_array_equal(values, np.concatenate(integers))
    files = model.export(tmp_path / "net.espdl", test_values=True)
    assert [path.suffix for path in files] == [".espdl", ".info", ".json"] and Model(files[0]).test()


def test_training_brings_the_network_nearer_to_its_teacher() -> None:
    made, loader = trainer(prepared())
    record = made.fit(loader, 6)
    assert record.best > 0.8 * record.metrics[0] and len(record.losses) == 6
    assert record.best == max(record.metrics) == record.metrics[record.best_epoch]


def test_going_on_from_a_checkpoint_is_as_not_having_stopped(tmp_path: Path) -> None:
    whole, loader = trainer(prepared(), tmp_path / "whole")
    wanted = whole.fit(loader, 3)
    first, loader = trainer(prepared(), tmp_path / "parts")
    first.fit(loader, 1)
    second, loader = trainer(prepared(), tmp_path / "parts")
    record = second.fit(loader, 3, resume=True)
    assert (record.losses, record.metrics) == (wanted.losses, wanted.metrics)
    for one, other in zip(states(second.model), states(whole.model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    first, loader = trainer(prepared(), tmp_path)
    first.fit(loader, 1)
    made = espdl.quantize.train.prepare(unequal(), samples(4))
    other = espdl.quantize.train.QuantTrainer(
        made, torch.optim.SGD(made.parameters(), 0.1), first._loss, lambda m: 0, folder=tmp_path
    )
    with pytest.raises(EspdlError, match=r"last.pt(.|\n)*checkpoint cannot be used"):
        other.fit(loader, 2, resume=True)


def test_what_makes_it_worse_is_undone() -> None:
    model = prepared()
    before = states(model)
    made, loader = trainer(model, lr=3.0)
    assert made.fit(loader, 1).best_epoch == 0
    for one, other in zip(states(model), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_interrupting_leaves_the_best_so_far(tmp_path: Path) -> None:
    model = prepared()
    made, loader = trainer(model)

    def stopping() -> Any:
        yield from loader
        raise KeyboardInterrupt

    record = made.fit(stopping(), 2)
    assert record.was_interrupted and record.best_epoch == 0
    assert model.export(tmp_path / "net.espdl")


def test_what_cannot_be_learned_from_is_refused() -> None:
    made, _ = trainer(prepared())
    with pytest.raises(EspdlError, match="a batch has no targets"):
        made.fit([torch.from_numpy(DATA[:2])], 1)
    with pytest.raises(EspdlError, match="no batches in epoch 1"):
        made.fit([], 1)
    made._loss = lambda got, wanted: got.sum() * float("nan")
    with pytest.raises(EspdlError, match="the loss is nan in epoch 1"):
        made.fit([(torch.from_numpy(DATA[:2]), None)], 1)
    with pytest.raises(EspdlError, match="no folder to resume from"):
        made.fit([], 1, resume=True)


@pytest.mark.parametrize(
    ("targets", "loss", "message"),
    [
        (None, "cross", r"the batch has no targets"),
        (torch.tensor([0, 1, 2]), "cross", r"do not fit the loss \(Expected input batch_size \(4\)"),
        (torch.tensor([0, 1, 2, 99]), "cross", r"do not fit the loss"),
        (
            torch.zeros(4, dtype=torch.int64, device="meta"),
            "cross",
            r"targets are on device meta, the network on cpu(.|\n)*targets.to",
        ),
        (torch.tensor([0, 1, 2, 3]), lambda got, wanted: got.square(), r"the loss is a tensor of 20 numbers"),
        (torch.tensor([0, 1, 2, 3]), lambda got, wanted: 1.0, r"the loss is a float"),
        (torch.tensor([0, 1, 2, 3]), lambda got, wanted: got.detach().sum(), r"the loss has no gradients"),
    ],
    ids=["no targets", "too few targets", "no such class", "device", "not one number", "no tensor", "no gradients"],
)
def test_targets_and_losses_that_do_not_fit_are_told(targets: Any, loss: Any, message: str) -> None:
    model = prepared()
    loss = torch.nn.functional.cross_entropy if loss == "cross" else loss
    made = espdl.quantize.train.QuantTrainer(model, torch.optim.Adam(model.parameters(), 1e-5), loss, lambda model: 0.0)
    before = states(model)
    with pytest.raises(EspdlError, match="epoch 1: (.|\n)*" + message):
        made.fit([(torch.from_numpy(DATA[:4]), targets)], 1)
    for one, other in zip(states(model), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_metric_that_is_no_number_and_an_optimizer_of_something_else_are_told() -> None:
    model = prepared()
    loss = torch.nn.functional.mse_loss
    made = espdl.quantize.train.QuantTrainer(model, torch.optim.Adam(model.parameters(), 1e-5), loss, lambda model: float("nan"))
    with pytest.raises(EspdlError, match="the metric is no number"):
        made.fit([], 1)
    other = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], 0.1)
    with pytest.raises(EspdlError, match="no parameter of the model"):
        espdl.quantize.train.QuantTrainer(model, other, loss, lambda model: 0.0).fit([], 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(4, 2, 8, 8), r"input 'x' has shape \[1, 3, 8, 8\], given is \[4, 2, 8, 8\]"),
        (torch.zeros(4, 3, 4, 4), r"input 'x' has shape"),
        (torch.zeros(3, 8), r"input 'x' has shape"),
        (torch.zeros(4, 3, 8, 8, device="meta"), r"input 'x' is on device meta, the network on cpu"),
        ("picture", r"input 'x' is no tensor"),
        ({"z": torch.zeros(1, 3, 8, 8)}, r"input 'x' is missing"),
    ],
    ids=["channels", "size", "axes", "device", "no tensor", "name"],
)
def test_inputs_that_do_not_fit_are_told(given: Any, message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        prepared()(given)


def test_batches_may_differ_in_size_and_lack_their_axis() -> None:
    model = prepared()
    with torch.no_grad():
        whole = model(torch.from_numpy(DATA[:7]))
        parts = [model(torch.from_numpy(DATA[start:stop])) for start, stop in ((0, 4), (4, 7))]
        single = model(torch.from_numpy(DATA[0]))
    assert torch.equal(torch.cat(parts), whole) and torch.equal(single, whole[:1])


def test_samples_of_several_entries_along_the_first_axis_stay_whole() -> None:
    nodes = [op("LSTM", "x w r b", "y", hidden_size=4)]
    constants = {"w": weights(1, 16, 3) * 0.3, "r": weights(1, 16, 4, seed=1) * 0.3, "b": weights(1, 32, seed=2) * 0.1}
    data = np.random.default_rng(0).standard_normal((4, 5, 1, 3)).astype(np.float32)
    model = espdl.quantize.train.prepare(quantize(network(nodes, {"x": (5, 1, 3)}, constants), list(data)))
    with torch.no_grad():
        both, each = model(torch.from_numpy(data[:2].reshape(10, 1, 3))), [model(torch.from_numpy(x)) for x in data[:2]]
    assert torch.equal(both, torch.cat(each))
    with pytest.raises(EspdlError, match=r"shape \[5, 1, 3\], given is \[7, 1, 3\]"):
        model(torch.zeros(7, 1, 3))


def test_devices_are_chosen_before() -> None:
    with pytest.raises(EspdlError, match="device 'nowhere'"):
        prepared(device="nowhere")
    with pytest.raises(EspdlError, match=r"stays where it is(.|\n)*prepare"):
        prepared().to("cpu")


def test_a_module_with_several_outputs_in_a_loop_of_ones_own(tmp_path: Path) -> None:
    class Detector(torch.nn.Module):
        """Boxes and scores at two resolutions, as YOLO's."""

        def __init__(self) -> None:
            super().__init__()
            conv = torch.nn.Conv2d
            self.stem = torch.nn.Sequential(conv(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.SiLU())
            self.down = torch.nn.Sequential(conv(8, 16, 3, 2, 1), torch.nn.SiLU())
            self.boxes = torch.nn.ModuleList([conv(8, 4, 1), conv(16, 4, 1)])
            self.scores = torch.nn.ModuleList([conv(8, 2, 1), conv(16, 2, 1)])

        def forward(self, image: Any) -> Any:
            fine = self.stem(image)
            levels = (fine, self.down(fine))
            heads = zip(levels, self.boxes, self.scores, strict=True)
            return tuple(head(level) for level, *both in heads for head in both)

    torch.manual_seed(0)
    images = torch.randn(8, 3, 16, 16)
    model = espdl.quantize.train.prepare(Detector().eval(), list(images[:, None].numpy()), [1, 3, 16, 16])
    wanted = model.float_forward(images)
    optimizer = torch.optim.SGD(model.parameters(), 1e-2)
    for _ in range(2):
        loss = sum(torch.nn.functional.l1_loss(got, part) for got, part in zip(model(images), wanted, strict=True))
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
    assert [tuple(output.shape) for output in model(images)] == [(8, 4, 8, 8), (8, 2, 8, 8), (8, 4, 4, 4), (8, 2, 4, 4)]
    model.export(tmp_path / "net.espdl", test_values=True)
    assert Model(tmp_path / "net.espdl").test()


def test_parameters_have_the_names_of_the_network_that_was_given() -> None:
    class Named(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU())
            self.device = torch.nn.Conv2d(8, 4, 1)
            self.head = torch.nn.Linear(4, 5, bias=False)

        def forward(self, image: Any) -> Any:
            return self.head(self.device(self.stem(image)).mean((2, 3)))

    images = np.random.default_rng(0).standard_normal((4, 1, 3, 8, 8)).astype(np.float32)
    model = espdl.quantize.train.prepare(Named().eval(), list(images), [1, 3, 8, 8])
    names = dict(model.named_parameters())
    assert {"stem.0.weight", "stem.0.bias", "device_.weight", "head.weight"} <= set(names)
    assert not any("onnx" in name or "MatMul" in name for name in names)
    assert model.stem is not None and names["stem.0.weight"].shape == (8, 3, 3, 3)
    with pytest.raises(EspdlError, match="stays where it is"):
        model.stem.half()
    onnx_names = dict(prepared().named_parameters())
    assert {"w0", "b0", "w1", "b1", "w2", "b2"} == set(onnx_names)


def test_a_network_that_rearranges_its_batch_runs_sample_by_sample() -> None:
    nodes = [
        op("MatMul", "x w", "h"),
        op("Transpose", "h", "t", perm=[1, 0, 2]),
        op("Reshape", "t s", "r"),
        op("MatMul", "r v", "y"),
    ]
    proto = network(nodes, {"x": (1, 4, 8)}, {"w": weights(8, 6), "s": [1, 4, 6], "v": weights(6, 3)})
    data = np.random.default_rng(0).standard_normal((6, 1, 4, 8)).astype(np.float32)
    model = espdl.quantize.train.prepare(quantize(proto, list(data)))
    both = model(torch.from_numpy(data[:2, 0]))
    np.testing.assert_array_equal(both[1:].detach().numpy(), model(torch.from_numpy(data[1])).detach().numpy())
    with pytest.raises(EspdlError, match="the batch holds no samples"):
        model(torch.zeros(0, 4, 8))
