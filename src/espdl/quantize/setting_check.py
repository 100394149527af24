"""Refuses settings that nothing acts upon yet, before any work is done."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from espdl.errors import EspdlError
from espdl.quantize.observers import OBSERVERS
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.setting import TABLE_OPS, GraphFormatSetting, QuantizationSetting
from espdl.quantize.setting_types import check_types
from espdl.quantize.training_check import check_training
from espdl.wording import nearest


@dataclass(frozen=True)
class Choice:
    """The values of one setting that are acted upon, the default first."""

    path: str
    values: tuple[Any, ...]


CHOICES = (
    Choice("dispatcher", ("allin",)),
    Choice("ssd_equalization", (False, True)),
    Choice("ssd_setting.opt_level", (1,)),
    Choice("ssd_setting.layer_norm", (False,)),
    Choice("equalization", (False, True)),
    Choice("equalization_setting.opt_level", (1, 2)),
    Choice("weight_split", (False, True)),
    Choice("channel_split", (False, True)),
    Choice("channel_split_setting.opt_level", (1, 2)),
    Choice("channel_split_setting.including_act", (False,)),
    Choice("matrix_factorization", (False,)),
    Choice("quantize_activation", (True,)),
    Choice("quantize_parameter", (True,)),
    Choice("quantize_parameter_setting.quantize_passive_parameter", (True,)),
    Choice("quantize_parameter_setting.baking_parameter", (False,)),
    Choice("quantize_parameter_setting.clip_visiblity", ("EXPORT_WHEN_ACTIVE",)),
    Choice("quantize_parameter_setting.pad_visiblity", ("EXPORT_WHEN_ACTIVE",)),
    Choice("lsq_optimization", (False, True)),
    Choice("tqt_optimization", (False, True)),
    Choice("blockwise_reconstruction", (False, True)),
    Choice("bias_correct", (False, True)),
    Choice("bias_correct_setting.on_blocks", (False, True)),
    Choice("channel_balancing", (False, True)),
    Choice("weight_rounding", (False, True)),
    Choice("mixed_precision", (False, True)),
    Choice("fusion", (True,)),
    Choice("fusion_setting.remove_useless_quantization", (True,)),
    Choice("fusion_setting.fuse_activation", (True,)),
    Choice("fusion_setting.fuse_passive_op", (True,)),
    Choice("fusion_setting.align_quantization", (True,)),
    Choice("fusion_setting.align_avgpooling_to", ("None", "Align to Input", "Align to Output")),
    Choice("fusion_setting.align_elementwise_to", ("Align to Output", "Align to Large")),
    Choice("fusion_setting.align_concat_to", ("Align to Output", "Align to Large")),
    Choice("fusion_setting.align_resize_to", ("Align to Output", "Align to Input", "None")),
    Choice("fusion_setting.force_alignment_overlap", (False, True)),
    Choice("extension", (False,)),
    Choice("convtranspose_decomposition", (True,)),
)

COUNTS = {
    "equalization_setting.iterations": "rounds",
    "channel_split_setting.iterations": "rounds",
    "ssd_setting.iteration": "rounds",
    "weight_rounding_setting.inputs": "inputs",
}
"""Settings that are positive integers, and of what."""


def check_setting(setting: QuantizationSetting) -> None:
    """Raises :class:`EspdlError` for the first setting that would not be acted upon, and for an unknown calibration algorithm."""
    check_types(setting)
    if setting.graph_format_setting != GraphFormatSetting():
        raise EspdlError("graph_format_setting cannot be changed", hint="leave it as it is")
    for choice in CHOICES:
        value: Any = setting
        for name in choice.path.split("."):
            value = getattr(value, name)
        if value not in choice.values:
            allowed = " or ".join(map(repr, choice.values))
            raise EspdlError(f"setting {choice.path} = {value!r} is not supported", hint=f"leave it at {allowed}")
    for group, may_be_none in (("quantize_activation_setting", False), ("quantize_parameter_setting", True)):
        algorithms = getattr(setting, group)
        names = {"": algorithms.calib_algorithm, **algorithms.calib_algorithm_per_layer}
        for layer, algorithm in names.items():
            if algorithm is None and may_be_none and not layer:
                continue
            if not isinstance(algorithm, str) or algorithm.lower() not in OBSERVERS:
                where = f"{group}.calib_algorithm" + (f"_per_layer[{layer!r}]" if layer else "")
                raise EspdlError(
                    f"there is no calibration algorithm {algorithm!r}", where=where, hint="one of " + ", ".join(OBSERVERS)
                )
    check_training(setting)
    for path, what in COUNTS.items():
        group, name = path.split(".")
        count = getattr(getattr(setting, group), name)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            default = getattr(type(getattr(setting, group))(), name)
            raise EspdlError(f"{path} = {count!r} is no number of {what}", hint=f"{default} is the default")
    mixed = setting.mixed_precision_setting
    if not _is_number(mixed.more_latency) or not 0 < mixed.more_latency < math.inf:
        raise EspdlError(
            f"mixed_precision_setting.more_latency = {mixed.more_latency!r} is no share", hint="0.25 is a quarter more"
        )
    if not _is_number(mixed.snr_db):
        hint = "40.0 is the default, infinity sets no aim"
        raise EspdlError(f"mixed_precision_setting.snr_db = {mixed.snr_db!r} is no number of decibels", hint=hint)
    step = setting.lut_optimization_setting.step
    if not isinstance(step, int) or step < 1 or step & (step - 1):
        raise EspdlError(f"lut_optimization_setting.step = {step!r} is not a power of two", hint="32 is the default")
    for name in setting.lut_optimization_setting.target_ops:
        if name not in TABLE_OPS:
            raise EspdlError(
                f"operator {name!r} cannot become a table",
                where="lut_optimization_setting.target_ops",
                hint=nearest(name, TABLE_OPS) or "one of " + ", ".join(TABLE_OPS),
            )


def check_places(setting: QuantizationSetting, platform: TargetPlatform) -> None:
    """Raises :class:`EspdlError` where ``dispatching_table`` sends a layer elsewhere than to a width of the network's own chip."""
    for name, place in setting.dispatching_table.platforms.items():
        where = f"dispatching_table[{name!r}]"
        if not isinstance(place, TargetPlatform):
            raise EspdlError(f"{place!r} is not a platform", where=where, hint="use get_target_platform(target, bits)")
        if place.chip != platform.chip:
            raise EspdlError(
                f"the layer is for {place.chip.name}, the network for {platform.chip.name}",
                where=where,
                hint=f"get_target_platform({platform.chip.name!r}, 16), say",
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def check_layer_names(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raises :class:`EspdlError` with the nearest names for a layer that the network does not have."""
    layers = list(known)
    for name in names:
        if name not in layers:
            raise EspdlError(f"the network has no layer {name!r}", where=where, hint=nearest(name, layers))


def check_layers_fit(names: Iterable[str], able: Iterable[str], where: str, why: str) -> None:
    """Raises :class:`EspdlError` where layers are named and none of them is ``able`` to be treated; ``why`` says which are."""
    named = list(dict.fromkeys(names))
    if named and not set(named) & set(able):
        shown = ", ".join(repr(name) for name in named[:3]) + (" ..." if len(named) > 3 else "")
        raise EspdlError(f"nothing can be done at {shown}", where=where, why=why, hint="name other layers, or none for all")
