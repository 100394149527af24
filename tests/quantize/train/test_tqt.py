"""TQT as a user meets it: a setting that makes the file better, and what it says when it cannot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from espdl.api import espdl_quantize_onnx
from espdl.errors import EspdlError
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.platform import get_target_platform
from espdl.quantize.recipe import load_recipe
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.snr import IntegerRun
from tests.quantize.graphs import network, op, weights
from tests.quantize.unequal import samples, unequal


def setting(plain: bool = True, **values: Any) -> QuantizationSetting:
    """Training behind ESP-PPQ's calibration, or behind all that is done by default."""
    made = QuantizationSettingFactory.esp_ppq_setting() if plain else QuantizationSettingFactory.espdl_setting()
    made.tqt_optimization = True
    made.tqt_optimization_setting.update({"steps": 50, "whole_steps": 0, **values})
    return made


def test_without_pytorch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EspdlError, match=r"PyTorch is not installed(.|\n)*espdl\[torch\]"):
        quantize(unequal(), samples(2), setting=setting())


torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch
DATA, UNSEEN = samples(288)[:32], samples(288)[32:]


def trained(proto: onnx.ModelProto | None = None, target: str = "esp32s3", **values: Any) -> QuantizedModel:
    return quantize(unequal(gemm=True) if proto is None else proto, DATA, target=target, setting=setting(**values))


def snr(model: QuantizedModel) -> float:
    return min(model.snr([{"x": x} for x in UNSEEN]).values())


def untrained(target: str = "esp32s3") -> QuantizedModel:
    return quantize(unequal(gemm=True), DATA, target=target, setting=QuantizationSettingFactory.esp_ppq_setting())


@pytest.fixture(scope="module")
def before() -> QuantizedModel:
    return untrained()


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_the_file_becomes_better_on_data_that_it_has_not_seen(target: str) -> None:
    assert snr(trained(target=target, steps=100)) > snr(untrained(target)) + 0.5


def test_every_block_is_reported(before: QuantizedModel) -> None:
    model = trained(target="esp32p4", whole_steps=20)
    assert model.measures[0].startswith("TQT: ")
    assert any("Conv_c0 to Conv_c1: " in line and "->" in line for line in model.measures)
    assert before.measures == []


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_what_balancing_and_rounding_leave_does_not_become_worse(target: str) -> None:
    default = quantize(unequal(gemm=True), DATA, target=target)
    model = trained(target=target, plain=False)
    assert default.measures and snr(model) > snr(default) - 0.5
    assert snr(model) > snr(untrained(target)) + 3


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
@pytest.mark.parametrize("values", [{"plain": False}, {"plain": False, "scale_lr": 0.1}, {"scale_lr": 0.1}], ids=str)
def test_the_file_gives_what_was_trained(target: str, values: dict[str, Any]) -> None:
    from espdl.quantize.train.executor import QuantExecutor

    model = trained(target=target, **values)
    executor, integer = QuantExecutor(model.graph), IntegerRun(model.data, model.graph, model.lowered)
    for x in UNSEEN[:8]:
        with torch.no_grad():
            (value,) = executor(x)
        np.testing.assert_array_equal(value.numpy(), integer.run({"x": x})["y"])


def test_the_whole_network_learns_where_its_blocks_leave_it_far_off(monkeypatch: pytest.MonkeyPatch) -> None:
    import espdl.quantize.train.run as run

    values: dict[str, Any] = {"target": "esp32p4", "steps": 1, "whole_steps": 200}
    assert not any("all of it" in line for line in trained(**values).measures)
    monkeypatch.setattr(run, "FAR_OFF", 0.0)
    model = trained(**values)
    assert any("  all of it: " in line for line in model.measures)
    assert snr(model) > snr(untrained("esp32p4"))


@pytest.mark.parametrize(("evidence", "share"), [(0.0, 1.0), (10.0, 1.0), (800.0, 0.4)])
def test_weights_move_as_far_as_samples_determine_them(evidence: float, share: float) -> None:
    from espdl.quantize.train.executor import QuantExecutor
    from espdl.quantize.train.learning import Learnable

    executor = QuantExecutor(untrained().graph)
    (step,) = (step for step in executor.steps if step.name == "Gemm_y")
    read = step.reads[1]
    assert read is not None
    rates = [Learnable(executor).learning_rate(step, read, 1e-5, 2.0, 100, 2560, limit) for limit in (evidence, 0.0)]
    # 5 results for 40 weights: an eighth of a number per weight and sample, of 2560 samples.
    assert rates[0] == pytest.approx(share * rates[1])


def test_outputs_are_given_room() -> None:
    model, without = (trained(steps=2, output_room=room) for room in (3.0, 0.0))
    assert model.graph.produced["y"].exponent in (without.graph.produced["y"].exponent, without.graph.produced["y"].exponent + 1)
    said = any("given room" in line for line in model.measures)
    assert said == (model.graph.produced["y"].exponent > without.graph.produced["y"].exponent)
    assert not any("given room" in line for line in without.measures)


def test_the_same_seed_gives_the_same_file() -> None:
    assert trained(steps=10).data == trained(steps=10).data
    assert trained(steps=10).data != trained(steps=10, seed=1).data


def exponents(model: QuantizedModel) -> list[tuple[int, ...]]:
    return [info.exponents for info in model.graph.infos() if info.role.value != "bias"]


