"""Settings by the names of the ONNX file, where a pass has put one node in the place of several (a MatMul and an Add became a Gemm)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from espdl.quantize.provenance import regions
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.trainings import TRAININGS


def with_prepared_names(setting: QuantizationSetting, imported: ir.Model, prepared: ir.Model) -> QuantizationSetting:
    """The setting with each layer that the prepared network does not have replaced by those that stand in its place.

    A scale set by hand belongs to a tensor, so it goes to the node that writes the same tensor. What has no successor keeps its name, to
    be refused with the nearest names.

    Args:
        setting: it is not changed.
        imported: the network as it was read.
        prepared: what the passes made of it.
    """
    present = {node.name or "" for node in prepared.graph}
    if not any(name not in present for table in (*_tables(setting), *_lists(setting)) for name in table):
        return setting
    successors: dict[str, list[str]] = {}
    writers: dict[str, list[str]] = {}
    for region in regions(imported, prepared):
        for node in region.before:
            successors.setdefault(node.name or "", []).extend(after.name or "" for after in region.after)
            result = node.outputs[0].name
            same = [after.name or "" for after in region.after if after.outputs[0].name == result]
            writers.setdefault(node.name or "", []).extend(same)
    changed = copy.deepcopy(setting)
    *tables, scales = _tables(changed)
    for table in tables:
        _rename(table, present, successors.get)
    _rename(scales, present, writers.get)
    for names in _lists(changed):
        names[:] = dict.fromkeys(
            after for name in names for after in ([name] if name in present else successors.get(name) or [name])
        )
    return changed


def _tables(setting: QuantizationSetting) -> list[dict[str, Any]]:
    return [
        setting.dispatching_table.platforms,
        setting.quantize_activation_setting.calib_algorithm_per_layer,
        setting.quantize_parameter_setting.calib_algorithm_per_layer,
        setting.quant_config_modify_setting.custom_config,
    ]


def _lists(setting: QuantizationSetting) -> list[list[str]]:
    return [training.setting(setting).interested_layers for training in TRAININGS]


def _rename(table: dict[str, Any], present: set[str], successors: Callable[[str], list[str] | None]) -> None:
    for name in [name for name in table if name not in present]:
        after = successors(name)
        if after:
            value = table.pop(name)
            for successor in after:
                table.setdefault(successor, value)
