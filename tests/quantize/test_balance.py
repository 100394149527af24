"""Channels scaled between layers: the network stays what it computes, and integers lose less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from espdl.chips import get_chip
from espdl.quantize.api import quantize
from espdl.quantize.balance import Widths, balance_channels, shifts, tensors_to_measure
from espdl.quantize.balance.factors import Demands, choose_factors
from espdl.quantize.balance.groups import find_groups
from espdl.quantize.balance.moments import Moments
from espdl.quantize.balance.shifts import Shift, fits_accumulators, offsets_of, shift_of
from espdl.quantize.float_run import FloatRun
from espdl.quantize.importer import load_network
from espdl.quantize.pipeline import prepare
from espdl.quantize.setting import QuantizationSettingFactory
from espdl.quantize.survey import Survey
from tests.quantize.graphs import network, op, ops, run, weights

CHANNELS = 8
UNEVEN = (10.0 ** np.linspace(-1.0, 1.0, CHANNELS)).astype(np.float32)
SAMPLES = [{"x": np.random.default_rng(seed).standard_normal((1, 3, 12, 12)).astype(np.float32)} for seed in range(8)]


def mobile_block(activation: str = "Relu6") -> Any:
    """Conv, depthwise Conv, a residual, pooling and Gemm, with channels of very unequal size."""
    act = {"Relu6": ("Clip", " zero six"), "Relu": ("Relu", ""), "HardSwish": ("HardSwish", "")}[activation]
    constants = {
        "w": weights(CHANNELS, 3, 1, 1) * UNEVEN[:, None, None, None],
        "wb": weights(CHANNELS, seed=1) * UNEVEN,
        "d": weights(CHANNELS, 1, 3, 3, seed=2) / UNEVEN[:, None, None, None] * 0.5,
        "db": weights(CHANNELS, seed=3) * 0.2,
        "p": weights(4, CHANNELS, 1, 1, seed=4) * 0.3,
        "pb": weights(4, seed=5) * 0.3,
        "r": weights(4, 4, 3, 3, seed=6) * 0.2,
        "g": weights(4, 5, seed=7),
        "gb": weights(5, seed=8),
        "zero": np.float32(0),
        "six": np.float32(6),
    }
    nodes = [
        op("Conv", "x w wb", "c1", kernel_shape=[1, 1]),
        op(act[0], "c1" + act[1], "a1"),
        op("Conv", "a1 d db", "c2", kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=CHANNELS),
        op(act[0], "c2" + act[1], "a2"),
        op("Conv", "a2 p pb", "c3", kernel_shape=[1, 1]),
        op("Conv", "c3 r", "c4", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        op("Add", "c3 c4", "s"),
        op("Relu", "s", "a3"),
        op("GlobalAveragePool", "a3", "m"),
        op("Flatten", "m", "f"),
        op("Gemm", "f g gb", "y"),
    ]
    used = {name for node in nodes for name in node.input}
    return network(nodes, {"x": [1, 3, 12, 12]}, {name: array for name, array in constants.items() if name in used})


def prepared(source: Any, target: str = "esp32s3") -> ir.Model:
    return prepare(load_network(source), get_chip(target))


def measured(model: ir.Model, samples: Sequence[Mapping[str, Any]] = SAMPLES) -> dict[str, Moments]:
    survey = Survey(tensors_to_measure(model))
    session = FloatRun(model, survey.names)
    for sample in samples:
        survey.observe(session.run(sample))
    return survey.moments()


def balanced(source: Any, target: str, **options: Any) -> tuple[ir.Model, ir.Model, int]:
    before = prepared(source, target)
    result = balance_channels(before, get_chip(target), Widths(8), measured(before), **options)
    return before, result.model, result.places


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("activation", ["Relu", "Relu6", "HardSwish"])
def test_the_network_computes_the_same(activation: str, target: str) -> None:
    before, after, places = balanced(mobile_block(activation), target)
    assert places == (1 if activation == "HardSwish" else 3)
    assert [name.replace("Relu", "Clip") for name in ops(before)] == [name.replace("Relu", "Clip") for name in ops(after)]
    for sample in SAMPLES:
        one, other = run(before, sample)[0], run(after, sample)[0]
        # a channel may be cut off where it is seldom
        np.testing.assert_allclose(other, one, atol=0.02 * float(np.abs(one).max()))


def test_the_network_given_is_not_changed() -> None:
    before = prepared(mobile_block())
    arrays = {name: value.const_value.numpy().copy() for name, value in before.graph.initializers.items() if value.const_value}
    balance_channels(before, get_chip("esp32s3"), Widths(8), measured(before))
    for name, array in arrays.items():
        np.testing.assert_array_equal(before.graph.initializers[name].const_value.numpy(), array)  # type: ignore[union-attr]


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_unequal_channels_lose_less(target: str) -> None:
    calibration = [sample["x"] for sample in SAMPLES]
    found = {}
    for name, setting in (
        ("plain", QuantizationSettingFactory.esp_ppq_setting()),
        ("balanced", QuantizationSettingFactory.espdl_setting()),
    ):
        result = quantize(mobile_block(), calibration, target=target, setting=setting)
        found[name] = result.snr(SAMPLES)["y"]
    assert found["balanced"] > found["plain"] + (10 if target == "esp32s3" else 1)


def test_a_clip_beyond_the_integers_becomes_part_of_the_layer() -> None:
    calibration = [sample["x"] for sample in SAMPLES]
    result = quantize(
        mobile_block(), calibration, target="esp32s3", test_values=True, setting=QuantizationSettingFactory.espdl_setting()
    )
    assert "Clip" not in [node.op_type for node in result.record.graph.node]
    assert result.model(arithmetic="reference").test()
    assert result.measures[0] == "channels balanced between layers, in 3 places"
    kept = quantize(mobile_block(), calibration, target="esp32s3", setting=QuantizationSettingFactory.esp_ppq_setting())
    assert [node.op_type for node in kept.record.graph.node].count("Clip") == 2
    assert not kept.measures


def test_tensors_in_between_are_read_in_the_networks_own_units() -> None:
    result = quantize(mobile_block(), [sample["x"] for sample in SAMPLES], target="esp32p4")
    names = ["a2", "c3", "s", "a3", "f", "y"]
    assert {"a2", "c3", "s"} <= set(result.graph.scales)
    floating = FloatRun(result.graph.original, names)
    for sample in SAMPLES[:2]:
        got, wanted = result.run(sample, names), floating.run(sample)
        for name in names:
            if name != "s":  # what its Relu cuts off may be cut off before
                assert np.square(got[name] - wanted[name]).sum() < 0.01 * np.square(wanted[name]).sum(), name


@pytest.mark.parametrize("algorithm", ["output", "kl"])
def test_sorted_data_and_streams_are_no_danger(algorithm: str) -> None:
    """Small samples first: what comes late is seen before anything is scaled."""
    data = [SAMPLES[index % 8]["x"] * (0.01 if index < 40 else 1.0) for index in range(48)]
    setting = QuantizationSettingFactory.espdl_setting()
    setting.quantize_activation_setting.calib_algorithm = algorithm
    found = [
        quantize(mobile_block(), given, target="esp32s3", setting=setting).snr(SAMPLES)["y"] for given in (iter(data), data[40:])
    ]
    assert found[0] > found[1] - 6


def test_what_a_user_sets_by_hand_keeps_its_scale() -> None:
    name = next(node.name for node in prepared(mobile_block()).graph if node.op_type == "Clip")
    assert balanced(mobile_block(), "esp32s3", untouched=[name])[2] == 2


def test_groups_end_where_channels_are_told_apart() -> None:
    groups, layers = find_groups(prepared(mobile_block()))
    assert len(layers) == 5
    shape = [(group.channels, len(group.writers), len(group.readers), group.bound) for group in groups]
    assert shape == [(8, 1, 1, 6.0), (8, 1, 1, 6.0), (4, 2, 2, None)]
    assert len(groups[2].tensors) == 5


def test_tensors_that_are_added_up_have_one_exponent() -> None:
    result = quantize(
        mobile_block(),
        [sample["x"] for sample in SAMPLES],
        target="esp32s3",
        setting=QuantizationSettingFactory.espdl_setting(),
    )
    assert len({result.graph.produced[name].exponent for name in ("c3", "c4", "s", "a3")}) == 1


def test_nothing_is_done_without_finite_data() -> None:
    model = prepared(mobile_block())
    bad: list[Mapping[str, Any]] = [{"x": np.full((1, 3, 12, 12), np.nan, np.float32)}]
    for samples in ([], bad):
        result = balance_channels(model, get_chip("esp32s3"), Widths(8), measured(model, samples))
        assert result.places == 0 and result.model is model


# Factors


def demands(**changes: Any) -> Demands:
    given: dict[str, Any] = {
        "top": 127.0,
        "span": 127.0,
        "largest": np.array([1.0, 8.0, 2.0]),
        "bound": None,
        "reached": np.zeros(3, bool),
        "activation": np.ones(3),
        "writers": np.full((1, 3), 1e-6),
        "readers": np.full((1, 3), 1e-6),
        "writer_largest": np.full((1, 3), 0.5),
        "writer_bias": np.zeros((1, 3)),
        "reader_largest": np.full((1, 3), 0.5),
    }
    return Demands(**{**given, **changes})


def test_cheap_weights_let_every_channel_fill_the_integers() -> None:
    factors = choose_factors(demands())
    assert factors is not None
    np.testing.assert_allclose(factors * [1.0, 8.0, 2.0], 127.0)


def test_channels_at_the_bound_share_the_factor_that_saturates() -> None:
    factors = choose_factors(demands(bound=8.0, reached=np.array([False, True, True]), largest=np.array([1.0, 8.0, 8.0])))
    assert factors is not None
    np.testing.assert_allclose(factors[1:], 127.0 / 8.0)
    assert factors[0] <= 127.0


def test_costly_readers_keep_factors_small() -> None:
    factors = choose_factors(demands(readers=np.full((1, 3), 1e3)))
    assert factors is not None
    assert (factors * [1.0, 8.0, 2.0]).max() < 127.0


# Shifts


def residual(padding: int = 0) -> Any:
    """Linear layers added up, with channels far from zero, read by another layer."""
    constants = {
        "w": weights(4, 3, 1, 1),
        "wb": np.array([9.0, -7.0, 0.1, 3.0], np.float32),
        "p": weights(4, 4, 1, 1, seed=1) * 0.3,
        "pb": np.array([-6.0, 4.0, 2.0, 0.5], np.float32),
        "g": weights(5, 4, 1, 1, seed=2),
        "gb": weights(5, seed=3),
    }
    nodes = [
        op("Conv", "x w wb", "a", kernel_shape=[1, 1]),
        op("Conv", "a p pb", "b", kernel_shape=[1, 1]),
        op("Add", "a b", "s"),
        op("Conv", "s g gb", "y", kernel_shape=[1, 1], pads=[padding] * 4),
    ]
    return network(nodes, {"x": [1, 3, 12, 12]}, constants)


def kinds(source: Any) -> list[Shift]:
    return [shift_of(group) for group in find_groups(prepared(source))[0]]


def test_what_can_be_shifted() -> None:
    # the first is read with padding, the last has a Relu behind an Add
    assert kinds(mobile_block()) == [Shift.NONE, Shift.FLOOR, Shift.NONE]
    assert kinds(residual()) == [Shift.CENTRE]
    assert kinds(residual(padding=1)) == [Shift.NONE]


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_a_shift_changes_no_result_and_centres_every_channel(target: str) -> None:
    before, after, places = balanced(residual(), target)
    assert places == 1
    for sample in SAMPLES:
        np.testing.assert_allclose(run(after, sample)[0], run(before, sample)[0], rtol=1e-4, atol=1e-3)
    names = ["a", "b", "s"]
    seen = [FloatRun(after, names).run(sample) for sample in SAMPLES]
    for name in names:
        values = np.concatenate([tensors[name] for tensors in seen])
        assert np.abs(values).max() <= 127
    sums = np.concatenate([tensors["s"] for tensors in seen])
    middle = (sums.max(axis=(0, 2, 3)) + sums.min(axis=(0, 2, 3))) / 2
    assert np.abs(middle).max() < 30


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_a_shift_gains_accuracy(target: str) -> None:
    found = []
    for algorithm in ("minmax", "output"):
        # with any other algorithm tensors are not shifted
        setting = QuantizationSettingFactory.espdl_setting()
        setting.quantize_activation_setting.calib_algorithm = algorithm
        found.append(quantize(residual(), [sample["x"] for sample in SAMPLES], target=target, setting=setting).snr(SAMPLES)["y"])
    assert found[1] > found[0] + 3


def test_saturation_does_what_the_activation_did() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    result = quantize(mobile_block(), [sample["x"] for sample in SAMPLES], target="esp32p4", setting=setting)
    convolutions = [node for node in result.record.graph.node if node.op_type == "Conv"]
    found = [next(attr.value for attr in node.attribute if attr.name == "activation") for node in convolutions]
    assert found == ["Relu", "Linear", "Linear", "Linear"]
    run_out = result.model(arithmetic="reference").run_arrays(
        {"x": np.zeros((1, 12, 12, 3), np.float32)}, {convolutions[1].output[0]}
    )
    assert int(np.asarray(run_out[convolutions[1].output[0]]).min()) == -128


def test_a_shift_needs_room_in_the_accumulator() -> None:
    model = prepared(residual())
    (group,) = find_groups(model)[0]
    offsets = offsets_of(model, group, {layer.result: np.full(4, 100.0) for layer in group.writers})
    assert (offsets["s"] == 200.0).all()
    steps = {layer.source: 1.0 for layer in (*group.writers, *group.readers)}
    assert fits_accumulators(get_chip("esp32s3"), Widths(8), group, offsets, steps)
    narrow = {name: step / 256 for name, step in steps.items()}
    assert not fits_accumulators(get_chip("esp32s3"), Widths(8), group, offsets, narrow)
    assert fits_accumulators(get_chip("esp32p4"), Widths(8), group, offsets, narrow)


@pytest.mark.parametrize("source", [residual, mobile_block])
def test_tensors_without_that_room_are_scaled_as_if_nothing_could_be_shifted(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = prepared(source())
    chip, moments = get_chip("esp32s3"), measured(model)
    unshifted = balance_channels(model, chip, Widths(8), moments, shift=False)
    assert any(scale.offsets.any() for scale in balance_channels(model, chip, Widths(8), moments).scales.values())
    monkeypatch.setattr(shifts, "ROOM", 0.0)
    result = balance_channels(model, chip, Widths(8), moments)
    assert result.scales.keys() == unshifted.scales.keys()
    for name, scale in result.scales.items():
        assert not scale.offsets.any()
        np.testing.assert_allclose(scale.factors, unshifted.scales[name].factors, rtol=0.05)
