"""Small model files for tests, made with the project's own writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from espdl.chips import get_chip
from espdl.dl import Model
from espdl.dtypes import DType
from espdl.fbs import records, wrap_model, write_model
from espdl.fbs.packing import pack_filter, packing_doc_string, packing_tag

INPUT_SHAPE = (1, 6, 6, 3)


def weight(name: str, ohwi: np.ndarray, target: str, exponents: tuple[int, ...], dims: tuple[int, ...]) -> records.Tensor:
    """An int8 filter [N, KH, KW, C] in the byte order of ``target``."""
    chip = get_chip(target)
    data = pack_filter(ohwi.astype(np.int8), chip.packing, chip.lanes(1)).reshape(dims)
    tag = packing_doc_string(packing_tag(chip.packing, chip.lanes(1), ohwi.shape[0]))
    return records.Tensor(name, dims, DType.INT8, data, exponents, tag)


def small_records(target: str, *, per_channel: bool = False, metadata: bool = False) -> records.Model:
    """Conv 3x3 + ReLU (20 channels), Add with itself, global average, flatten, Gemm to 5: int8, input ``x``, output ``y``."""
    rng = np.random.default_rng(7)
    exponents = tuple(int(e) for e in rng.integers(-7, -4, 20)) if per_channel else (-6,)
    conv = weight("conv.weight", rng.integers(-128, 128, (20, 3, 3, 3)), target, exponents, (3, 3, 3, 20))
    gemm = weight("fc.weight", rng.integers(-128, 128, (5, 1, 1, 20)), target, (-7,), (1, 1, 20, 5))
    bias = records.Tensor(
        "conv.bias", (20,), DType.INT32, rng.integers(-4000, 4000, 20, dtype=np.int32), tuple(e - 7 for e in exponents)
    )
    s8 = records.Attribute("quant_type", "S8")
    values = [("c", (1, 6, 6, 20), -4), ("a", (1, 6, 6, 20), -4), ("g", (1, 1, 1, 20), -4), ("f", (1, 20), -4), ("y", (1, 5), -3)]
    info = [records.ValueInfo(name, DType.INT8, shape, (exponent,)) for name, shape, exponent in values]
    x = records.ValueInfo("x", DType.INT8, INPUT_SHAPE, (-7,))
    conv_attributes = [
        records.Attribute("activation", "Relu"),
        records.Attribute("dilations", [1, 1]),
        records.Attribute("group", 1),
        records.Attribute("kernel_shape", [3, 3]),
        records.Attribute("pads", [1, 1, 1, 1]),
        s8,
        records.Attribute("strides", [1, 1]),
    ]
    nodes = [
        records.Node("Conv", "/conv", ["x", "conv.weight", "conv.bias"], ["c"], conv_attributes),
        records.Node("Add", "/add", ["c", "c"], ["a"], [s8]),
        records.Node("GlobalAveragePool", "/pool", ["a"], ["g"], [s8]),
        records.Node("Flatten", "/flatten", ["g"], ["f"], [records.Attribute("axis", 1), s8]),
        records.Node("Gemm", "/fc", ["f", "fc.weight"], ["y"], [records.Attribute("activation", "Linear"), s8]),
    ]
    graph = records.Graph("small", nodes, [conv, bias, gemm], [x], [info[-1]], [x, *info])
    return records.Model(graph, metadata_props={"target": target} if metadata else {})


def small_file(target: str, *, test_values: bool = True, per_channel: bool = False, metadata: bool = False) -> bytes:
    """The bytes of an ``.espdl`` file of :func:`small_records`, with test values from a reference run."""
    model = small_records(target, per_channel=per_channel, metadata=metadata)
    if test_values:
        x = np.random.default_rng(3).integers(-128, 128, INPUT_SHAPE, dtype=np.int8)
        y = Model(wrap_model(write_model(model)), target=target, arithmetic="reference").run_arrays({"x": x})["y"]
        model.graph.test_inputs_value = [records.Tensor("x", x.shape, DType.INT8, x, (-7,))]
        model.graph.test_outputs_value = [records.Tensor("y", y.shape, DType.INT8, y, (-3,))]
    return wrap_model(write_model(model))


def node_file(
    op_type: str,
    inputs: Sequence[tuple[tuple[int, ...], Any, int] | np.ndarray | None],
    outputs: Sequence[tuple[tuple[int, ...], Any, int]],
    *,
    exponents: Mapping[int, int] | None = None,
    metadata: Mapping[str, str] | None = None,
    **attributes: Any,
) -> bytes:
    """The bytes of a file with one node.

    Args:
        inputs: (shape, NumPy type, exponent) of a variable, named ``x0``, ``x1``, ... by its place; an array for a constant, None for an
            omitted input.
        outputs: of variables, named ``y0``, ``y1``, ...
        exponents: of constants by input index; 0 where it is not given.
        attributes: of the node; an array becomes a table beside the graph, with the exponent of the first output.
    """

    def info(name: str, shape: tuple[int, ...], dtype: Any, exponent: int) -> records.ValueInfo:
        return records.ValueInfo(name, DType.of(dtype), shape, (exponent,) if np.dtype(dtype).kind in "iu" else ())

    names, variables, constants = [], [], []
    for index, given in enumerate(inputs):
        names.append("" if given is None else f"x{index}")
        if isinstance(given, np.ndarray):
            stored = ((exponents or {}).get(index, 0),) if given.dtype.itemsize < 4 else ()
            constants.append(records.Tensor(f"x{index}", given.shape, DType.of(given.dtype), given, stored))
        elif given is not None:
            variables.append(info(f"x{index}", *given))
    results = [info(f"y{index}", *given) for index, given in enumerate(outputs)]
    listed = []
    for name, value in attributes.items():
        if isinstance(value, np.ndarray):
            constants.append(records.Tensor(f"{name}_0", value.shape, DType.of(value.dtype), value, (outputs[0][2],)))
            value = f"{name}_0"
        listed.append(records.Attribute(name, value))
    node = records.Node(op_type, "/node", names, [value.name for value in results], listed)
    graph = records.Graph("one", [node], constants, variables, results, [*variables, *results])
    return wrap_model(write_model(records.Model(graph, metadata_props=dict(metadata or {}))))
