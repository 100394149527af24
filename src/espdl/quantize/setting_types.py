"""Whether every setting holds a value of its own kind, and a number in its range, so that no pass has to ask."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

from espdl.errors import EspdlError
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.setting_group import DispatchingTable, SettingGroup


class Range(NamedTuple):
    """A number's ends, both allowed, and what to try."""

    low: float
    high: float
    default: float


RANGES = {
    "ssd_setting.channel_ratio": Range(0.0, 1.0, 0.5),
    "ssd_setting.loss_threshold": Range(0.0, math.inf, 0.8),
    "equalization_setting.value_threshold": Range(0.0, math.inf, 0.5),
    "equalization_setting.bias_multiplier": Range(0.0, math.inf, 0.5),
    "equalization_setting.act_multiplier": Range(0.0, math.inf, 0.5),
    "channel_split_setting.value_threshold": Range(0.0, math.inf, 0.5),
    "channel_split_setting.bias_multiplier": Range(0.0, math.inf, 0.5),
    "weight_split_setting.value_threshold": Range(0.0, math.inf, 2.0),
}
"""Numbers that have ends, by the path of their setting."""


def check_types(setting: QuantizationSetting) -> None:
    """Raises :class:`EspdlError` for the first setting whose value is of another kind than its default, or out of its range."""
    if not isinstance(setting, QuantizationSetting):
        raise EspdlError(
            f"setting is a {type(setting).__name__}",
            hint="start from QuantizationSettingFactory.espdl_setting()",
        )
    _check_group(setting, "")
    for path, numbers in RANGES.items():
        group, name = path.split(".")
        value = getattr(getattr(setting, group), name)
        if not numbers.low <= value <= numbers.high:  # NaN is in no range
            ends = f"from {numbers.low:g}" + ("" if math.isinf(numbers.high) else f" to {numbers.high:g}")
            raise EspdlError(f"{path} = {value!r} is not a number {ends}", hint=f"{numbers.default} is the default")


def _check_group(group: SettingGroup, path: str) -> None:
    hints = _hints(type(group))
    for field in fields(group):
        value, kind = getattr(group, field.name), hints[field.name]
        if isinstance(kind, type) and issubclass(kind, SettingGroup):
            if not isinstance(value, kind):
                raise EspdlError(f"{path}{field.name} is a group of settings, given is {value!r}", hint="assign the names in it")
            _check_group(value, f"{path}{field.name}.")
        elif not _is_a(value, kind):
            raise EspdlError(f"{path}{field.name} = {value!r} is not {_words(kind)}")


def _hints(group: type[SettingGroup]) -> dict[str, Any]:
    return get_type_hints(group)


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value is what an annotation of a setting says; NumPy's numbers will do."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is bool:
        return isinstance(value, (bool, np.bool_))
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, (bool, np.bool_))
    if origin is list:
        return isinstance(value, list) and all(_is_a(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, Mapping) and all(
            isinstance(key, str) for key in value
        )  # what it maps to is checked where it is used
    if origin is not None:  # one kind or another
        return any(_is_a(value, argument) for argument in arguments)
    return isinstance(value, kind)


def _words(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list:
        return "a list of names"
    if origin is dict:
        return "a mapping by name"
    if origin is not None:
        return " or ".join(_words(argument) for argument in arguments)
    known = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", type(None): "None"}
    return "a DispatchingTable" if kind is DispatchingTable else known[kind]
