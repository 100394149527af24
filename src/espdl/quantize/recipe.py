"""Recipes: a quantization's settings in a TOML or JSON file, with the names of :class:`~espdl.quantize.setting.QuantizationSetting`.

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
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from espdl.chips import Chip
from espdl.errors import EspdlError
from espdl.fbs.files import require_writable, write_atomically
from espdl.quantize.platform import TargetPlatform, get_target_platform
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.setting_group import NONE
from espdl.quantize.setting_types import check_types


def load_recipe(path: Path, platform: TargetPlatform) -> QuantizationSetting:
    """The default setting for a platform, changed by a recipe.

    Args:
        path: the file; one that ends in ``.json`` is JSON, any other TOML.
        platform: what the network is quantized for; its chip is that of the operators in ``dispatching_table``, too.

    Raises:
        EspdlError: when the file cannot be read, or names a preset or setting that does not exist, or gives one a value of the wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if _is_json(path) else tomllib.loads(text)
    except (
        OSError,
        ValueError,
        RecursionError,
    ) as error:  # what either parser raises for text that is not its own is a ValueError
        raise EspdlError("the recipe cannot be read", where=str(path), why=str(error)) from None
    if not isinstance(values, dict):
        raise EspdlError("the recipe maps no names to values", where=str(path))
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


def save_recipe(setting: QuantizationSetting, path: str | os.PathLike[str]) -> None:
    """Writes every setting to a recipe, JSON where the name ends in ``.json``, else TOML; :func:`load_recipe` gives the same setting.

    Of platforms in ``dispatching_table`` the quantization type is kept: the chip is that of the network.

    Raises:
        EspdlError: for a setting that cannot be quantized with, and when the file cannot be written.
    """
    check_types(setting)
    values = _without_none(setting.to_dict())
    place = Path(path)
    require_writable(place)
    write_atomically(place, json.dumps(values, indent=4) + "\n" if _is_json(place) else recipe_text(values))


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_none(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return NONE if value is None else value


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
