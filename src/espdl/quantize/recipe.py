"""Recipes: a quantization's settings in a TOML file, with the names of :class:`~espdl.quantize.setting.QuantizationSetting`.

::

    [quantize_activation_setting]
    calib_algorithm = "percentile"

    [quantize_activation_setting.calib_algorithm_per_layer]
    "/stem/Conv" = "minmax"

    [dispatching_table]          # of single operators, by node name: 8, 16, "w8a16", "none" (float)
    "/head/Conv" = 16
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from espdl.errors import EspdlError
from espdl.quantize.platform import TargetPlatform, get_target_platform
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory


def load_recipe(path: Path, platform: TargetPlatform) -> QuantizationSetting:
    """The default setting for a platform, changed by a recipe.

    Args:
        path: the TOML file.
        platform: what the network is quantized for; its chip is that of the operators in ``dispatching_table``, too.

    Raises:
        EspdlError: when the file is no TOML, or names a setting that does not exist, or gives one a value of the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EspdlError("the recipe cannot be read", where=str(path), why=str(error)) from None
    setting = QuantizationSettingFactory.espdl_setting(platform.activation_bits or 8)
    try:
        operators = values.pop("dispatching_table", {})
        if not isinstance(operators, dict):
            raise EspdlError(
                "dispatching_table maps node names to 8, 16 or a quantization type", hint='[dispatching_table] "/head/Conv" = 16'
            )
        for name, width in operators.items():
            setting.dispatching_table.append(name, get_target_platform(platform.chip, width))
        setting.update(values)
    except EspdlError as error:
        raise error.at(str(path)) from None
    return setting
