"""Equalises the weights of neighbouring layers, channel by channel (quantizer spec 8.1, setting ``equalization``)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from espdl.quantize.balance.balance import UNSEEN
from espdl.quantize.balance.groups import Group, find_groups
from espdl.quantize.balance.layers import Layer, Vector
from espdl.quantize.balance.moments import Moments, per_channel
from espdl.quantize.scale import Scale
from espdl.quantize.setting import EqualizationSetting
from espdl.quantize.setting_check import check_layer_names, check_layers_fit

LARGEST_FACTOR = 10.0


def tensors_to_equalize(model: ir.Model, setting: EqualizationSetting) -> list[str]:
    """Names of the tensors whose moments :func:`equalize` needs: of those that are clipped, and with ``including_act`` of all."""
    groups = _chosen(model, setting)[0]
    names = {name for group in groups if setting.including_act or group.bound is not None for name in group.tensors}
    return sorted(names)


def equalize(model: ir.Model, setting: EqualizationSetting, moments: Mapping[str, Moments]) -> dict[str, Scale]:
    """Multiplies output channels of layers, and divides the input channels of the layers that read them.

    With u the largest weight of a channel in the layers that write it and d that in the layers that read it, the factor is sqrt(d / u),
    from 1/10 to 10, and 1 where u + d is below ``value_threshold``; all groups are gone through ``iterations`` times.
    ``including_bias`` and ``including_act`` let u be at least ``bias_multiplier`` times the bias and ``act_multiplier`` times the
    largest activation. ``opt_level`` 1 leaves out groups with Add or Sub in them, 2 takes them.

    A tensor clipped from 0 to b (Relu6) keeps its bound: channels that reached b on the data are left as they are, and the others are not
    made larger than b. In ESP-PPQ layers with a clip in between are not equalised at all.

    Args:
        model: a prepared network; its weights and biases are changed, what it computes is not, up to float rounding, on activations
            of the size seen.
        setting: see above; ``interested_layers`` restricts it to groups with one of these layers.
        moments: of :func:`tensors_to_equalize`, on calibration data.

    Returns:
        What became of the tensors between the layers, by name.

    Raises:
        EspdlError: for a layer that the network does not have, and where none of those named can be equalised.
    """
    groups, layers = _chosen(model, setting)
    total = {id(group): np.ones(group.channels) for group in groups}
    for _ in range(setting.iterations):
        for group in groups:
            factors = _factors(group, setting, total[id(group)], moments)
            for layer in group.writers:
                layer.scale_outputs(factors)
            for layer in group.readers:
                layer.scale_inputs(1 / factors)
            total[id(group)] *= factors
    for layer in layers:
        layer.write_back()
    found = {}
    for group in groups:
        for name, size in group.sizes.items():
            factors = np.repeat(total[id(group)], size // group.channels)
            found[name] = Scale(factors, np.zeros(size))
    return found


def _chosen(model: ir.Model, setting: EqualizationSetting) -> tuple[list[Group], list[Layer]]:
    """The groups to equalise, and their layers."""
    wanted = set(setting.interested_layers or ())
    where = "equalization_setting.interested_layers"
    check_layer_names(wanted, [node.name or "" for node in model.graph], where)
    groups = [
        (group, {layer.node.name or "" for layer in (*group.writers, *group.readers)})
        for group in find_groups(model)[0]
        if setting.opt_level == 2 or not any(node.op_type in ("Add", "Sub") for node in group.relays)
    ]
    able = [name for _, names in groups for name in names]
    check_layers_fit(
        wanted, able, where, "Conv and Gemm are equalised with those behind them, opt_level 2 takes Add in between, too"
    )
    chosen = [group for group, names in groups if not wanted or wanted & names]
    return chosen, list({id(layer): layer for group in chosen for layer in (*group.writers, *group.readers)}.values())


def _factors(group: Group, setting: EqualizationSetting, total: Vector, moments: Mapping[str, Moments]) -> Vector:
    """The factors of one round; ``total`` are those so far."""
    above = [layer.largest_by_output() for layer in group.writers]
    if setting.including_bias:
        above += [np.abs(layer.bias) * setting.bias_multiplier for layer in group.writers if layer.bias is not None]
    if setting.including_act and (seen := _largest(group, moments)) is not None:
        above.append(seen * total * setting.act_multiplier)
    u = np.max(above, axis=0)
    d = np.max([layer.largest_by_input() for layer in group.readers], axis=0)
    alive = (u > 0) & (d > 0) & (u + d >= setting.value_threshold)
    ratio = np.sqrt(np.where(alive, d, 1.0) / np.where(alive, u, 1.0))
    factors = np.clip(ratio, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    if group.bound is None:
        return factors
    seen = _largest(group, moments)
    if seen is None:
        return np.ones(group.channels)
    count = max(moments[name].seen for name in group.tensors)
    room = group.bound / np.maximum(seen * (1 + UNSEEN / math.sqrt(count)), 1e-30)
    limited = np.minimum(total * factors, np.maximum(room, 1.0)) / total
    return np.where(seen >= group.bound * (1 - 1e-5), 1.0, limited)


def _largest(group: Group, moments: Mapping[str, Moments]) -> Vector | None:
    """The largest magnitude of each channel; None where it is not known."""
    if not all(name in moments for name in group.tensors):
        return None
    return np.max([per_channel(moments[name].largest, group.channels, True) for name in group.tensors], axis=0)
