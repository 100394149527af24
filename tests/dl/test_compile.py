"""The flat list of a model: what is fused, and that a fused run gives the bits of the plain one."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dl.base import get_kernels, missing_native_notice
from espdl.dl.base.steps import BoundStep
from espdl.dl.compile import BoundOperator, compile_steps
from espdl.dtypes import DType, RuntimeMode
from espdl.errors import EspdlError
from espdl.fbs import records, wrap_model, write_model
from espdl.rounding import Rounding
from tests.conftest import conformance_directory
from tests.models import INPUT_SHAPE, small_file

BACKENDS = ["numpy"] + ([] if missing_native_notice() else ["native"])
RNG = np.random.default_rng(5)
TABLE = RNG.integers(-128, 128, 256).astype(np.int8)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def chain_file(*nodes: tuple[str, list[str], str, int], outputs: tuple[str, ...]) -> bytes:
    """int8 [1, 4, 4, 8] all through; a node: op_type, inputs, output, exponent of the output."""
    shape, s8 = (1, 4, 4, 8), records.Attribute("quant_type", "S8")
    made = []
    for op_type, inputs, output, exponent in nodes:
        attributes = [s8]
        if op_type == "LUT":
            attributes.append(records.Attribute("lut", records.Tensor(f"{output}.lut", (256,), DType.INT8, TABLE, (exponent,))))
        made.append(records.Node(op_type, f"/{output}", inputs, [output], attributes))
    x = records.ValueInfo("x", DType.INT8, shape, (-4,))
    info = {output: records.ValueInfo(output, DType.INT8, shape, (exponent,)) for _, _, output, exponent in nodes}
    graph = records.Graph("chain", made, [], [x], [info[name] for name in outputs], [x, *info.values()])
    return wrap_model(write_model(records.Model(graph)))


def random_inputs(model: Model, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(t.shape).astype(np.float32)
        if t.dtype is DType.FLOAT
        else rng.integers(np.iinfo(t.dtype.numpy).min, np.iinfo(t.dtype.numpy).max + 1, t.shape).astype(t.dtype.numpy)
        for name, t in model.get_inputs().items()
    }


def assert_fused_is_unfused(model: Model, seed: int = 0) -> frozenset[str]:
    """Runs fused, unfused and on all threads; returns what the fused run left out."""
    inputs = random_inputs(model, seed)
    model.reset()
    fused = model.run_arrays(inputs)
    model.reset()
    pooled = model.run_arrays(inputs, mode=RuntimeMode.MULTI_CORE)
    model.reset()
    plain = model.run_arrays(inputs, names=list(fused))
    for name, array in plain.items():
        np.testing.assert_array_equal(fused[name], array)
        np.testing.assert_array_equal(pooled[name], array)
    return model._compiled().absent


@pytest.mark.parametrize(
    ("nodes", "outputs", "absent"),
    [
        pytest.param([("Add", ["x", "x"], "a", -4), ("Relu", ["a"], "y", -4)], ["y"], {"a"}, id="add-relu"),
        pytest.param([("LUT", ["x"], "a", -5), ("RequantizeLinear", ["a"], "y", -3)], ["y"], {"a"}, id="table-requantize"),
        pytest.param(
            [
                ("Mul", ["x", "x"], "a", -4),
                ("LUT", ["a"], "b", -5),
                ("RequantizeLinear", ["b"], "c", -3),
                ("Relu", ["c"], "y", -4),
            ],
            ["y"],
            {"a", "b", "c"},
            id="four-in-one",
        ),
        pytest.param(
            [("Add", ["x", "x"], "a", -4), ("Relu", ["a"], "b", -4), ("Sub", ["a", "b"], "y", -4)],
            ["y"],
            set(),
            id="read-twice",
        ),
        pytest.param([("Add", ["x", "x"], "a", -4), ("Relu", ["a"], "y", -4)], ["a", "y"], set(), id="an-output"),
        pytest.param(
            [("Add", ["x", "x"], "a", -4), ("Identity", ["a"], "b", -4), ("Relu", ["b"], "y", -4)],
            ["y"],
            {"a", "b"},
            id="through-another-name",
        ),
        pytest.param(
            [("Add", ["x", "x"], "a", -4), ("Identity", ["a"], "b", -4), ("Relu", ["b"], "y", -4)],
            ["b", "y"],
            set(),
            id="another-name-is-an-output",
        ),
    ],
)
def test_what_is_fused(nodes: list[tuple[str, list[str], str, int]], outputs: list[str], absent: set[str], backend: str) -> None:
    model = Model(chain_file(*nodes, outputs=tuple(outputs)), target="esp32s3", backend=backend)
    assert assert_fused_is_unfused(model) == absent


def test_a_table_behind_conv_and_gemm_is_fused(backend: str) -> None:
    """With another exponent for the sum, Conv and Requantize become one where the backend can."""
    if backend == "numpy":
        pytest.skip("the NumPy convolution takes no table")
    model = Model(small_file("c"), target="c", backend=backend)
    assert_fused_is_unfused(model)
    assert model._compiled().calls == 1


def test_no_fusion_where_the_later_output_lies_on_an_earlier_input(backend: str) -> None:
    kernels = get_kernels(backend)
    memory = RNG.integers(-128, 128, 64).astype(np.int8)
    x, y = memory[:32], memory[16:48]  # y lies on the second half of x
    a = np.zeros(32, np.int8)
    expected = TABLE[np.clip(x.astype(int) * 2, -128, 127) + 128]
    operators = [
        BoundOperator(kernels.sum_step(x, x, a), ("x", "x"), ("a",)),
        BoundOperator(kernels.lookup_step(TABLE, a, y, Rounding.HALF_UP), ("a",), ("y",)),
    ]
    program = compile_steps(operators, {"x": x, "a": a, "y": y}, frozenset({"y"}), kernels, may_fuse=True)
    assert not program.absent
    program.run(pooled=False)
    np.testing.assert_array_equal(y, expected)


def test_steps_without_description_run_as_they_are(backend: str) -> None:
    kernels, seen = get_kernels(backend), []
    x, y = np.arange(4, dtype=np.int8), np.zeros(4, np.int8)
    operators = [
        BoundOperator(lambda: seen.append("first"), (), ("x",)),
        BoundOperator(kernels.lookup_step(TABLE, x, y, Rounding.HALF_UP), ("x",), ("y",)),
        BoundOperator(BoundStep(lambda: seen.append("last")), ("y",), ("z",)),
    ]
    program = compile_steps(operators, {"x": x, "y": y, "z": y}, frozenset({"z"}), kernels, may_fuse=True)
    program.run(pooled=True)
    assert seen == ["first", "last"]
    np.testing.assert_array_equal(y, TABLE[x.astype(int) + 128])


def test_intermediate_tensors_are_computed_once_they_are_asked_for(backend: str) -> None:
    data = chain_file(("Add", ["x", "x"], "a", -4), ("Mul", ["x", "a"], "b", -4), ("Relu", ["b"], "y", -4), outputs=("y",))
    model = Model(data, target="esp32s3", backend=backend)
    inputs = random_inputs(model)
    expected = model.run_arrays(inputs, names=["b"])["b"]
    model.run(inputs)
    with pytest.raises(EspdlError, match="did not compute 'b'"):
        model.get_intermediate("b")
    into = model.get_output().data
    model.run(inputs)
    assert model._compiled().absent == frozenset()
    model.get_intermediate("b")
    np.testing.assert_array_equal(into, np.maximum(expected, 0))


def test_tensors_may_be_given_other_memory(backend: str) -> None:
    model = Model(small_file("c"), target="c", backend=backend)
    inputs = random_inputs(model)
    expected = model.run_arrays(inputs)["y"]
    x, y = np.zeros(INPUT_SHAPE, np.int8), np.zeros((1, 5), np.int8)
    model.get_input().set_element_ptr(x)
    model.get_output().set_element_ptr(y)
    x[...] = inputs["x"]
    model.run()
    np.testing.assert_array_equal(y, expected)


def conformance_models() -> list[object]:
    directory = conformance_directory()
    if directory is None:
        return [pytest.param(None, id="absent")]
    params = []
    for path in sorted((directory / "models").rglob("*.espdl")):
        marks = [pytest.mark.slow] if path.stat().st_size > 400_000 else []
        params.append(pytest.param(path, id=f"{path.parent.name}-{path.stem}", marks=marks))
    return params


@pytest.mark.parametrize("path", conformance_models())
@pytest.mark.parametrize("arithmetic", ["silicon", "reference"])
def test_fused_is_unfused_on_every_conformance_model(path: Path | None, arithmetic: str) -> None:
    if path is None:
        pytest.skip("no conformance data here")
    from espdl.fbs import FbsLoader

    loader = FbsLoader(path)
    for index in range(loader.get_model_num()):
        model = Model(loader.load(index), target=path.parent.name, arithmetic=arithmetic)
        assert_fused_is_unfused(model, seed=index)


@pytest.mark.skipif("native" not in BACKENDS, reason="no native kernels here")
def test_a_run_allocates_nothing() -> None:
    model = Model(small_file("esp32p4"), target="esp32p4", backend="native")
    model.get_input().data[...] = 3
    assert model._compiled().calls == 1
    for _ in range(3):
        model.run()
    tracemalloc.start()
    try:
        for _ in range(100):
            model.run()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4096, "frames and arguments of the call are all there may be"
    assert now < 2048
