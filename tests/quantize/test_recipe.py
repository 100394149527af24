"""Settings from TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from espdl.errors import EspdlError
from espdl.quantize.platform import get_target_platform
from espdl.quantize.recipe import apply_recipe, load_recipe, recipe_text, save_recipe
from espdl.quantize.setting import QuantizationSettingFactory

RECIPE = """
lut_optimization = false
[quantize_activation_setting]
calib_algorithm = "percentile"
[quantize_activation_setting.calib_algorithm_per_layer]
"/conv/Conv" = "mse"
[dispatching_table]
"/head/Gemm" = 16
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_recipe_changes_the_defaults(tmp_path: Path) -> None:
    setting = load_recipe(write(tmp_path, RECIPE), get_target_platform("esp32s3"))
    assert setting.lut_optimization is False
    assert setting.quantize_activation_setting.calib_algorithm == "percentile"
    assert setting.quantize_activation_setting.calib_algorithm_per_layer == {"/conv/Conv": "mse"}
    assert setting.dispatching_table.platforms["/head/Gemm"].activation_bits == 16
    assert setting.fusion_setting.align_elementwise_to == "Align to Output", "what is not named keeps its default"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "cannot be read"),
        ("equalisation = true", "equalization"),
        ("[quantize_activation_setting]\ncalib_algoritm = 'kl'", "calib_algorithm"),
        ("equalization = 1", "true or false"),
        ("quantize_activation_setting = 5", "group of settings"),
        ("dispatching_table = 5", "maps node names to 8, 16"),
        ("[dispatching_table]\na = 9", "no quantization type"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(EspdlError, match=message) as caught:
        load_recipe(write(tmp_path, text), get_target_platform("esp32s3"))
    assert "recipe.toml" in str(caught.value)


@pytest.mark.parametrize("name", ["recipe.toml", "recipe.json"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_setting_that_was_saved_is_the_same_setting(tmp_path: Path, name: str, bits: int) -> None:
    platform = get_target_platform("esp32p4", bits)
    setting = QuantizationSettingFactory.espdl_setting(bits)
    setting.equalization_setting.interested_layers = None
    setting.quantize_parameter_setting.calib_algorithm = None
    setting.equalization_setting.value_threshold = np.float32(0.25)  # type: ignore[assignment]
    setting.quant_config_modify_setting.custom_config = {'/a "b"/Conv': 2.0**-7}
    setting.custom_tqc = {"/c/Conv": {"output_0": {"bit_width": 16}}}
    for layer, width in (("/d", "w8a16"), ("/e", "none"), ("/f", 16)):
        setting.dispatching_table.append(layer, get_target_platform("esp32p4", width))
    save_recipe(setting, tmp_path / name)
    assert load_recipe(tmp_path / name, platform) == setting
    assert load_recipe(tmp_path / name, get_target_platform("esp32p4", 24 - bits)) == setting, "no default is left to the width"


@pytest.mark.parametrize("text", ["[1, 2]", "{", "[" * 100_000])
def test_what_is_no_recipe_in_json_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(EspdlError, match="recipe"):
        load_recipe(path, get_target_platform("esp32s3"))


def test_a_recipe_is_written_as_it_is_read() -> None:
    values = {
        "weight_split": True,
        "weight_split_setting": {"interested_layers": ["/a b/Conv", 'say "x"'], "value_threshold": 0.5},
        "quantize_activation_setting": {"calib_algorithm": "kl", "calib_algorithm_per_layer": {"/c/Conv": "mse", "ü": "minmax"}},
        "dispatching_table": {"/head.1/Gemm": 16, "plain": 8},
    }
    text = recipe_text(values)
    assert tomllib.loads(text) == values
    assert text.startswith("weight_split = true\n\n[weight_split_setting]\n")
    setting = QuantizationSettingFactory.espdl_setting()
    apply_recipe(setting, values, "esp32s3")
    assert setting.weight_split_setting.value_threshold == 0.5
    assert setting.dispatching_table.platforms["/head.1/Gemm"].activation_bits == 16


def test_a_recipe_starts_from_a_preset(tmp_path: Path) -> None:
    platform = get_target_platform("esp32s3")
    setting = load_recipe(write(tmp_path, 'preset = "accurate"\nbias_correct = false\n'), platform)
    assert setting.channel_balancing and setting.weight_rounding and not setting.bias_correct
    with pytest.raises(EspdlError, match="no preset 'best'"):
        load_recipe(write(tmp_path, 'preset = "best"'), platform)
