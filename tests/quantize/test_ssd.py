"""Pairs of layers that are equalised where it lowers their error."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from espdl.chips import get_chip
from espdl.errors import EspdlError
from espdl.quantize.api import quantize
from espdl.quantize.importer import load_network
from espdl.quantize.pipeline import prepare
from espdl.quantize.platform import get_target_platform
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.ssd import equalize_by_loss
from espdl.quantize.subnetwork import subnetwork
from tests.quantize.graphs import assert_equal, feeds, run
from tests.quantize.unequal import samples, unequal


def ssd(**options: float) -> QuantizationSetting:
    setting = QuantizationSettingFactory.esp_ppq_setting()
    setting.update({"ssd_equalization": True, "ssd_setting": options})
    return setting


def equalized(source: onnx.ModelProto, setting: QuantizationSetting) -> tuple[ir.Model, list[str]]:
    model = prepare(load_network(source), get_chip("esp32s3"))
    inputs = [{"x": sample} for sample in samples(6)]
    changed = [name for name, _ in equalize_by_loss(model, get_target_platform("esp32s3"), setting, inputs)]
    given = feeds(source)
    assert_equal(run(model, given), run(source, given))
    return model, changed


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("gemm", [False, True])
def test_the_network_computes_the_same_with_less_noise(depthwise: bool, gemm: bool) -> None:
    source = unequal(depthwise=depthwise, gemm=gemm)
    model, changed = equalized(source, ssd())
    assert changed
    assert len(model.graph.initializers) == len(source.graph.initializer)
    plain = quantize(source, samples(6), target="esp32s3", setting=QuantizationSettingFactory.esp_ppq_setting())
    better = quantize(source, samples(6), target="esp32s3", setting=ssd())
    assert better.snr(better.samples)["y"] > plain.snr(plain.samples)["y"] + 2


def test_nothing_is_changed_for_less_than_the_threshold_asks() -> None:
    model, changed = equalized(unequal(), ssd(loss_threshold=0.0))
    assert not changed
    assert {n for n in model.graph.initializers if "equalized" in n} == set()


def test_rounds_end() -> None:
    _, once = equalized(unequal(), ssd(iteration=1))
    _, often = equalized(unequal(), ssd(iteration=3))
    assert len(once) <= len(often) <= 3 * len(once)


def test_what_is_fixed_is_refused() -> None:
    for option in ({"opt_level": 2}, {"layer_norm": True}):
        with pytest.raises(EspdlError, match="ssd_setting"):
            quantize(unequal(), samples(2), target="c", setting=ssd(**option))


def test_a_part_of_a_network_is_one() -> None:
    model = prepare(load_network(unequal()), get_chip("esp32s3"))
    nodes = list(model.graph)[1:3]
    part = subnetwork(model, nodes, nodes[-1].outputs)
    assert [node.name for node in part.graph] == [node.name for node in nodes]
    assert [value.name for value in part.graph.inputs] == [nodes[0].inputs[0].name]  # type: ignore[union-attr]
    assert all(value.shape is not None for node in part.graph for value in node.outputs)
    run(part, feeds(part))
