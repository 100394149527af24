"""Quantization that trains: needs PyTorch, which is imported in the modules of this folder, and only when something is trained."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from espdl.errors import EspdlError
from espdl.quantize.graph import QuantGraph
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.setting_check import check_layer_names
from espdl.quantize.tables import LoweringOptions
from espdl.quantize.torch_import import require_torch
from espdl.quantize.train.samples import SampleStore
from espdl.quantize.trainings import trainings_of, trains

if TYPE_CHECKING:
    from espdl.quantize.train.qat import QuantModule, prepare
    from espdl.quantize.train.trainer import QuantTrainer, TrainingRecord

__all__ = [
    "QuantModule",
    "QuantTrainer",
    "SampleStore",
    "TrainingRecord",
    "prepare",
    "require_training",
    "train_graph",
    "trains",
]

_IN = {"QuantModule": "qat", "prepare": "qat", "QuantTrainer": "trainer", "TrainingRecord": "trainer"}


def __getattr__(name: str) -> Any:
    """What needs PyTorch is imported when it is asked for."""
    if name not in _IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_torch()
    return getattr(import_module(f"{__name__}.{_IN[name]}"), name)


def require_training(setting: QuantizationSetting, device: str = "cpu") -> None:
    """Raises :class:`EspdlError` where the training that a setting asks for cannot be done: without PyTorch, or without the device."""
    if not trains(setting):
        if device != "cpu":
            raise EspdlError(f"device {device!r} is for training only", hint="device='cpu', or tqt_optimization = True")
        return
    require_torch()
    from espdl.quantize.train.executor import find_device

    find_device(device)
    for training in trainings_of(setting):
        collecting = training.setting(setting).collecting_device
        if collecting != "executor":
            try:
                find_device(collecting)
            except EspdlError as error:
                raise error.at(f"{training.group}.collecting_device") from None


def train_graph(
    graph: QuantGraph,
    setting: QuantizationSetting,
    samples: SampleStore,
    device: str = "cpu",
    lowering: LoweringOptions | None = None,
) -> None:
    """Trains a graph whose every representation has exponents, as its setting asks.

    Values go to ``graph.adjusted``, exponents to the representations, and what was done to ``graph.measures``.

    Args:
        graph: all set, but for the exponents of biases, which follow.
        setting: of the quantization.
        samples: calibration data.
        device: where training runs.
        lowering: with which the file is to be made.

    Raises:
        EspdlError: without samples, for a layer that does not exist, and when the loss is no number.
    """
    layers = [node.name or "" for node in graph.nodes()]
    for training in trainings_of(setting):
        check_layer_names(training.setting(setting).interested_layers, layers, f"{training.group}.interested_layers")
    if not len(samples):
        raise EspdlError("training needs calibration data", hint="give a calib_dataloader")
    from espdl.quantize.train.optimize import optimize

    fixed = _set_by_hand(graph, setting)
    for training in trainings_of(setting):
        report = optimize(graph, training, training.setting(setting), samples, device, fixed, lowering)
        if report.was_interrupted:
            break


def _set_by_hand(graph: QuantGraph, setting: QuantizationSetting) -> set[int]:
    """Groups whose exponent the user gave, by the identity of their roots."""
    if not setting.quant_config_modify:
        return set()
    named = setting.quant_config_modify_setting.custom_config
    infos = [graph.output_info(node.outputs[0]) for node in graph.nodes() if node.name in named]
    return {id(info.root) for info in infos if info is not None}
