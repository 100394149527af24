"""A case as the bytes of an ``.espdl`` file: one operator, or the few nodes that stand for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dtypes import DType
from espdl.fbs import FbsLoader, FbsModel, records, wrap_model, write_model
from tests.cases.oracle.node import Array
from tests.cases.packing import packed
from tests.cases.table import Case, Tensor

DTYPES = {
    "int8": DType.INT8,
    "int16": DType.INT16,
    "int32": DType.INT32,
    "int64": DType.INT64,
    "float32": DType.FLOAT,
    "bool": DType.BOOL,
}


def to_numpy(values: Any, dtype: str, shape: tuple[int, ...]) -> NDArray:
    return np.array(values, dtype=DTYPES[dtype].numpy).reshape(shape)


def exponents(exponent: int | list[int]) -> tuple[int, ...]:
    return tuple(exponent) if isinstance(exponent, list) else (exponent,)


@dataclass
class Network:
    """A file being put together. Inputs are named ``x0``, ``x1`` ..., outputs ``y0`` ...; an omitted one "".

    Attributes:
        lanes: elements of a vector of the activations; orders packed filters.
        fed: names of the inputs of the network, with the case's input index.
    """

    case: Case
    lanes: int
    initializers: list[records.Tensor] = field(default_factory=list)
    values: list[records.ValueInfo] = field(default_factory=list)
    nodes: list[records.Node] = field(default_factory=list)
    fed: dict[str, int] = field(default_factory=dict)

    def stored(self, tensor: Tensor, array: Array) -> tuple[NDArray, str]:
        """A tensor as a file or a running network holds it, and its tag."""
        values, tag = packed(array, tensor.packing, self.lanes) if tensor.packing else (array.values, "UNK")
        return to_numpy(values, array.dtype, array.shape), tag

    def constant(self, name: str, data: NDArray, dtype: str, exponent: int | list[int] = 0, tag: str = "UNK") -> str:
        self.initializers.append(records.Tensor(name, data.shape, DTYPES[dtype], data, exponents(exponent), f"layout ==> {tag}"))
        return name

    def value(self, name: str, dtype: str, exponent: int, shape: tuple[int, ...] | None = None) -> records.ValueInfo:
        info = records.ValueInfo(name, DTYPES[dtype], shape, (exponent,))
        self.values.append(info)
        return info

    def input_names(self, arrays: list[Array | None]) -> list[str]:
        """Declares every input of the case as a constant or an input of the network."""
        names = []
        for index, (tensor, array) in enumerate(zip(self.case.inputs, arrays, strict=True)):
            if tensor is None or array is None:
                names.append("")
                continue
            name = f"x{index}"
            if tensor.constant:
                data, tag = self.stored(tensor, array)
                self.constant(name, data, array.dtype, array.exponent, tag)
            else:
                assert isinstance(array.exponent, int)
                self.value(name, array.dtype, array.exponent, array.shape)
                self.fed[name] = index
            names.append(name)
        return names

    def output_names(self, shapes: list[tuple[int, ...] | None]) -> list[str]:
        """Declares every output."""
        names = []
        for index, (result, shape) in enumerate(zip(self.case.outputs, shapes, strict=True)):
            names.append("" if result is None else f"y{index}")
            if result is not None:
                self.value(f"y{index}", result.dtype, result.exponent, shape)
        return names

    def attributes(self, given: dict[str, Any], **more: Any) -> list[records.Attribute]:
        everything = {**given, **more, "quant_type": self.case.quant_type}
        return [records.Attribute(name, value) for name, value in sorted(everything.items())]

    def node(self, op_type: str, inputs: list[str], outputs: list[str], attributes: list[records.Attribute]) -> None:
        self.nodes.append(records.Node(op_type, f"/{self.case.name}/{len(self.nodes)}", inputs, outputs, attributes))

    def file(self) -> bytes:
        """The whole file, its outputs being those of the case."""
        by_name = {info.name: info for info in self.values}
        outputs = [by_name[f"y{i}"] for i, result in enumerate(self.case.outputs) if result is not None]
        inputs = [by_name[name] for name in self.fed]
        graph = records.Graph(self.case.name, self.nodes, self.initializers, inputs, outputs, self.values)
        return wrap_model(write_model(records.Model(graph)))


def one_node(network: Network, inputs: list[str], outputs: list[str]) -> None:
    """The node of most cases."""
    case, more = network.case, {}
    table = case.lut_array()
    if table is not None:
        data = to_numpy(table.values, table.dtype, table.shape)
        more["lut"] = network.constant("table", data, table.dtype, table.exponent)
    network.node(case.op, inputs, outputs, network.attributes(case.attributes, **more))


Builder = Callable[[Network, list[str], list[str]], None]
"""Adds the nodes of a case between its inputs and its outputs."""


@dataclass(frozen=True)
class File:
    """A case ready to run: the model, and for each run what its inputs are fed with, by name."""

    model: FbsModel
    feeds: list[dict[str, NDArray]]


def build(case: Case, lanes: int, shapes: list[tuple[int, ...] | None], make: Builder = one_node) -> File:
    """The file of a case for chips with vectors of ``lanes`` activations; ``shapes`` of the outputs, None for an omitted one."""
    network = Network(case, lanes)
    inputs, outputs = network.input_names(case.arrays()), network.output_names(shapes)
    make(network, inputs, outputs)
    return File(FbsLoader(network.file()).load(), [_feed(network, run) for run in range(case.runs)])


def _feed(network: Network, run: int) -> dict[str, NDArray]:
    arrays = network.case.arrays(run)
    result = {}
    for name, index in network.fed.items():
        tensor, array = network.case.inputs[index], arrays[index]
        assert tensor is not None
        assert array is not None
        result[name] = network.stored(tensor, array)[0]
    return result
