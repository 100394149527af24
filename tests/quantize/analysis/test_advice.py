"""What is advised is what was measured."""

from __future__ import annotations

import tomllib

import pytest

from espdl.errors import EspdlError
from espdl.quantize.analysis.advice import Advice, advise
from espdl.quantize.api import quantize
from espdl.quantize.importer import load_network
from espdl.quantize.platform import get_target_platform
from espdl.quantize.recipe import apply_recipe
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from tests.quantize.unequal import samples, unequal

ERRORS = {"Conv_c0": 0.01, "Conv_c1": 0.2}


def advice(setting: QuantizationSetting | None = None, bits: int = 8, layerwise: dict[str, float] = ERRORS) -> Advice:
    setting = setting or QuantizationSettingFactory.esp_ppq_setting(bits)
    inputs = [{"x": sample} for sample in samples(4)]
    return advise(load_network(unequal()), inputs, get_target_platform("esp32s3", bits), setting, layerwise)


@pytest.fixture(scope="module")
def found() -> Advice:
    return advice()


def test_the_best_comes_first_and_helps(found: Advice) -> None:
    gains = [change.gain_db for change in found.changes]
    assert gains == sorted(gains, reverse=True) and gains[0] > 5 and gains[-1] >= 0.2
    words = " ".join(change.what for change in found.changes)
    assert "Conv_c1 in 16 bits" in words and "equalise" in words
    assert "channel_balancing = true" in found.changes[1].recipe  # after 16 bits for all
    assert len(found.changes) <= found.tried


def test_a_change_is_a_recipe_that_does_what_is_said(found: Advice) -> None:
    for change in found.changes:
        setting = QuantizationSettingFactory.esp_ppq_setting()
        apply_recipe(setting, tomllib.loads(change.recipe), "esp32s3")
        again = quantize(unequal(), samples(4), target="esp32s3", setting=setting)
        assert again.snr(again.samples)["y"] == pytest.approx(change.snr_db, abs=1e-3)
        plain = quantize(unequal(), samples(4), target="esp32s3", setting=QuantizationSettingFactory.esp_ppq_setting())
        assert len(again.data) - len(plain.data) == change.more_bytes
        assert change.snr_db - found.snr_db == pytest.approx(change.gain_db)


def test_what_is_on_already_is_not_advised() -> None:
    setting = QuantizationSettingFactory.esp_ppq_setting()
    setting.update({"ssd_equalization": True, "quantize_activation_setting": {"calib_algorithm": "minmax"}})
    words = " ".join(change.recipe for change in advice(setting).changes)
    assert "ssd_equalization" not in words and '"minmax"' not in words


def test_at_16_bits_no_layer_is_advised_16_bits() -> None:
    found = advice(bits=16)
    assert not any("dispatching_table" in change.recipe for change in found.changes)


def test_what_cannot_be_quantized_at_all_is_an_error() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.matrix_factorization = True
    with pytest.raises(EspdlError, match="matrix_factorization"):
        advice(setting)
