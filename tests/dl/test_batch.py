"""``Model.run_many``: the results of one run after the other, whatever the number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dl.base import missing_native_notice
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import records, wrap_model, write_model
from tests.models import INPUT_SHAPE, small_file

BACKENDS = ["numpy"] + ([] if missing_native_notice() else ["native"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("threads", [None, 1, 3])
def test_many_runs_equal_single_ones(backend: str, threads: int | None) -> None:
    model = Model(small_file("esp32p4"), target="esp32p4", backend=backend)
    x = np.random.default_rng(0).integers(-128, 128, (7, *INPUT_SHAPE[1:])).astype(np.int8)
    expected = np.stack([model.run_arrays({"x": image[None]})["y"] for image in x])
    np.testing.assert_array_equal(model.run_many({"x": x}, threads)["y"], expected)
    np.testing.assert_array_equal(model.run_many({"x": x[:, None]}, threads)["y"], expected)
    real = model.run_many({"x": x[:2].astype(np.float32) * 2.0**-7}, threads)["y"]
    np.testing.assert_array_equal(real, expected[:2])


def test_what_run_many_refuses() -> None:
    model = Model(small_file("c"), target="c")
    x = np.zeros((2, *INPUT_SHAPE[1:]), np.int8)
    with pytest.raises(EspdlError, match="the model's are 'x'"):
        model.run_many({"z": x})
    with pytest.raises(EspdlError, match="0 threads"):
        model.run_many({"x": x}, threads=0)
    with pytest.raises(EspdlError, match="shape"):
        model.run_many({"x": x[:, :4]}, threads=2)


def test_a_model_with_state_is_refused() -> None:
    shapes = {"x": (1, 2, 4), "y": (1, 4, 4)}
    info = {name: records.ValueInfo(name, DType.INT8, shape, (-4,)) for name, shape in shapes.items()}
    attributes = [records.Attribute("window_size", 3), records.Attribute("frame_axis", 1)]
    node = records.Node("StreamingCache", "/cache", ["x"], ["y"], attributes)
    graph = records.Graph("cache", [node], [], [info["x"]], [info["y"]], list(info.values()))
    model = Model(wrap_model(write_model(records.Model(graph))), target="c")
    with pytest.raises(EspdlError, match="state"):
        model.run_many({"x": np.zeros((2, 2, 4), np.int8)})
