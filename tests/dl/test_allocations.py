"""A run in steady state takes no memory: none of the extension's, and no Python block is kept."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dl.base import missing_native_notice
from espdl.dtypes import DType, RuntimeMode
from espdl.fbs import records, wrap_model, write_model
from tests.models import small_file, weight

if notice := missing_native_notice():
    pytest.skip(notice, allow_module_level=True)

from espdl.dl.base import _native

TARGET = "esp32p4"
S8 = records.Attribute("quant_type", "S8")


def made(nodes: list[records.Node], constants: list[records.Tensor], x: records.ValueInfo, *values: records.ValueInfo) -> Model:
    """A model whose last value is its output."""
    graph = records.Graph("made", nodes, constants, [x], [values[-1]], [x, *values])
    return Model(wrap_model(write_model(records.Model(graph))), target=TARGET, backend="native")


def value(name: str, shape: tuple[int, ...], exponent: int = -4) -> records.ValueInfo:
    return records.ValueInfo(name, DType.INT8, shape, (exponent,))


def conv(name: str, source: str, output: str, kernel: int, *, group: int = 1) -> records.Node:
    around = kernel // 2
    attributes = [
        records.Attribute("activation", "Relu"),
        records.Attribute("dilations", [1, 1]),
        records.Attribute("group", group),
        records.Attribute("kernel_shape", [kernel, kernel]),
        records.Attribute("pads", [around] * 4),
        records.Attribute("strides", [1, 1]),
        S8,
    ]
    return records.Node("Conv", name, [source, f"{output}.weight"], [output], attributes)


def inverted_residual() -> Model:
    """Widened, filtered channel by channel, narrowed and added to itself, on images large enough for several threads."""
    rng = np.random.default_rng(0)
    filters = {
        "wide": weight("wide.weight", rng.integers(-128, 128, (96, 1, 1, 16)), TARGET, (-7,), (1, 1, 16, 96)),
        "deep": records.Tensor(
            "deep.weight", (3, 3, 96, 1), DType.INT8, rng.integers(-128, 128, (3, 3, 96, 1)).astype(np.int8), (-7,)
        ),
        "thin": weight("thin.weight", rng.integers(-128, 128, (16, 1, 1, 96)), TARGET, (-7,), (1, 1, 96, 16)),
    }
    nodes = [
        conv("/wide", "x", "wide", 1),
        conv("/deep", "wide", "deep", 3, group=96),
        conv("/thin", "deep", "thin", 1),
        records.Node("Add", "/add", ["thin", "x"], ["y"], [S8]),
    ]
    shape = (1, 40, 40, 96)
    values = (value("wide", shape), value("deep", shape), value("thin", (1, 40, 40, 16)), value("y", (1, 40, 40, 16)))
    return made(nodes, list(filters.values()), value("x", (1, 40, 40, 16)), *values)


def attention() -> Model:
    """Two products of computed matrices around a Softmax."""
    plain = records.Attribute("input1_layout", "native_kn")
    nodes = [
        records.Node("Transpose", "/k", ["x"], ["k"], [records.Attribute("perm", [0, 2, 1]), S8]),
        records.Node("MatMul", "/scores", ["x", "k"], ["scores"], [plain, S8]),
        records.Node("Softmax", "/softmax", ["scores"], ["real"], [records.Attribute("axis", -1), S8]),
        records.Node("QuantizeLinear", "/shares", ["real"], ["shares"], [S8]),
        records.Node("MatMul", "/mix", ["shares", "x"], ["y"], [plain, S8]),
    ]
    square = (2, 90, 90)
    real = records.ValueInfo("real", DType.FLOAT, square, ())
    values = (value("k", (2, 70, 90)), value("scores", square, 2), real, value("shares", square, -7), value("y", (2, 90, 70)))
    return made(nodes, [], value("x", (2, 90, 70)), *values)


def recurrent() -> Model:
    """Frames kept from run to run, filtered."""
    rng = np.random.default_rng(1)
    window = [records.Attribute("window_size", 5), records.Attribute("frame_axis", 1)]
    filter = weight("y.weight", rng.integers(-128, 128, (24, 1, 3, 8)), TARGET, (-7,), (3, 8, 24))
    attributes = [
        records.Attribute("activation", "Linear"),
        records.Attribute("dilations", [1]),
        records.Attribute("group", 1),
        records.Attribute("kernel_shape", [3]),
        records.Attribute("pads", [1, 1]),
        records.Attribute("strides", [1]),
        S8,
    ]
    nodes = [
        records.Node("StreamingCache", "/cache", ["x"], ["frames"], window),
        records.Node("Conv", "/conv", ["frames", "y.weight"], ["y"], attributes),
    ]
    return made(nodes, [filter], value("x", (1, 2, 8)), value("frames", (1, 6, 8)), value("y", (1, 6, 24)))


def small() -> Model:
    return Model(small_file(TARGET), target=TARGET, backend="native")


NETWORKS = [small, inverted_residual, attention, recurrent]


def assert_settles(work: Callable[[], object], quiet: int = 20) -> None:
    """So many calls in a row take nothing, at the latest when every thread has had its first part, which is left to chance."""
    row = 0
    for _ in range(20 * quiet):
        before = _native.allocations()
        work()
        row = row + 1 if _native.allocations() == before else 0
        if row == quiet:
            return
    pytest.fail("memory is taken again and again")


def test_allocations_and_growing_scratch_memory_are_counted() -> None:
    before = _native.allocations()
    attention()
    assert _native.allocations() > before or not _native.COUNTS_ALLOCATIONS


@pytest.mark.parametrize("network", NETWORKS)
def test_a_run_takes_no_memory(network: Callable[[], Model]) -> None:
    model = network()
    model.get_input().data[...] = np.random.default_rng(2).integers(-128, 128, model.get_input().shape)
    model.run()
    before = _native.allocations()
    for _ in range(20):
        model.run()
    assert _native.allocations() == before


@pytest.mark.parametrize("network", NETWORKS)
def test_a_run_on_several_cores_takes_no_memory(network: Callable[[], Model]) -> None:
    threads = _native.threads()
    _native.set_threads(2)
    try:
        model = network()
        assert_settles(lambda: model.run(RuntimeMode.MULTI_CORE))
    finally:
        _native.set_threads(threads)


@pytest.mark.parametrize("network", [small, inverted_residual, attention])
def test_many_runs_take_no_memory(network: Callable[[], Model]) -> None:
    model = network()
    x = np.random.default_rng(3).integers(-128, 128, (8, *model.get_input().shape)).astype(np.int8)
    name = next(iter(model.get_inputs()))
    assert_settles(lambda: model.run_many({name: x}, threads=2), quiet=5)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_run_keeps_no_python_block(network: Callable[[], Model]) -> None:
    model = network()
    data = model.get_input().data.copy()
    for _ in range(3):
        model.run(data)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(50):
            model.run(data)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(200):
            model.run(data)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 512, "the measurement's own numbers are all there may be"
