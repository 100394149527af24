"""LSQ, block-wise reconstruction and bias correction on blocks, as a user meets them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from espdl.errors import EspdlError
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.parameters import parameter, to_integers
from espdl.quantize.platform import get_target_platform
from espdl.quantize.recipe import load_recipe, recipe_text
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.snr import IntegerRun
from espdl.quantize.train import SampleStore, train_graph
from espdl.quantize.trainings import TRAININGS, Training, leave_out_training, trains
from tests.quantize.graphs import network, op, weights
from tests.quantize.unequal import samples, unequal

NEW = [training for training in TRAININGS if training.name != "TQT"]
BY_NAME = {training.name: training for training in TRAININGS}
RECONSTRUCTION, BIASES = BY_NAME["Block-wise reconstruction"], BY_NAME["Bias correction on blocks"]
each_method = pytest.mark.parametrize("training", NEW, ids=lambda training: training.group)
each_target = pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])


def setting(training: Training | None, plain: bool = True, **values: Any) -> QuantizationSetting:
    """A training, of few steps, behind ESP-PPQ's calibration, or behind all that is done by default."""
    made = QuantizationSettingFactory.esp_ppq_setting() if plain else QuantizationSettingFactory.espdl_setting()
    if training is not None:
        for path in training.switches:
            *groups, name = path.split(".")
            group: Any = made
            for part in groups:
                group = getattr(group, part)
            setattr(group, name, True)
        training.setting(made).update({"steps": 100, **values})
    return made


@each_method
def test_without_pytorch_the_error_says_what_to_install(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EspdlError, match=r"PyTorch is not installed(.|\n)*espdl\[torch\]"):
        quantize(unequal(), samples(2), setting=setting(training))


@each_method
def test_settings_go_into_a_recipe_and_back(training: Training, tmp_path: Path) -> None:
    wanted = setting(training, plain=False, interested_layers=["a"], holdout=0.5, seed=7)
    wanted.bias_correct_setting.steps = 9
    recipe = tmp_path / "recipe.toml"
    values = wanted.to_dict()
    groups = {name: values[name] for name in ("bias_correct_setting", training.group)}
    groups |= {path: True for path in training.switches if "." not in path}
    recipe.write_text(recipe_text(groups))
    assert load_recipe(recipe, get_target_platform("esp32s3", 8)) == wanted
    assert trains(wanted)
    leave_out_training(wanted)
    assert not trains(wanted)


