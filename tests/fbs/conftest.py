"""A small model with one of everything that a file can hold, made with the project's own writer."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.chips import Packing
from espdl.dtypes import DType
from espdl.fbs import pack_filter, packing_doc_string, packing_tag, wrap_model, write_model
from espdl.fbs.records import Attribute, Graph, Model, Node, Tensor, ValueInfo


def tensor(name: str, values: np.ndarray, exponents: tuple[int, ...] = (0,), tag: str = "UNK") -> Tensor:
    return Tensor(name, values.shape, DType.of(values.dtype), values, exponents, packing_doc_string(tag))


def value(name: str, shape: tuple[int, ...], exponent: int, dtype: DType = DType.INT8) -> ValueInfo:
    return ValueInfo(name, dtype, shape, (exponent,))


def make_record() -> Model:
    rng = np.random.default_rng(5)
    ohwi = rng.integers(-128, 128, (20, 3, 3, 4)).astype(np.int8)
    weight = pack_filter(ohwi, Packing.BLOCKED, 16).reshape(3, 3, 4, 20)
    exponents = tuple(int(e) for e in rng.integers(-9, -5, 20))
    s8 = Attribute("quant_type", "S8")
    nodes = [
        Node(
            "Conv",
            "/conv",
            ["x", "w", "b"],
            ["c"],
            [Attribute("activation", "Relu"), Attribute("group", 1), Attribute("pads", [1, 1, 1, 1]), s8],
        ),
        Node("Sigmoid", "/sigmoid", ["c"], ["s"], [Attribute("lut", "Sigmoid_lut_0"), s8]),
        Node(
            "Resize",
            "/resize",
            ["s", "", "scales"],
            ["r"],
            [
                Attribute("cubic_coeff_a", -0.75),
                Attribute("names", ["ä", ""]),
                Attribute("nothing", []),
                s8,
                Attribute("ratios", [1.5, 2.5, 3.5]),
                Attribute("value", Tensor("inner", (2, 2), DType.INT16, np.arange(4, dtype=np.int16).reshape(2, 2), (0,))),
            ],
        ),
        Node("Reshape", "/reshape", ["r", "shape"], ["y"], [s8]),
    ]
    x, y = value("x", (1, 8, 8, 4), -6), value("y", (1, 5120), -7)
    values = [x, value("c", (1, 8, 8, 20), -4), value("s", (1, 8, 8, 20), -7), value("r", (1, 16, 16, 20), -7), y]
    none = ValueInfo("", DType.FLOAT, None, (0,))
    initializers = [
        Tensor("Sigmoid_lut_0", (256,), DType.INT8, rng.integers(-128, 128, 256).astype(np.int8), (-7,)),
        tensor("w", weight, exponents, packing_tag(Packing.BLOCKED, 16, 20)),
        tensor("b", rng.integers(-9999, 9999, 20).astype(np.int32), tuple(e - 6 for e in exponents)),
        tensor("scales", np.array([1, 1, 2, 2], np.float32)),
        tensor("shape", np.array([1, 5120], np.int64)),
        tensor("unused_scalar", np.array(7, np.int64)),
        tensor("unused_empty", np.zeros((0, 3), np.float32)),
        tensor("unused_bool", np.array([True, False, True])),
    ]
    graph = Graph(
        "main_graph",
        nodes,
        initializers,
        [x],
        [y],
        [*values, none],
        [tensor("x", rng.integers(-128, 128, (1, 8, 8, 4)).astype(np.int8), (-6,))],
        [tensor("y", rng.integers(-128, 128, (1, 5120)).astype(np.int8), (-7,))],
    )
    return Model(graph, model_version=3, doc_string="a sample", opset_import=(("", 18),), metadata_props={"target": "esp32p4"})


@pytest.fixture
def record() -> Model:
    """A new copy for each test, to be damaged at will."""
    return make_record()


@pytest.fixture(scope="session")
def payload() -> bytes:
    """The FlatBuffer of the sample."""
    return write_model(make_record())


@pytest.fixture(scope="session")
def espdl_file(payload: bytes) -> bytes:
    """The sample as an EDL2 file."""
    return wrap_model(payload)
