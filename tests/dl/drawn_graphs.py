"""Random small networks out of all operators, as model files: what :mod:`tests.dl.drawn_operators` adds node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from random import Random
from typing import Any

import numpy as np

from espdl.dl.module import MODULE_TYPES
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import records, wrap_model, write_model
from espdl.tensor import TensorBase

LARGEST = 2000
"""Elements a drawn tensor may have."""

I8, I16, F32, BOOL, I64 = DType.INT8, DType.INT16, DType.FLOAT, DType.BOOL, DType.INT64
INTEGERS = (I8, I16)
NUMBERS = (I8, I16, F32)
QUANT_TYPE = {I8: "S8", I16: "S16", F32: "F32", BOOL: "S8"}


@dataclass(frozen=True)
class Value:
    """A tensor of the graph: a variable, or a constant where there are data."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    exponent: int = 0
    data: np.ndarray | None = None
    doc_string: str = ""


@dataclass
class Drawn:
    """A graph that grows.

    Attributes:
        random: where every decision comes from.
        target: chip whose packing filters have.
        nodes, constants, inputs, values: what it has by now; ``values`` are its variables.
    """

    random: Random
    target: str
    nodes: list[records.Node] = field(default_factory=list)
    constants: list[records.Tensor] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    # Choices

    def one_of(self, items: Sequence[Any]) -> Any:
        return items[self.random.randrange(len(items))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def exponent(self, dtype: DType) -> int:
        if dtype not in INTEGERS:
            return 0
        return self.random.choice((-7, -6, -5, -4, -3, -1, 0)) if self.chance(0.9) else self.random.randint(-20, 9)

    def shape(self, rank: int | None = None) -> tuple[int, ...]:
        rank = self.random.choice((1, 2, 3, 4)) if rank is None else rank
        sizes = [self.random.choice((1, 2, 3, 4, 5, 8, 16, 17)) for _ in range(rank)]
        while prod(sizes) > 300:
            sizes[sizes.index(max(sizes))] //= 2
        return tuple(sizes)

    def array(self, shape: Sequence[int], dtype: DType) -> np.ndarray:
        """Values of the whole range, the ends of it often."""
        rng = np.random.default_rng(self.random.randrange(1 << 30))
        if dtype is F32:
            return (rng.normal(size=shape) * 3).astype(np.float32)
        if dtype is BOOL:
            return rng.integers(0, 2, shape).astype(bool)
        limits = np.iinfo(dtype.numpy)
        drawn = rng.integers(limits.min, limits.max + 1, shape)
        ends = rng.choice([limits.min, limits.max, 0, -1], shape)
        return np.where(rng.random(shape) < 0.2, ends, drawn).astype(dtype.numpy)

    # Tensors

    def input(self, shape: Sequence[int], dtype: DType, exponent: int | None = None) -> Value:
        """A new input of the graph."""
        value = Value(f"x{len(self.inputs)}", tuple(shape), dtype, self.exponent(dtype) if exponent is None else exponent)
        self.inputs.append(value)
        self.values.append(value)
        return value

    def constant(
        self, data: np.ndarray | Sequence[int], exponent: int = 0, doc_string: str = "", dims: Sequence[int] | None = None
    ) -> Value:
        """A new constant; a list is one of int64. ``dims`` where the shape of the file is not that of the data."""
        array = np.asarray(data, np.int64) if isinstance(data, list | tuple) else np.asarray(data)
        shape = array.shape if dims is None else tuple(dims)
        value = Value(f"k{len(self.constants)}", shape, DType.of(array.dtype), exponent, array.reshape(shape), doc_string)
        exponents = (exponent,) if value.dtype in (*INTEGERS, DType.INT32) else ()
        self.constants.append(records.Tensor(value.name, shape, value.dtype, value.data, exponents, doc_string))
        return value

    def pick(
        self, dtypes: Sequence[DType] = NUMBERS, ranks: Sequence[int] = (1, 2, 3, 4), shape: Sequence[int] | None = None
    ) -> Value:
        """A variable of one of those types and ranks (or that shape): one that is there, or a new input."""
        fitting = [
            value
            for value in self.values
            if value.dtype in dtypes
            and (value.shape == tuple(shape) if shape is not None else len(value.shape) in ranks)
            and 0 < prod(value.shape) <= LARGEST
        ]
        if fitting and self.chance(0.85):
            return fitting[-1] if self.chance(0.6) else self.one_of(fitting)
        return self.input(self.shape(self.one_of(ranks)) if shape is None else shape, self.one_of(dtypes))

    def image(self, dtypes: Sequence[DType] = NUMBERS) -> Value:
        """[1, H, W, C] or [1, W, C]."""
        fitting = [
            v for v in self.values if v.dtype in dtypes and len(v.shape) in (3, 4) and v.shape[0] == 1 and prod(v.shape) < 400
        ]
        if fitting and self.chance(0.8):
            return self.one_of(fitting)
        return self.input((1, *self.shape(self.one_of((2, 3)))), self.one_of(dtypes))

    def beside(self, x: Value, shape: Sequence[int], *, exponent: int | None = None) -> Value:
        """Another tensor of the type of ``x``: a variable that is there, a new input, or a constant."""
        wanted = self.exponent(x.dtype) if exponent is None else exponent
        fitting = [v for v in self.values if v.shape == tuple(shape) and v.dtype is x.dtype and v.exponent == wanted]
        if fitting and self.chance(0.5):
            return self.one_of(fitting)
        if self.chance(0.5):
            return self.input(shape, x.dtype, wanted)
        return self.constant(self.array(shape, x.dtype), wanted)

    # Nodes

    def add(
        self,
        op_type: str,
        inputs: Sequence[Value | None],
        outputs: Sequence[tuple[DType, int]],
        **attributes: Any,
    ) -> bool:
        """Adds a node; its shapes are what the operator says. False where it refuses them, or they grow too large."""
        parameters = {
            index: TensorBase(value.shape, value.data, value.exponent, value.dtype)
            for index, value in enumerate(inputs)
            if value is not None and value.data is not None
        }
        if op_type not in MODULE_TYPES:
            return False
        known = {name: value for name, value in attributes.items() if name != "lut"}
        try:
            module = MODULE_TYPES[op_type]("node", attributes=known, parameters=parameters, op_type=op_type)
            shapes = module.get_output_shape([[] if value is None else list(value.shape) for value in inputs])
        except EspdlError:
            return False
        if len(shapes) < len(outputs) or any(not 0 < prod(shape) <= LARGEST for shape in shapes):
            return False
        names = [f"v{len(self.nodes)}_{index}" for index in range(len(outputs))]
        listed = [records.Attribute(name, value) for name, value in attributes.items()]
        first = next((value for value in inputs if value is not None), None)
        if first is not None and "quant_type" not in attributes:
            listed.append(records.Attribute("quant_type", QUANT_TYPE.get(first.dtype, "F32")))
        sources = ["" if value is None else value.name for value in inputs]
        self.nodes.append(records.Node(op_type, f"/{len(self.nodes)}/{op_type}", sources, names, listed))
        for name, shape, (dtype, exponent) in zip(names, shapes, outputs, strict=False):
            self.values.append(Value(name, tuple(shape), dtype, exponent))
        return True

    def file(self) -> bytes:
        """The graph as a file: what nobody reads is its output, and perhaps one more."""
        read = {name for node in self.nodes for name in node.input}
        outputs = [value for value in self.values if value.name not in read and value not in self.inputs]
        others = [value for value in self.values if value not in outputs and value not in self.inputs]
        if others and self.chance(0.4):
            outputs.append(self.one_of(others))
        infos = {value.name: self._info(value) for value in self.values}
        graph = records.Graph(
            "drawn",
            self.nodes,
            self.constants,
            [infos[value.name] for value in self.inputs],
            [infos[value.name] for value in outputs],
            list(infos.values()),
        )
        return wrap_model(write_model(records.Model(graph, metadata_props={"target": self.target})))

    def feeds(self) -> dict[str, np.ndarray]:
        """One value for every input."""
        return {value.name: self.array(value.shape, value.dtype) for value in self.inputs}

    @staticmethod
    def _info(value: Value) -> records.ValueInfo:
        return records.ValueInfo(value.name, value.dtype, value.shape, (value.exponent,) if value.dtype in INTEGERS else ())
