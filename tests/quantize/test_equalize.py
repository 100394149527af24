"""Weights of neighbouring layers made alike: the network computes the same, and 8 bits suit it better."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from espdl.chips import get_chip
from espdl.errors import EspdlError
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.balance import equalize, tensors_to_equalize
from espdl.quantize.balance.groups import find_groups
from espdl.quantize.float_run import FloatRun
from espdl.quantize.importer import load_network
from espdl.quantize.pipeline import prepare
from espdl.quantize.scale import Scale
from espdl.quantize.setting import EqualizationSetting, QuantizationSettingFactory
from espdl.quantize.survey import Survey
from tests.quantize.graphs import network, op, run, weights
from tests.quantize.test_balance import SAMPLES, mobile_block
from tests.quantize.unequal import samples, unequal

EVERY = {"value_threshold": 0.0}


def prepared(source: Any) -> ir.Model:
    return prepare(load_network(source), get_chip("esp32s3"))


def equalized(source: Any, data: list[dict[str, Any]], **options: Any) -> tuple[ir.Model, ir.Model, dict[str, Scale]]:
    before, after, setting = prepared(source), prepared(source), EqualizationSetting()
    setting.update(options)
    survey = Survey(tensors_to_equalize(before, setting))
    session = FloatRun(before, survey.names)
    for sample in data:
        survey.observe(session.run(sample))
    return before, after, equalize(after, setting, survey.moments())


@pytest.mark.parametrize("options", [{}, {"including_bias": True}, {"including_act": True}, {"opt_level": 2, "iterations": 3}])
@pytest.mark.parametrize("activation", ["Relu", "Relu6"])
def test_the_network_computes_the_same_and_says_what_became_of_tensors(activation: str, options: dict[str, Any]) -> None:
    before, after, scales = equalized(mobile_block(activation), SAMPLES, **EVERY, **options)
    assert {"a1", "a2"} <= scales.keys() and ("s" in scales) == ("opt_level" in options)
    names = ["y", *scales]
    one, other = FloatRun(before, names), FloatRun(after, names)
    for sample in SAMPLES:
        exact, found = one.run(sample), other.run(sample)
        for name in names:
            if not name.startswith("c"):  # before a clip, that may cut off others
                held = scales[name].undo(found[name]) if name in scales else found[name]
                np.testing.assert_allclose(held, exact[name], atol=1e-4 * float(np.abs(exact[name]).max()))
    assert any(float(np.abs(scale.factors - 1).max()) > 0.5 for scale in scales.values())


def test_channels_at_a_bound_stay_and_others_keep_below_it() -> None:
    before, _, scales = equalized(mobile_block("Relu6"), SAMPLES, **EVERY)
    seen = np.max([FloatRun(before, ["a1"]).run(sample)["a1"].max(axis=(0, 2, 3)) for sample in SAMPLES], axis=0)
    reached = seen >= 6
    assert 0 < reached.sum() < len(reached)
    assert (scales["a1"].factors[reached] == 1).all()
    assert (scales["a1"].factors[~reached] * seen[~reached] <= 6).all() and (scales["a1"].factors[~reached] > 1.05).any()


def test_weights_meet_in_the_middle() -> None:
    _, after, _ = equalized(unequal(), [], **EVERY)
    (group,) = find_groups(after)[0]
    above, below = group.writers[0].largest_by_output(), group.readers[0].largest_by_input()
    np.testing.assert_allclose(above, below, rtol=1e-4)


def quantized(source: Any, data: list[Any], target: str, **groups: Any) -> QuantizedModel:
    setting = QuantizationSettingFactory.esp_ppq_setting()
    setting.update(groups)
    return quantize(source, data, target=target, setting=setting)


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("form", [{}, {"depthwise": True}, {"gemm": True}])
def test_unequal_channels_are_repaired(form: dict[str, bool], target: str) -> None:
    plain = quantized(unequal(**form), samples(6), target)
    better = quantized(unequal(**form), samples(6), target, equalization=True, equalization_setting=EVERY)
    assert better.snr(better.samples)["y"] > plain.snr(plain.samples)["y"] + 3
    assert better.measures[0].startswith("weights equalised around")
    exact = FloatRun(prepared(unequal(**form)), ["r0"])
    for sample in better.samples[:2]:
        wanted, got = exact.run(sample)["r0"], better.run(sample, ["r0"])["r0"]
        assert np.square(got - wanted).sum() < 0.01 * np.square(wanted).sum()


def test_a_stream_is_enough() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.update({"equalization": True, "ssd_equalization": True, "equalization_setting": {"including_act": True}})
    once = quantize(unequal(), iter(samples(6)), target="esp32s3", setting=setting)
    assert once.data == quantize(unequal(), samples(6), target="esp32s3", setting=setting).data


def test_small_weights_and_layers_not_named_stay() -> None:
    assert all((scale.factors == 1).all() for scale in equalized(unequal(), [], value_threshold=1e9)[2].values())
    with pytest.raises(EspdlError, match="nothing can be done at 'Gemm_y'"):
        equalized(mobile_block("Relu"), SAMPLES, interested_layers=["Gemm_y"])
    assert equalized(mobile_block("Relu"), SAMPLES, interested_layers=["Gemm_y"], opt_level=2)[2]
    with pytest.raises(EspdlError, match=r"equalization_setting.*Conv_c9"):
        equalized(unequal(), [], interested_layers=["Conv_c9"])


@pytest.mark.parametrize("options", [{"opt_level": 3}, {"iterations": 0}, {"iterations": "many"}])
def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(EspdlError, match="equalization_setting"):
        quantized(unequal(), samples(2), "c", equalization=True, equalization_setting=options)


def test_a_difference_joins_channels() -> None:
    constants = {"w": weights(4, 3, 1, 1), "v": weights(4, 3, 1, 1, seed=1), "k": weights(2, 4, 1, 1, seed=2)}
    nodes = [op("Conv", "x w", "a"), op("Conv", "x v", "b"), op("Sub", "a b", "s"), op("Relu", "s", "r"), op("Conv", "r k", "y")]
    source = network(nodes, {"x": [1, 3, 8, 8]}, constants)
    before, after, scales = equalized(source, [], opt_level=2, **EVERY)
    assert {"a", "b", "s", "r"} == scales.keys()
    sample = {"x": samples(1)[0]}
    np.testing.assert_allclose(run(after, sample)[0], run(before, sample)[0], atol=1e-5)
    balanced = quantize(source, samples(4), target="esp32s3")
    assert balanced.measures[0] == "channels balanced between layers, in 1 place"
    assert balanced.snr(balanced.samples)["y"] > 30
