"""Rounding weights together and correcting biases: the output of a layer stays where it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from espdl.chips import get_chip
from espdl.errors import EspdlError
from espdl.quantize import tap_means
from espdl.quantize.api import quantize
from espdl.quantize.bias_correction import mean_response
from espdl.quantize.graph import QuantGraph
from espdl.quantize.importer import load_network
from espdl.quantize.passes.tools import constant
from espdl.quantize.pipeline import prepare
from espdl.quantize.setting import QuantizationSettingFactory
from espdl.quantize.weight_rounding import gathered, patch_places, round_together
from tests.quantize.graphs import network, op, run, weights

FORMS: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, (5, 4, 3, 3)),
    ({"kernel_shape": [3, 2], "pads": [0, 1, 2, 0], "strides": [2, 1], "dilations": [1, 2]}, (5, 4, 3, 2)),
    ({"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "group": 4}, (4, 1, 3, 3)),
    ({"kernel_shape": [5], "pads": [2, 2]}, (6, 4, 5)),
]


def one_layer(attributes: dict[str, Any], shape: tuple[int, ...]) -> Any:
    size = [1, 4, *([11, 9] if len(shape) == 4 else [21])]
    return network([op("Conv", "x w b", "y", **attributes)], {"x": size}, {"w": weights(*shape), "b": weights(shape[0], seed=1)})


def inputs(source: Any, count: int) -> list[Any]:
    """Smooth positive data: their mean is not zero, and neighbours are alike."""
    shape = [dim.dim_value for dim in source.graph.input[0].type.tensor_type.shape.dim]
    rng = np.random.default_rng(3)
    return [(2 + np.cumsum(rng.standard_normal(shape), axis=-1) * 0.3).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("whole", [0, 1 << 16])
@pytest.mark.parametrize(("attributes", "shape"), FORMS)
def test_the_mean_of_each_channel_follows_from_the_mean_input(
    attributes: dict[str, Any], shape: tuple[int, ...], whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap_means, "WHOLE", whole)
    source = one_layer(attributes, shape)
    node = next(iter(prepare(load_network(source), get_chip("c")).graph))
    batch = inputs(source, 3)
    outputs = np.stack([run(source, {"x": x})[0][0] for x in batch])
    bias = constant(node.inputs[2])
    assert bias is not None
    wanted = outputs.reshape(3, shape[0], -1).mean(axis=(0, 2)) - bias
    of_taps = tap_means.TapMeans(node, shape[2:], batch[0].shape[2:])
    taps = np.mean([of_taps.of(x) for x in batch], axis=0)
    np.testing.assert_allclose(of_taps.of(np.concatenate(batch)), taps, rtol=1e-5)
    np.testing.assert_allclose(of_taps.of(np.ones_like(batch[0])), np.repeat(of_taps.inside, 4, axis=0), rtol=1e-5)
    np.testing.assert_allclose(mean_response(node, weights(*shape), taps), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("attributes", "shape"), FORMS)
def test_patches_are_what_outputs_are_computed_from(attributes: dict[str, Any], shape: tuple[int, ...]) -> None:
    source = one_layer(attributes, shape)
    node = next(iter(prepare(load_network(source), get_chip("c")).graph))
    (x,) = inputs(source, 1)
    seen = gathered(x[0].reshape(4, -1), patch_places(node, shape[2:], x.shape[2:], 16))
    weight, bias = weights(*shape).reshape(shape[0], -1), weights(shape[0], seed=1)
    if attributes.get("group", 1) > 1:
        found = np.einsum("ck,ckp->cp", weight, seen) + bias[:, None]
    else:
        found = weight @ seen.reshape(-1, seen.shape[-1]) + bias[:, None]
    every = run(source, {"x": x})[0][0].reshape(shape[0], -1)
    places = [int(np.argmin(np.abs(every - column[:, None]).max(axis=0))) for column in found.T]
    np.testing.assert_allclose(every[:, places], found, atol=1e-4)
    assert len(set(places)) == found.shape[1]


@pytest.mark.parametrize("groups", [1, 6])
def test_rounding_together_loses_less_where_inputs_vary_together(groups: int) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((groups, 100, 100)) * np.geomspace(1, 1e-2, 100)
    covariance = mixing @ mixing.swapaxes(1, 2) + 1e-3 * np.eye(100)
    rows = rng.standard_normal((groups, 5, 100)) * 20
    graph = QuantGraph(prepare(load_network(one_layer(*FORMS[0])), get_chip("c")), get_chip("c"))
    chosen = round_together(rows, covariance, 128, graph)
    assert (chosen == np.rint(chosen)).all() and chosen.min() >= -128 and chosen.max() <= 127

    def loss(integers: Any) -> float:
        error = integers - rows
        return float(np.einsum("gri,gij,grj->", error, covariance, error))

    assert loss(chosen) < 0.3 * loss(np.clip(np.rint(rows), -128, 127))


def test_integers_stay_in_their_width() -> None:
    graph = QuantGraph(prepare(load_network(one_layer(*FORMS[0])), get_chip("c")), get_chip("c"))
    chosen = round_together(np.full((1, 2, 4), 300.0), np.eye(4)[None], 128, graph)
    np.testing.assert_array_equal(chosen, 127)


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
@pytest.mark.parametrize(("attributes", "shape"), FORMS[:3])
def test_each_measure_brings_the_output_nearer(attributes: dict[str, Any], shape: tuple[int, ...], target: str) -> None:
    source = one_layer(attributes, shape)
    batch = inputs(source, 16)
    mean_errors, noise = [], []
    for bias, rounding in ((False, False), (True, False), (True, True)):
        setting = QuantizationSettingFactory.esp_ppq_setting()
        setting.quantize_parameter_setting.calib_algorithm = "minmax"
        setting.bias_correct, setting.weight_rounding = bias, rounding
        setting.weight_rounding_setting.inputs = 64
        result = quantize(source, batch, target=target, setting=setting)
        errors = np.stack([result.run({"x": x})["y"] - run(source, {"x": x})[0] for x in batch])[:, 0]
        mean_errors.append(float((errors.reshape(16, shape[0], -1).mean(axis=(0, 2)) ** 2).sum()))
        noise.append(float((errors**2).sum()))
    assert mean_errors[1] < mean_errors[0]
    assert noise[1] < noise[0]
    assert noise[2] < noise[1] * 1.02
    assert result.measures == [
        "weights of 1 layer rounded together",
        "biases of 1 layer corrected for the mean error of rounded weights",
    ]


def test_inputs_that_vary_as_one_are_rounded_all_the_same() -> None:
    """In binary64 their covariance has no inverse."""
    graph = QuantGraph(load_network(network([op("Relu", "x", "y")], {"x": [1, 4]})), get_chip("esp32s3"))
    rows = np.linspace(-3.3, 3.3, 24).reshape(1, 3, 8)
    chosen = round_together(rows, np.full((1, 8, 8), 1e20), 128, graph)
    assert np.abs(chosen.sum(-1) - rows.sum(-1)).max() <= 1
    assert np.abs(chosen - rows).max() <= 2


def test_layers_of_16_bits_can_be_rounded_together() -> None:
    attributes, shape = FORMS[0]
    source = one_layer(attributes, shape)
    setting = QuantizationSettingFactory.espdl_setting(8)
    model = quantize(source, inputs(source, 2), target="esp32s3", bits=16, setting=setting)
    assert model.snr(model.samples)["y"] > 60


def test_layers_without_a_bias_cannot_be_corrected() -> None:
    attributes, shape = FORMS[0]
    setting = QuantizationSettingFactory.espdl_setting()
    setting.bias_correct_setting.interested_layers = ["Relu_y"]
    nodes = [op("Conv", "x w b", "c", **attributes), op("Relu", "c", "y")]
    source = network(nodes, {"x": [1, 4, 11, 9]}, {"w": weights(*shape), "b": weights(shape[0], seed=1)})
    with pytest.raises(EspdlError, match="nothing can be done at 'Relu_y'"):
        quantize(source, inputs(source, 2), target="esp32s3", setting=setting)


def test_inputs_that_no_integer_stands_for_are_refused_with_the_layer() -> None:
    attributes, shape = FORMS[3]
    source = one_layer(attributes, shape)
    with pytest.raises(EspdlError, match="too large") as error:
        quantize(source, [1e30 * array for array in inputs(source, 2)], target="esp32s3")
    assert "Conv" in str(error.value)
