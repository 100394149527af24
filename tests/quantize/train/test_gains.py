"""Factors between layers: what they learn by, how far they go, and what becomes of the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.balance.groups import Group
from espdl.quantize.setting import QuantizationSettingFactory
from tests.quantize.graphs import network, op, weights

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch

from espdl.quantize.train.executor import QuantExecutor  # noqa: E402
from espdl.quantize.train.gains import Noise, Problem, learned_gains  # noqa: E402
from espdl.quantize.train.sensitivity import problem_of  # noqa: E402

RANGES = 2.0 ** np.linspace(-9, 0, 12)
DATA = list(np.random.default_rng(0).standard_normal((48, 1, 3, 8, 8)).astype(np.float32))


def lost(*, bound: float | None = 6.0) -> onnx.ModelProto:
    """Two layers with channels of ranges a factor of 512 apart between; 8 bits lose most of them."""
    first = weights(12, 3, 3, 3, seed=1) * 0.3 * RANGES[:, None, None, None]
    second = weights(8, 12, 1, 1, seed=2) * 0.3 / RANGES[None, :, None, None]
    clip = op("Relu", "c0", "r0") if bound is None else op("Clip", "c0 low high", "r0")
    nodes = [op("Conv", "x w0 b0", "c0", pads=[1, 1, 1, 1]), clip, op("Conv", "r0 w1", "y")]
    constants: dict[str, Any] = {"w0": first, "b0": weights(12, seed=4) * 0.1 * RANGES, "w1": second}
    if bound is not None:
        constants |= {"low": np.float32(0), "high": np.float32(bound)}
    return network(nodes, {"x": (1, 3, 8, 8)}, constants)


def trained(proto: onnx.ModelProto, target: str = "esp32s3", **values: Any) -> QuantizedModel:
    setting = QuantizationSettingFactory.esp_ppq_setting()
    setting.tqt_optimization = True
    setting.tqt_optimization_setting.update({"steps": 10, "whole_steps": 0, **values})
    return quantize(proto, DATA[:32], target=target, setting=setting)


def snr(model: QuantizedModel) -> float:
    return min(model.snr([{"x": x} for x in DATA[32:]]).values())


def problem(largest: Any, highest: Any) -> Problem:
    """A tensor and the weight that reads it, every channel as important as the others."""
    sizes = torch.tensor(largest)
    weight = Noise(1 / sizes[None], sizes[None].square(), 8, columns=0)
    return Problem([Group(len(sizes))], [torch.tensor(highest)], [Noise(sizes, 1 / sizes.square(), 8, rows=0), weight])


def test_channels_of_one_importance_become_equally_large() -> None:
    largest = [1.0, 0.25, 0.01, 4.0]
    made = problem(largest, [40.0] * 4)
    (gains,) = learned_gains(made, 300)
    held = gains * largest
    assert held.max() / held.min() < 1.1
    before, after = (float(made.error([torch.from_numpy(np.log2(log)).float()])) for log in (np.ones(4), gains))
    assert after < before / 1000


def test_what_reaches_a_bound_stays_and_nothing_passes_its_room() -> None:
    (gains,) = learned_gains(problem([6.0, 1.0, 0.01], [0.0, 1.0, 3.0]), 300)
    assert gains[0] == 1
    np.testing.assert_array_less(gains, [1.0001, 2.0001, 8.0001])
    assert gains[2] > 7


def test_no_updates_leave_channels_as_they_are() -> None:
    (gains,) = learned_gains(problem([6.0, 1.0], [40.0, 40.0]), 0)
    assert gains.tolist() == [1, 1]


def test_effects_are_the_squared_derivatives_of_the_outputs() -> None:
    model = trained(lost(bound=None), gain_steps=0)
    executor = QuantExecutor(model.graph)
    found = problem_of(executor, [{"x": x} for x in DATA])
    assert found is not None
    tensor = next(term for term in found.terms if term.largest.ndim == 1)
    weight = executor.constants["w1"][:, :, 0, 0]
    # y = w1 r0 at every pixel: the mean over the 8 * 64 outputs of the derivatives' squares, summed over the 64 pixels of a channel.
    torch.testing.assert_close(tensor.effect, weight.square().sum(0) / 8, rtol=0.25, atol=0)
    assert not any(constant.requires_grad for constant in executor.constants.values())


@pytest.mark.parametrize("bound", [None, 6.0])
@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_channels_that_were_lost_are_there(target: str, bound: float | None) -> None:
    before, after = trained(lost(bound=bound), target, gain_steps=0), trained(lost(bound=bound), target)
    assert after.measures[0].startswith("TQT: channels scaled between layers, in 1 place, mean squared error of the outputs ")
    assert snr(before) < 15
    assert snr(after) > snr(before) + 15


def test_the_float_network_answers_as_before() -> None:
    before, after = trained(lost(), gain_steps=0), trained(lost())
    samples = torch.from_numpy(np.concatenate(DATA))
    for name in ("c0", "r0", "y"):
        (wanted,), (got,) = (QuantExecutor(model.graph)(samples, [name], quantized=False) for model in (before, after))
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert set(after.graph.scales) == {"c0", "r0"}


def test_nearly_right_networks_are_left_alone() -> None:
    plain = network(
        [op("Conv", "x w0", "c0"), op("Relu", "c0", "r0"), op("Conv", "r0 w1", "y")],
        {"x": (1, 3, 8, 8)},
        {"w0": weights(6, 3, 1, 1), "w1": weights(4, 6, 1, 1, seed=1)},
    )
    assert not any("scaled" in line for line in trained(plain).measures)


def test_one_seed_gives_one_file() -> None:
    assert trained(lost()).data == trained(lost()).data


@pytest.mark.parametrize("values", [{"gain_steps": 0}, {"is_scale_trainable": False}, {"interested_layers": ["Conv_y"]}])
def test_when_channels_are_not_scaled(values: dict[str, Any]) -> None:
    model = trained(lost(), **values)
    assert model.graph.scales == {}
    assert model.graph.reference is None


def test_scales_set_by_hand_stay() -> None:
    setting = QuantizationSettingFactory.esp_ppq_setting()
    setting.tqt_optimization = setting.quant_config_modify = True
    setting.tqt_optimization_setting.update({"steps": 5, "whole_steps": 0})
    setting.quant_config_modify_setting.custom_config = {"Conv_c0": 2.0**-4}
    model = quantize(lost(), DATA[:32], target="esp32s3", setting=setting)
    assert model.graph.scales == {}
    assert model.graph.produced["c0"].exponent == -4


def test_factors_that_make_outputs_worse_are_taken_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def worse(problem: Problem, steps: int) -> list[Any]:
        return [2.0 ** np.linspace(-12, 12, group.channels) for group in problem.groups]

    before = trained(lost(bound=None), gain_steps=0)
    monkeypatch.setattr("espdl.quantize.train.rescale.learned_gains", worse)
    after = trained(lost(bound=None))
    assert after.data == before.data
    assert after.graph.reference is None and after.graph.scales == {}
