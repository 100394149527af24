"""Mixed precision: the layers that gain most for their time go to 16 bits, up to a budget."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from espdl.chips import get_chip
from espdl.errors import EspdlError
from espdl.estimate.latency import estimate_latency
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.balance import Widths, balance_channels
from espdl.quantize.float_run import FloatRun
from espdl.quantize.mixed.choose import Budget, choose
from espdl.quantize.mixed.costs import Costs
from espdl.quantize.mixed.noise import Noise, measure_noise
from espdl.quantize.mixed.parts import Held, Unit, find_parts
from espdl.quantize.platform import get_target_platform
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from tests.quantize.graphs import network, op, weights
from tests.quantize.test_balance import SAMPLES, measured, mobile_block, prepared


def setting(more_latency: float = 10.0, snr_db: float = math.inf, **others: Any) -> QuantizationSetting:
    made = QuantizationSettingFactory.espdl_setting()
    made.mixed_precision = True
    made.mixed_precision_setting.more_latency, made.mixed_precision_setting.snr_db = more_latency, snr_db
    made.update(others)
    return made


def mixed(
    source: Any = None, target: str = "esp32s3", chosen: QuantizationSetting | None = None, **options: Any
) -> QuantizedModel:
    return quantize(source or mobile_block(), SAMPLES, target=target, setting=chosen or setting(), **options)


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_everything_goes_to_16_bits_where_the_budget_allows(target: str) -> None:
    narrow, wide = quantize(mobile_block(), SAMPLES, target=target), mixed(target=target)
    found = wide.mixed
    assert found is not None
    assert set(found.layers) <= {node.name for node in wide.graph.nodes()}
    assert all(wide.graph.bits[name] == 16 for name in found.layers)
    assert found.snr_db == pytest.approx(narrow.snr(SAMPLES)["y"], abs=1e-6)
    assert found.measured_db == pytest.approx(wide.snr(SAMPLES)["y"], abs=1e-6) and found.measured_db > found.snr_db + 20
    assert found.reason == "more layers would not help"


def test_figures_are_those_of_the_files() -> None:
    narrow, wide = quantize(mobile_block(), SAMPLES, target="esp32p4"), mixed(target="esp32p4")
    assert wide.mixed is not None
    assert (wide.mixed.narrow_bytes, wide.mixed.mixed_bytes) == (len(narrow.data), len(wide.data))
    assert wide.mixed.narrow_us == estimate_latency(narrow.model()).model.us
    assert wide.mixed.mixed_us == estimate_latency(wide.model()).model.us
    assert wide.mixed.sentence() in wide.measures and all(line in wide.report() for line in wide.mixed.lines())


@pytest.mark.parametrize("share", [0.03, 0.1, 0.3])
def test_the_budget_is_kept(share: float) -> None:
    found = mixed(chosen=setting(share)).mixed
    assert found is not None
    assert found.mixed_us <= found.narrow_us * (1 + share) and found.measured_db >= found.snr_db


@pytest.mark.parametrize("decibels", [42.0, 45.0])
def test_an_aim_ends_it_early(decibels: float) -> None:
    aimed, all_of_it = mixed(chosen=setting(snr_db=decibels)).mixed, mixed().mixed
    assert aimed is not None and all_of_it is not None
    assert aimed.measured_db >= decibels and len(aimed.steps) < len(all_of_it.steps)
    assert aimed.reason == f"{decibels:g} dB are reached"
    reached = mixed(chosen=setting(snr_db=1.0)).mixed
    assert reached is not None and not reached.steps and reached.reason == "which is above 1 dB"


def test_same_call_same_bytes() -> None:
    assert mixed(chosen=setting(0.1)).data == mixed(chosen=setting(0.1)).data


def test_what_the_user_sends_somewhere_stays_there() -> None:
    chosen = setting()
    chosen.dispatching_table.append("Conv_c3", get_target_platform("esp32s3", 8))
    made = mixed(chosen=chosen)
    assert made.mixed is not None and made.graph.bits["Conv_c3"] == 8 and "Conv_c3" not in made.mixed.layers
    assert made.mixed.layers
    assert chosen.dispatching_table.platforms.keys() == {"Conv_c3"}


def test_the_layers_named_give_the_same_file_by_hand() -> None:
    made = mixed(chosen=setting(0.1))
    assert made.mixed is not None and made.mixed.layers
    by_hand = QuantizationSettingFactory.espdl_setting()
    for name in made.mixed.layers:
        by_hand.dispatching_table.append(name, get_target_platform("esp32s3", 16))
    assert quantize(mobile_block(), SAMPLES, target="esp32s3", setting=by_hand).data == made.data


@pytest.mark.parametrize("kind", ["w16a16", "w8a16", "none"])
def test_contradictions_are_refused(kind: str) -> None:
    with pytest.raises(EspdlError, match="mixed_precision chooses layers of an 8-bit network"):
        quantize(mobile_block(), SAMPLES, target="esp32s3", bits=kind, setting=setting())


@pytest.mark.parametrize(
    ("name", "value"),
    [("more_latency", 0), ("more_latency", math.inf), ("more_latency", "much"), ("snr_db", None), ("snr_db", math.nan)],
)
def test_values_that_mean_nothing_are_refused(name: str, value: Any) -> None:
    chosen = setting()
    setattr(chosen.mixed_precision_setting, name, value)
    with pytest.raises(EspdlError, match=f"mixed_precision_setting.{name}"):
        mixed(chosen=chosen)


def test_samples_are_taken_from_their_source_once() -> None:
    taken: list[int] = []

    def stream() -> Any:
        for index, sample in enumerate(SAMPLES):
            taken.append(index)
            yield sample

    quantize(mobile_block(), stream(), target="esp32s3", setting=setting())
    assert taken == list(range(len(SAMPLES)))


def test_a_recurrent_network() -> None:
    inputs = [{"x": np.random.default_rng(seed).standard_normal((6, 1, 4)).astype(np.float32)} for seed in range(4)]
    nodes = [
        op("GRU", "x w r b", "s last", hidden_size=5, linear_before_reset=1),
        op("Squeeze", "last axes", "f"),
        op("Gemm", "f g gb", "y"),
    ]
    constants = {
        "w": weights(1, 15, 4),
        "r": weights(1, 15, 5, seed=1) * 0.3,
        "b": weights(1, 30, seed=2) * 0.1,
        "axes": [0],
        "g": weights(5, 3, seed=3),
        "gb": weights(3, seed=4),
    }
    made = quantize(network(nodes, {"x": [6, 1, 4]}, constants), inputs, target="esp32p4", setting=setting())
    assert made.mixed is not None and made.mixed.measured_db >= made.mixed.snr_db


# The parts


def outputs(model: ir.Model, sample: Any) -> Any:
    return FloatRun(model, ["y"]).run(sample)["y"]


def in_8_bits(source: Any = None) -> QuantizedModel:
    return quantize(source or mobile_block(), SAMPLES, target="esp32s3")


def test_units_hold_a_layer_and_its_activation() -> None:
    units, tensors = find_parts(in_8_bits().graph, {"Conv_c3"})
    assert [unit.names for unit in units][:2] == [["Conv_c1", "Clip_a1"], ["Conv_c2", "Clip_a2"]]
    assert [unit.is_free for unit in units] == [unit.names != ["Conv_c3"] for unit in units]
    around = {held.name: [unit.names[0] for unit in held.units] for held in tensors}
    assert around["x"] == ["Conv_c1"] and around["a1"] == ["Conv_c1", "Conv_c2"] and "c1" not in around
    assert around["c3"] == ["Conv_c3", "Conv_c4", "Add_s"]
    assert around["m"] == ["GlobalAveragePool_m", "Flatten_f", "Gemm_y"] and "f" not in around


def test_noise_of_a_part_is_what_the_float_network_makes_of_it() -> None:
    made = in_8_bits()
    units, tensors = find_parts(made.graph, ())
    noise = measure_noise(made.graph, units, tensors, SAMPLES[:2])
    info = next(held.info for held in tensors if held.name == "x")
    signal = power = 0.0
    for sample in SAMPLES[:2]:
        exact = outputs(made.graph.model, sample)
        step = 2.0**info.exponent
        rounded = {"x": np.clip(np.floor(sample["x"] / step + 0.5), -128, 127).astype(np.float32) * np.float32(step)}
        signal += float(np.square(exact, dtype=np.float64).sum())
        power += float(np.square(outputs(made.graph.model, rounded) - exact, dtype=np.float64).sum())
    place = [held.name for held in tensors].index("x")
    assert noise.tensors[place] == pytest.approx(power / signal, rel=1e-3)
    assert all(share >= 0 for share in (*noise.tensors, *noise.parameters)) and sum(noise.parameters) > 0


def chain(shares: list[float], us: list[float]) -> tuple[list[Unit], list[Held], Noise, Costs]:
    """Units in a row, with a noisy tensor between each two."""
    units = [Unit([ir.Node("", "Conv", [], name=str(place))], True) for place in range(len(us))]
    info: Any = None
    tensors = [Held(f"t{place}", info, 1, units[place], units[place : place + 2]) for place in range(len(shares))]
    noise = Noise(shares, [0.0] * len(us))
    return units, tensors, noise, Costs(100.0, us, [1.0] * len(shares), [10] * len(us), 4)


def test_a_tensor_takes_all_units_around_it() -> None:
    parts = chain([0.5, 0.1, 0.4], [10.0, 10.0, 10.0, 10.0])
    (only,) = choose(*parts, Budget(25.0))
    assert only.units == (0, 1) and only.noise == 0.5
    assert only.us == 21.0, "the next tensor is converted"
    assert choose(*parts, Budget(100.0))[0].units == (0, 1)
    assert sum(step.noise for step in choose(*parts, Budget(100.0))) == pytest.approx(1.0)
    assert choose(*parts, Budget(20.9)) == [] and choose(*parts, Budget(100.0, room=19)) == []
    assert choose(*parts, Budget(100.0), least_noise=1.0) == []


def test_a_unit_that_must_stay_keeps_its_tensors() -> None:
    units, *rest = chain([0.5, 0.1, 0.4], [10.0, 10.0, 10.0, 10.0])
    units[0].is_free = False
    steps = choose(units, *rest, Budget(1000.0))
    assert {place for step in steps for place in step.units} == {1, 2, 3}


def test_a_large_step_is_not_lost_to_small_ones() -> None:
    """The fastest gain first would use up the budget for the first tensor, and leave the noisier one."""
    units, tensors, noise, costs = chain([0.1, 0.0, 0.9], [1.0, 1.0, 30.0, 30.0])
    steps = choose(units, tensors, noise, costs, Budget(61.0))
    assert {place for step in steps for place in step.units} == {2, 3}


# Balancing through widths


def test_groups_go_through_layers_of_both_widths() -> None:
    before = prepared(mobile_block())
    wide = {"Conv_c3": 16}
    result = balance_channels(before, get_chip("esp32s3"), Widths(8, wide, wide), measured(before))
    assert {"a1", "a2", "c3", "c4"} <= result.scales.keys()
    for sample in SAMPLES:
        assert np.allclose(outputs(before, sample), outputs(result.model, sample), rtol=1e-4, atol=1e-4)


def test_a_group_in_16_bits_alone_is_left() -> None:
    before = prepared(mobile_block())
    wide = dict.fromkeys(("Conv_c1", "Clip_a1", "Conv_c2", "Clip_a2"), 16)
    result = balance_channels(before, get_chip("esp32s3"), Widths(8, wide, wide), measured(before))
    assert "a1" not in result.scales and "c3" in result.scales


def test_a_layer_in_16_bits_does_not_cost_the_others_their_balance() -> None:
    """With the depthwise layer in 16 bits, the tensors around it still are balanced: the file is better than one without balancing."""
    chosen = QuantizationSettingFactory.espdl_setting()
    chosen.dispatching_table.append("Conv_c2", get_target_platform("esp32s3", 16))
    plain = copy.deepcopy(chosen)
    plain.channel_balancing = False
    balanced = quantize(mobile_block(), SAMPLES, target="esp32s3", setting=chosen)
    without = quantize(mobile_block(), SAMPLES, target="esp32s3", setting=plain)
    assert {"a1", "a2"} <= balanced.graph.scales.keys()
    assert balanced.snr(SAMPLES)["y"] > without.snr(SAMPLES)["y"] + 3


def test_nothing_that_can_run_in_16_bits() -> None:
    """The graph in 8 bits comes back, with a reason."""
    chosen = setting()
    for name in [node.name or "" for node in prepared(mobile_block()).graph]:
        chosen.dispatching_table.append(name, get_target_platform("esp32s3", 8))
    made = mixed(chosen=chosen)
    assert made.mixed is not None and made.mixed.reason == "as none can run in 16 bits" and made.data == in_8_bits().data
