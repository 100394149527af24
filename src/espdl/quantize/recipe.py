"""Recipes: a quantization's settings in a TOML file, with the names of :class:`~espdl.quantize.setting.QuantizationSetting`.

::

    preset = "esp_ppq"           # of QuantizationSettingFactory: "espdl" (the default), "accurate", or "esp_ppq" for its very defaults

    [quantize_activation_setting]
    calib_algorithm = "percentile"

    [quantize_activation_setting.calib_algorithm_per_layer]
    "/stem/Conv" = "minmax"

    [dispatching_table]          # of single operators, by node name: 8, 16, "w8a16", "none" (float)
    "/head/Conv" = 16
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from espdl.chips import Chip
from espdl.errors import EspdlError
from espdl.quantize.platform import TargetPlatform, get_target_platform
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory


def load_recipe(path: Path, platform: TargetPlatform) -> QuantizationSetting:
    """The default setting for a platform, changed by a recipe.

    Args:
        path: the TOML file.
        platform: what the network is quantized for; its chip is that of the operators in ``dispatching_table``, too.

    Raises:
        EspdlError: when the file is no TOML, or names a preset or setting that does not exist, or gives one a value of the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EspdlError("the recipe cannot be read", where=str(path), why=str(error)) from None
    try:
        setting = _preset(values.pop("preset", "espdl"))(platform.activation_bits or 8)
        apply_recipe(setting, values, platform.chip)
    except EspdlError as error:
        raise error.at(str(path)) from None
    return setting


def _preset(name: object) -> Callable[[int], QuantizationSetting]:
    """What makes the setting that a recipe starts from."""
    factory = QuantizationSettingFactory
    presets = {"espdl": factory.espdl_setting, "accurate": factory.accurate_setting, "esp_ppq": factory.esp_ppq_setting}
    if not isinstance(name, str) or name not in presets:
        raise EspdlError(f"there is no preset {name!r}", hint="one of " + ", ".join(presets))
    return presets[name]


def apply_recipe(setting: QuantizationSetting, values: Mapping[str, Any], target: str | Chip) -> None:
    """Changes a setting by the content of a recipe; errors as of :func:`load_recipe`."""
    operators = values.get("dispatching_table", {})
    if not isinstance(operators, Mapping):
        raise EspdlError(
            "dispatching_table maps node names to 8, 16 or a quantization type", hint='[dispatching_table] "/head/Conv" = 16'
        )
    for name, width in operators.items():
        setting.dispatching_table.append(name, get_target_platform(target, width))
    setting.update({name: value for name, value in values.items() if name != "dispatching_table"})


def recipe_text(values: Mapping[str, Any]) -> str:
    """The content of a recipe as TOML: plain values first, then a table for each group. Read again, it is equal."""
    return "\n".join(_lines(values, "")) + "\n"


def _lines(values: Mapping[str, Any], path: str) -> list[str]:
    plain = [f"{_key(name)} = {_value(value)}" for name, value in values.items() if not isinstance(value, Mapping)]
    lines = [f"[{path}]", *plain] if path and (plain or not values) else plain
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += ([""] if lines else []) + _lines(value, f"{path}.{_key(name)}" if path else _key(name))
    return lines


def _key(name: str) -> str:
    return name if name and all(c.isascii() and (c.isalnum() or c in "_-") for c in name) else _value(name)


def _value(value: Any) -> str:
    """A text as in JSON is one as in TOML, too; so are numbers, truth values and lists of them."""
    return json.dumps(value, ensure_ascii=True)
