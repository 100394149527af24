"""Quantize neural networks for ESP32 chips, run them on a PC bit for bit as the chip would, and see what they cost.

>>> import espdl
>>> model = espdl.Model("network.espdl")              # doctest: +SKIP
>>> outputs = model.run_arrays({"image": pixels})     # doctest: +SKIP

Names are imported when they are first used: ``import espdl`` alone loads neither ONNX nor a runtime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from espdl.version import __version__ as __version__

if TYPE_CHECKING:
    from espdl.api import espdl_quantize_onnx, espdl_quantize_torch, get_target_platform
    from espdl.chips import CHIPS, Chip, get_chip
    from espdl.dl import ExponentInfo, Model, Module, ModuleCreator, TensorBase
    from espdl.errors import EspdlError
    from espdl.fbs import FbsLoader, FbsModel
    from espdl.quantize.picture_folder import PictureFolder
    from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory

_HOMES = {
    "CHIPS": "espdl.chips",
    "Chip": "espdl.chips",
    "EspdlError": "espdl.errors",
    "ExponentInfo": "espdl.dl",
    "FbsLoader": "espdl.fbs",
    "FbsModel": "espdl.fbs",
    "Model": "espdl.dl",
    "Module": "espdl.dl",
    "ModuleCreator": "espdl.dl",
    "PictureFolder": "espdl.quantize.picture_folder",
    "QuantizationSetting": "espdl.quantize.setting",
    "QuantizationSettingFactory": "espdl.quantize.setting",
    "TensorBase": "espdl.dl",
    "espdl_quantize_onnx": "espdl.api",
    "espdl_quantize_torch": "espdl.api",
    "get_chip": "espdl.chips",
    "get_target_platform": "espdl.api",
}

__all__ = [
    "CHIPS",
    "Chip",
    "EspdlError",
    "ExponentInfo",
    "FbsLoader",
    "FbsModel",
    "Model",
    "Module",
    "ModuleCreator",
    "PictureFolder",
    "QuantizationSetting",
    "QuantizationSettingFactory",
    "TensorBase",
    "espdl_quantize_onnx",
    "espdl_quantize_torch",
    "get_chip",
    "get_target_platform",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'espdl' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