def test_exponents_move_where_they_may(before: QuantizedModel) -> None:
    assert exponents(trained(target="esp32p4", scale_lr=0.1)) != exponents(untrained("esp32p4"))
    fixed = trained(is_scale_trainable=False, block_size=0)
    assert exponents(fixed) == exponents(before) and fixed.graph.adjusted


def test_scales_set_by_hand_stay() -> None:
    chosen = setting(scale_lr=0.2)
    chosen.quant_config_modify = True
    chosen.quant_config_modify_setting.custom_config = {"Conv_c1": 2.0**-1}
    model = quantize(unequal(gemm=True), DATA, setting=chosen)
    assert model.graph.produced["c1"].exponent == -1


def test_products_are_shifted_right_only() -> None:
    model = trained(scale_lr=0.3, steps=80)
    graph = model.graph
    for node in graph.nodes():
        source, weight, result = graph.input_info(node, 0), graph.input_info(node, 1), graph.output_info(node.outputs[0])
        if node.op_type in ("Conv", "Gemm") and source and weight and result:
            assert result.exponent >= source.exponent + max(weight.exponents)


def test_only_the_layers_of_interest_learn() -> None:
    model = trained(interested_layers=["Gemm_y"], block_size=0)
    assert set(model.graph.adjusted) <= {"w2", "b2"}
    with pytest.raises(EspdlError, match=r"no layer 'Gemm_x'(.|\n)*Gemm_y"):
        trained(interested_layers=["Gemm_x"])


def test_what_makes_nothing_better_is_undone(before: QuantizedModel) -> None:
    model = trained(weight_reach=3000.0, scale_lr=3.0, steps=5)
    assert snr(model) >= snr(before) - 0.5


def test_a_loss_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from espdl.quantize.train.loop import BlockData

    loss = BlockData.loss
    monkeypatch.setattr(BlockData, "loss", lambda self, indices: loss(self, indices) * float("nan"))
    with pytest.raises(EspdlError, match=r"Conv_c0(.|\n)*the loss is nan(.|\n)*smaller lr"):
        trained(steps=3)


def test_scales_that_run_away_are_undone() -> None:
    assert snr(trained(scale_lr=1e4, steps=3)) > 20


def test_interrupting_keeps_what_was_learned(monkeypatch: pytest.MonkeyPatch, before: QuantizedModel) -> None:
    from espdl.quantize.train.tqt import TQT

    whole = TQT.train
    seen: list[str] = []

    def train(self: Any, block: Any, *rest: Any) -> Any:
        seen.append(block.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return whole(self, block, *rest)

    monkeypatch.setattr(TQT, "train", train)
    model = trained(block_size=0)
    assert len(seen) == 2
    assert any("interrupted after 1 block" in warning for warning in model.warnings)
    assert snr(model) > snr(before) - 0.5


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(EspdlError, match=r"collecting_device(.|\n)*'nowhere'"):
        trained(collecting_device="nowhere")
    with pytest.raises(EspdlError, match="device 'nowhere'"):
        quantize(unequal(), DATA, setting=setting(), device="nowhere")
    with pytest.raises(EspdlError, match="for training only"):
        quantize(unequal(), DATA, device="cuda")


def test_as_the_guide_does_it(tmp_path: Path) -> None:
    quant_setting = QuantizationSettingFactory.espdl_setting()
    quant_setting.tqt_optimization = True
    quant_setting.tqt_optimization_setting.int_lambda = 0.25
    quant_setting.tqt_optimization_setting.gamma = 0.1
    quant_setting.tqt_optimization_setting.steps = 20
    quant_setting.tqt_optimization_setting.whole_steps = 0
    quant_setting.tqt_optimization_setting.lr = 1e-4
    quant_setting.tqt_optimization_setting.collecting_device = "cpu"
    quant_setting.tqt_optimization_setting.block_size = 2
    loader = torch.utils.data.DataLoader([torch.from_numpy(x[0]) for x in DATA], batch_size=4)
    path = tmp_path / "net.espdl"
    model = espdl_quantize_onnx(
        unequal(gemm=True), path, loader, 4, [1, 3, 8, 8], setting=quant_setting, error_report=False, export_test_values=True
    )
    assert path.exists() and model.model(arithmetic="reference").test()


def test_as_a_recipe_says(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("tqt_optimization = true\n[tqt_optimization_setting]\nsteps = 5\nwhole_steps = 0\n")
    model = quantize(unequal(), DATA, setting=load_recipe(recipe, get_target_platform("esp32s3", 8)))
    assert any("TQT" in line for line in model.measures + model.warnings)


def test_networks_of_16_bits_and_mixed_ones_are_trained() -> None:
    chosen = setting(steps=5)
    chosen.dispatching_table.append("Conv_c1", get_target_platform("esp32p4", 16))
    model = quantize(unequal(gemm=True), DATA, target="esp32p4", setting=chosen)
    assert snr(model) > 20


def test_a_network_that_moves_its_batch_away_is_trained_sample_by_sample() -> None:
    nodes = [
        op("MatMul", "x w", "h"),
        op("Transpose", "h", "t", perm=[1, 0, 2]),
        op("Reshape", "t s", "r"),
        op("MatMul", "r v", "y"),
    ]
    proto = network(nodes, {"x": (1, 4, 8)}, {"w": weights(8, 6), "s": [1, 4, 6], "v": weights(6, 3)})
    data = list(np.random.default_rng(0).standard_normal((8, 1, 4, 8)).astype(np.float32))
    model = quantize(proto, data, setting=setting(batch_size=3, steps=20))
    assert min(model.snr([{"x": x} for x in data]).values()) > 20
