"""Softmax of 8-bit inputs does not subtract their maximum on the chips: large inputs go through its float form."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.dtypes import DType
from espdl.quantize.api import quantize
from tests.quantize.graphs import network, op


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(("size", "runs_in_float"), [(10, False), (50, False), (100, True), (400, True)])
def test_large_inputs_go_through_float(kind: str, size: float, runs_in_float: bool) -> None:
    source = network([op("Identity", "x", "i"), op(kind, "i", "y", axis=-1)], {"x": (1, 4, 6)})
    data = np.random.default_rng(2).uniform(-size, size, (8, 1, 4, 6)).astype(np.float32)
    data[:, 0, 0, 0] = size
    quantized = quantize(source, list(data), target="esp32s3", test_values=True)
    record = quantized.record.graph
    types = {value.name: value.data_type for value in record.value_info}
    (node,) = [node for node in record.node if node.op_type == kind]
    assert (types[node.input[0]] is DType.FLOAT) == runs_in_float
    assert len(quantized.warnings) == runs_in_float
    assert all("runs in float" in warning for warning in quantized.warnings)
    assert quantized.model(arithmetic="reference").test()
    assert all(np.isfinite(tensor.data).all() for tensor in record.test_outputs_value)
    assert min(quantized.snr(quantized.samples).values()) > 12
