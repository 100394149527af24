"""Every import that the guide's scripts make from ``esp_ppq`` resolves under ``espdl``. Sections are those of the guide."""

from __future__ import annotations

import importlib

import pytest

from espdl.api import insert_streaming_cache_on_var

IMPORTS = [
    ("espdl", "QuantizationSettingFactory QuantizationSetting"),  # 3.6, 3.10
    ("espdl.api", "espdl_quantize_onnx espdl_quantize_torch get_target_platform ENABLE_CUDA_KERNEL"),  # 3.1, 3.6, 3.10
    ("espdl.api", "insert_streaming_cache_on_var"),  # 3.9
    ("espdl.executor", "TorchExecutor"),  # 3.1
    ("espdl.executor.torch", "TorchExecutor"),
    ("espdl.quantization.analyse", "graphwise_error_analyse layerwise_error_analyse statistical_analyse"),
    ("espdl.core", "TargetPlatform"),
    ("espdl.IR", "BaseGraph"),
]


@pytest.mark.parametrize(("module", "names"), IMPORTS)
def test_import(module: str, names: str) -> None:
    for name in names.split():
        assert hasattr(importlib.import_module(module), name), name


def test_an_entry_of_a_streaming_table() -> None:
    assert insert_streaming_cache_on_var("/conv/Conv_output_0", 2) == {
        "/conv/Conv_output_0": {"window_size": 2, "op_name": None, "frame_axis": 1}
    }
