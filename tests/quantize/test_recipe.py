"""Settings from TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from espdl.errors import EspdlError
from espdl.quantize.platform import get_target_platform
from espdl.quantize.recipe import apply_recipe, load_recipe, recipe_text
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