@pytest.mark.parametrize(
    ("training", "name", "value"),
    [
        (RECONSTRUCTION, "rounding_reach", -1), (RECONSTRUCTION, "firmness", 1.5), (RECONSTRUCTION, "gamma", "much"),
        (BY_NAME["LSQ"], "scale_lr", float("inf")), (BIASES, "steps", 0), (BIASES, "block_size", -1), (BIASES, "holdout", 0.9),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_followed_are_refused(training: Training, name: str, value: object) -> None:
    with pytest.raises(EspdlError, match=rf"{training.group}\.{name} = "):
        quantize(unequal(), samples(2), setting=setting(training, **{name: value}))


torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
torch_only = pytest.mark.torch
DATA, UNSEEN = samples(56)[:32], samples(56)[32:]


def trained(training: Training | None, target: str = "esp32s3", plain: bool = True, **values: Any) -> QuantizedModel:
    return quantize(unequal(gemm=True), DATA, target=target, setting=setting(training, plain, **values))


def snr(model: QuantizedModel) -> float:
    return min(model.snr([{"x": x} for x in UNSEEN]).values())


def untrained(training: Training, target: str = "esp32s3", plain: bool = True) -> QuantizedModel:
    """With the same setting, but for the training."""
    chosen = setting(training, plain)
    leave_out_training(chosen)
    return quantize(unequal(gemm=True), DATA, target=target, setting=chosen)


@torch_only
@pytest.mark.parametrize(
    ("training", "target", "gain"),
    [
        (BY_NAME["LSQ"], "esp32s3", 0.3), (BY_NAME["LSQ"], "esp32p4", 2.0),
        (RECONSTRUCTION, "esp32s3", 0.3), (RECONSTRUCTION, "esp32p4", 2.0), (BIASES, "esp32s3", 0.2),
    ],
)  # fmt: skip
def test_the_file_becomes_better_on_data_that_it_has_not_seen(training: Training, target: str, gain: float) -> None:
    """In dB; the gains asked for are about half of what is measured."""
    model = trained(training, target)
    assert snr(model) > snr(untrained(training, target)) + gain
    assert any(line.startswith(f"{training.name}: ") for line in model.measures)
    assert any("Conv_c0 to Conv_c1: " in line or "Gemm_y: " in line for line in model.measures)


@torch_only
@each_target
@each_method
def test_what_balancing_and_rounding_leave_does_not_become_worse(training: Training, target: str) -> None:
    assert snr(trained(training, target, plain=False)) > snr(untrained(training, target, plain=False)) - 0.5


@torch_only
@each_target
@each_method
@pytest.mark.parametrize("plain", [True, False])
def test_the_file_gives_what_was_trained(training: Training, target: str, plain: bool) -> None:
    from espdl.quantize.train.executor import QuantExecutor

    model = trained(training, target, plain, steps=30)
    executor, integer = QuantExecutor(model.graph), IntegerRun(model.data, model.graph, model.lowered)
    for x in UNSEEN[:8]:
        with torch.no_grad():
            (value,) = executor(x)
        np.testing.assert_array_equal(value.numpy(), integer.run({"x": x})["y"])


@torch_only
@each_method
def test_the_same_seed_gives_the_same_file(training: Training) -> None:
    first = trained(training, steps=10)
    assert first.data == trained(training, steps=10).data
    assert first.data != trained(training, steps=10, seed=1).data


@torch_only
@each_method
def test_only_layers_that_exist_learn(training: Training) -> None:
    model = trained(training, interested_layers=["Gemm_y"], block_size=0)
    assert set(model.graph.adjusted) <= {"w2", "b2"}
    with pytest.raises(EspdlError, match=r"no layer 'Gemm_x'(.|\n)*Gemm_y"):
        trained(training, interested_layers=["Gemm_x"])


@torch_only
@pytest.mark.parametrize("training", NEW[:2], ids=lambda training: training.group)
def test_a_loss_that_is_no_number_is_told(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    from espdl.quantize.train.loop import BlockData

    loss = BlockData.loss
    bad = float("nan")
    monkeypatch.setattr(BlockData, "loss", lambda self, i: loss(self, i) * (bad if torch.is_grad_enabled() else 1.0))
    with pytest.raises(EspdlError, match=r"Conv_c0(.|\n)*the loss is nan(.|\n)*smaller lr"):
        trained(training, steps=3)


@torch_only
@each_method
def test_what_makes_a_block_or_the_network_worse_is_undone(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that learns is thrown far away: on the samples held out no part of the way is better."""
    from espdl.quantize.train import bias, loop, reconstruction

    keep_best = loop.keep_best

    def keep(data: Any, name: str, tensors: Any, change: Any, project: Any = lambda: None) -> Any:
        def spoil() -> int:
            for tensor in tensors:
                tensor += 1e3
            return 1

        return keep_best(data, name, tensors, spoil, project)

    monkeypatch.setattr(loop, "keep_best", keep)
    monkeypatch.setattr(bias, "keep_best", keep)
    assert reconstruction.train_block is loop.train_block
    model = trained(training)
    assert model.data == untrained(training).data
    assert any("made nothing better" in warning for warning in model.warnings)


@torch_only
@each_method
def test_interrupting_keeps_what_was_learned(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    method = getattr(import_module(f"espdl.quantize.train.{training.module}"), training.method)
    seen: list[str] = []
    whole = method.train

    def train(self: Any, block: Any, *rest: Any) -> Any:
        seen.append(block.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return whole(self, block, *rest)

    monkeypatch.setattr(method, "train", train)
    model = trained(training, block_size=0)
    assert len(seen) == 2
    assert any("interrupted after 1 block" in warning for warning in model.warnings)
    assert snr(model) > snr(trained(None)) - 0.5


@torch_only
@pytest.mark.parametrize("training", NEW[:2], ids=lambda training: training.group)
def test_a_block_that_was_interrupted_is_as_before(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    from espdl.quantize.train.loop import BlockData

    whole, seen = BlockData.loss, []

    def loss(self: Any, indices: Any) -> Any:
        seen.append(torch.is_grad_enabled())
        if sum(seen) == 5:
            raise KeyboardInterrupt
        return whole(self, indices)

    monkeypatch.setattr(BlockData, "loss", loss)
    assert trained(training).data == untrained(training).data
    assert sum(seen) == 5


def exponents(model: QuantizedModel) -> list[tuple[int, ...]]:
    return [info.exponents for info in model.graph.infos() if info.role.value != "bias"]


@torch_only
def test_steps_move_where_they_may() -> None:
    lsq = BY_NAME["LSQ"]
    fixed = trained(lsq, is_scale_trainable=False)
    assert exponents(fixed) == exponents(trained(None)) and fixed.graph.adjusted
    assert exponents(trained(RECONSTRUCTION)) == exponents(trained(None))
    moved = trained(RECONSTRUCTION, is_scale_trainable=True, scale_lr=0.2)
    assert exponents(moved) != exponents(trained(None))
    for node in moved.graph.nodes():
        info, other = moved.graph.input_info(node, 1), trained(None).graph.input_info(node, 1)
        assert info is None or other is None or info.exponents == other.exponents


@torch_only
@pytest.mark.parametrize("training", NEW[:2], ids=lambda training: training.group)
def test_a_step_that_clips_learns_to_clip_less(training: Training) -> None:
    graph = trained(None, "esp32p4").graph
    info = graph.produced["c1"]
    right = info.exponent
    info.set_exponents((right - 3,))
    chosen = setting(training, is_scale_trainable=True, scale_lr=0.1)
    with SampleStore() as store:
        for _ in store.recorded({"x": x} for x in DATA):
            pass
        train_graph(graph, chosen, store)
    assert info.exponent > right - 3


@torch_only
@pytest.mark.parametrize("training", NEW[:2], ids=lambda training: training.group)
def test_scales_set_by_hand_stay(training: Training) -> None:
    chosen = setting(training, scale_lr=0.2, is_scale_trainable=True)
    chosen.quant_config_modify = True
    chosen.quant_config_modify_setting.custom_config = {"Conv_c1": 2.0**-1}
    model = quantize(unequal(gemm=True), DATA, setting=chosen)
    assert model.graph.produced["c1"].exponent == -1


@torch_only
@pytest.mark.parametrize(("target", "plain"), [("esp32s3", True), ("esp32s3", False), ("esp32p4", True)])
def test_reconstructed_weights_are_one_of_two_neighbouring_integers(target: str, plain: bool) -> None:
    before, after = (trained(training, target, plain) for training in (None, RECONSTRUCTION))
    flipped = 0
    for old, new in zip(before.graph.nodes(), after.graph.nodes(), strict=True):
        info = before.graph.input_info(old, 1)
        value = None if info is None else parameter(before.graph, old.inputs[1])
        if info is None or value is None:
            continue
        learned = parameter(after.graph, new.inputs[1])
        chip = before.graph.chip
        first, second = to_integers(value, info, chip).astype(int), to_integers(learned, info, chip).astype(int)
        assert np.abs(first - second).max() <= 1
        flipped += int((first != second).sum())
    assert flipped > 0


@torch_only
def test_all_methods_together_on_mixed_widths() -> None:
    chosen = setting(BY_NAME["TQT"], steps=20)
    for training in NEW:
        more = setting(training, steps=20)
        for path in training.switches:
            if "." not in path:
                setattr(chosen, path, True)
        setattr(chosen, training.group, training.setting(more))
    chosen.dispatching_table.append("Conv_c1", get_target_platform("esp32p4", 16))
    model = quantize(unequal(gemm=True), DATA, target="esp32p4", setting=chosen)
    told = [line for line in model.measures + model.warnings if not line.startswith(" ")]
    order = [
        next(i for i, line in enumerate(model.measures) if line.startswith(t.name))
        for t in TRAININGS
        if any(line.startswith(t.name) for line in model.measures)
    ]
    assert order == sorted(order) and len(order) >= 2, told
    assert snr(model) > 20


@torch_only
def test_biases_make_up_for_means_that_clipping_has_moved() -> None:
    """A layer behind values that are clipped: the mean of its outputs comes back, the closed form by itself does not see it."""
    nodes = [op("Conv", "x k0 b0", "c"), op("Conv", "c k1 b1", "y")]
    constants = {"k0": weights(4, 3, 1, 1), "b0": weights(4), "k1": weights(5, 4, 1, 1, seed=1), "b1": weights(5)}
    proto: onnx.ModelProto = network(nodes, {"x": (1, 3, 8, 8)}, constants)
    data = [np.abs(x) for x in DATA]

    def shift(training: Training | None) -> float:
        chosen = setting(training, plain=False, interested_layers=["Conv_y"] if training else [])
        chosen.channel_balancing = False
        chosen.quant_config_modify = True
        chosen.quant_config_modify_setting.custom_config = {"Conv_c": 2.0**-7}
        model = quantize(proto, data, setting=chosen)
        integer = IntegerRun(model.data, model.graph, model.lowered)
        from espdl.quantize.train.executor import QuantExecutor

        executor = QuantExecutor(quantize(proto, data, setting=setting(None)).graph)
        with torch.no_grad():
            errors = [executor(x, quantized=False)[0].numpy() - integer.run({"x": x})["y"] for x in data]
        return float(np.abs(np.mean(errors, axis=(0, 1, 3, 4))).max())

    assert shift(BIASES) < 0.3 * shift(None)
