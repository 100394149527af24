"""The float network with some of its tensors disturbed, one at a time, many in one run.

Nothing before a disturbance is computed: those tensors are taken from a run of the network as it is. Behind it, the tensors of several
disturbances are stacked on the first axis, one row each, so that one operator computes them all. A tensor has a row only for
disturbances that reach it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.analysis.stacking import broadcasts, keeps_rows, stacked_constants
from espdl.quantize.float_run import FloatRun
from espdl.quantize.passes.tools import constant, free_name, shape_of

ROWS = 12
"""Disturbances in one run: with more, stacks outgrow the caches, and joining them costs more than is gained."""
LARGEST_TENSOR = 1 << 22
"""Elements that all rows of a tensor may have; a single row may have more."""

Rows = tuple[int, ...]
"""Which disturbances reach a tensor, in the order of its rows."""


def run_together(network: ir.Model, disturbed: Sequence[Sequence[str]]) -> list[range]:
    """Disturbances to put into one :class:`Disturbances`: neighbours, as many as memory allows.

    Args:
        network: prepared, with static shapes.
        disturbed: names of the tensors that each disturbance sets, results of nodes.
    """
    places: dict[str, int] = {}
    sizes = []
    for place, node in enumerate(network.graph):
        places |= dict.fromkeys((value.name or "" for value in node.outputs), place)
        sizes.append(max(int(np.prod(shape_of(value) or (1,))) for value in node.outputs))
    behind = list(accumulate(reversed(sizes), max))[::-1]  # the largest tensor from each node on
    largest = [max(behind[places[name]] for name in group) for group in disturbed]
    found: list[range] = []
    for index in range(len(disturbed)):
        start = found[-1].start if index % ROWS else index
        if start < index and (index - start + 1) * max(largest[start : index + 1]) <= LARGEST_TENSOR:
            found[-1] = range(start, index + 1)
        else:
            found.append(range(index, index + 1))
    return found


class Disturbances:
    """Some disturbances of a network.

    Args:
        network: prepared, with static shapes.
        disturbed: names of the tensors that each disturbance sets, results of nodes.
        names: tensors wanted.

    Attributes:
        needs: tensors of the undisturbed network that runs want.
        is_large: whether a run takes so much memory that there should be one at a time.
    """

    def __init__(self, network: ir.Model, disturbed: Sequence[Sequence[str]], names: Sequence[str]) -> None:
        self._stacked = _Stacked(network, dict(enumerate(disturbed)), names)
        self._count = len(disturbed)
        self.needs = list(self._stacked.needs)
        self.is_large = self._stacked.largest > LARGEST_TENSOR // 2

    def start(self) -> DisturbedRun:
        """What runs them. It holds the parameters behind them, and memory for a run."""
        return DisturbedRun(self._stacked, self._count, None if self.is_large else 1)


class DisturbedRun:
    """Runs what lies behind each of several disturbances; from :meth:`Disturbances.start`."""

    def __init__(self, stacked: _Stacked, count: int, threads: int | None) -> None:
        self._stacked = stacked
        self._count = count
        self._session = FloatRun(stacked.model, [value.name or "" for value in stacked.model.graph.outputs], threads=threads)

    def run(self, exact: Mapping[str, NDArray], given: Sequence[Mapping[str, NDArray]]) -> list[dict[str, NDArray]]:
        """For each disturbance the wanted tensors that it reaches.

        Args:
            exact: the tensors of ``needs``.
            given: for each disturbance the values of the tensors that it sets.
        """
        found: list[dict[str, NDArray]] = [{} for _ in range(self._count)]
        feeds = {place: np.asarray(exact[name]) for name, place in self._stacked.needs.items()}
        feeds |= {place: np.asarray(given[index][name], np.float32) for (index, name), place in self._stacked.fed.items()}
        results = self._session.run(feeds)
        for name, place in self._stacked.outputs.items():
            rows = self._stacked.rows[name]
            for index, array in zip(rows, np.split(results[place], len(rows)), strict=True):
                found[index][name] = array
        return found


class _Stacked:
    """What lies behind some disturbances, with rows.

    Attributes:
        model: it.
        needs: names of the inputs that take undisturbed tensors, by the tensors' names.
        fed: names of the inputs that take what a disturbance sets a tensor to.
        outputs: names of the outputs that hold wanted tensors, by the tensors' names.
        rows: of every tensor that is reached.
        largest: elements that all rows of a tensor have at most.
    """

    def __init__(self, network: ir.Model, disturbed: Mapping[int, Sequence[str]], names: Sequence[str]) -> None:
        self.needs: dict[str, str] = {}
        self.fed: dict[tuple[int, str], str] = {}
        self.rows: dict[str, Rows] = {}
        self.largest = 0
        self._set_by = {name: index for index, group in disturbed.items() for name in group}
        self._taken: set[str] = set(network.graph.initializers)
        self._inputs: list[ir.Value] = []
        self._values: dict[str, ir.Value] = {}
        self._nodes: list[ir.Node] = []
        self._constants: dict[str, ir.Value] = {}
        wanted = _leading_to(network, names)
        for node in network.graph:
            if node in wanted:
                self._add(node)
        reached = [name for name in names if name in self.rows]
        self.outputs = {name: self._as_output(name) for name in reached}
        taken: set[str] = set()
        for node in self._nodes:
            node.name = free_name(node.name or node.op_type, taken)
        by_name = {value.name: value for node in self._nodes for value in node.outputs}
        graph = ir.Graph(
            self._inputs,
            [by_name[place] for place in dict.fromkeys(self.outputs.values())],
            nodes=self._nodes,
            initializers=list(self._constants.values()),
            opset_imports=dict(network.opset_imports),
            name="rows",
        )
        self.model = ir.Model(graph, ir_version=network.ir_version or 10, functions=list(network.functions.values()))

    # Parts of the graph

    def _input(self, name: str, like: ir.Value) -> ir.Value:
        value = ir.Value(name=free_name(name, self._taken), shape=like.shape, type=like.type)
        self._inputs.append(value)
        return value

    def _constant(self, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        if name not in self._constants:
            shape = ir.Shape(tensor.numpy().shape)
            self._constants[name] = ir.Value(name=name, shape=shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        return self._constants[name]

    def _numbers(self, name: str, array: NDArray) -> ir.Value:
        name = free_name(name, self._taken)
        return self._constant(name, ir.tensor(array, name=name))

    def _emit(
        self, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, int], name: str, outputs: int = 1
    ) -> list[ir.Value]:
        return self._append(ir.node(op_type, inputs, dict(attributes), num_outputs=outputs), [name] * outputs)

    def _append(self, node: ir.Node, names: Sequence[str | None]) -> list[ir.Value]:
        self._nodes.append(node)
        for output, name in zip(node.outputs, names, strict=True):
            output.name = free_name(name, self._taken) if name else ""
        return list(node.outputs)

    def _as_output(self, name: str) -> str:
        """The name of a tensor; one that is just what a disturbance sets gets a node, which an output must have."""
        value = self._values[name]
        if value.producer() is None:
            value = self._values[name] = self._emit("Identity", [value], {}, f"{name}_output")[0]
        return value.name or ""

    # Nodes

    def _add(self, node: ir.Node) -> None:
        names = {value.name or "" for value in node.inputs if value is not None}
        rows: Rows = tuple(sorted({row for name in names for row in self.rows.get(name, ())}))
        if rows:
            results = self._stacked(node, rows) if keeps_rows(node) else self._row_by_row(node, rows)
            for output, result in zip(node.outputs, results, strict=True):
                if output.name:
                    self._values[output.name], self.rows[output.name] = result, rows
        for output in node.outputs:
            if output.name in self._set_by:
                self._disturb(output, output.name, rows)
            if output.name in self.rows:
                self.largest = max(self.largest, len(self.rows[output.name]) * int(np.prod(shape_of(output) or (1,))))

    def _disturb(self, output: ir.Value, name: str, rows: Rows) -> None:
        index = self._set_by[name]
        given = self._input(f"{name}_given", output)
        self.fed[index, name] = given.name or ""
        given = self._row(given, output)
        if rows:
            given = self._emit("Concat", [self._values[name], given], {"axis": 0}, f"{name}_with_row")[0]
        self._values[name], self.rows[name] = given, (*rows, index)

    def _clean(self, value: ir.Value) -> ir.Value:
        """A tensor as it is in the undisturbed network."""
        name = value.name or ""
        if name not in self.needs:
            fed = self._input(name, value)
            self.needs[name] = fed.name or ""
        return next(item for item in self._inputs if item.name == self.needs[name])

    def _fixed(self, value: ir.Value | None) -> ir.Value | None:
        """An input that no disturbance reaches."""
        if value is None:
            return None
        if constant(value) is not None and value.const_value is not None:
            return self._constant(value.name or "", value.const_value)
        return self._clean(value)

    def _with_rows(self, value: ir.Value, rows: Rows) -> ir.Value:
        """A tensor with just these rows: one that it lacks is as in the undisturbed network."""
        own = self.rows.get(value.name or "", ())
        if own == rows:
            return self._values[value.name or ""]
        source = self._row(self._clean(value), value) if len(own) < len(rows) else self._values[value.name or ""]
        first = 1 if len(own) < len(rows) else 0
        if own and first:
            source = self._emit("Concat", [source, self._values[value.name or ""]], {"axis": 0}, f"{value.name}_and_rows")[0]
        places = [own.index(row) + first if row in own else 0 for row in rows]
        entries = (shape_of(value) or (1,))[0]
        index = (np.array(places)[:, None] * entries + np.arange(entries)).reshape(-1).astype(np.int64)
        return self._emit("Gather", [source, self._numbers(f"{value.name}_index", index)], {"axis": 0}, f"{value.name}_rows")[0]

    def _row(self, result: ir.Value, like: ir.Value) -> ir.Value:
        """``result`` as one row: a tensor without axes gets one."""
        if shape_of(like) != ():
            return result
        shape = self._numbers(f"{like.name}_row_shape", np.array([1], np.int64))
        return self._emit("Reshape", [result, shape], {}, f"{like.name}_row")[0]

    def _without_axes(self, row: ir.Value) -> ir.Value:
        shape = self._numbers(f"{row.name}_no_shape", np.array([], np.int64))
        return self._emit("Reshape", [row, shape], {}, f"{row.name}_scalar")[0]

    def _stacked(self, node: ir.Node, rows: Rows) -> list[ir.Value]:
        replaced = stacked_constants(node)
        given: list[ir.Value | None] = []
        for index, value in enumerate(node.inputs):
            if index in replaced:
                given.append(self._numbers(f"{node.name}_input_{index}", replaced[index]))
            elif value is None or constant(value) is not None or (value.name not in self.rows and broadcasts(node, value)):
                given.append(self._fixed(value))
            else:
                given.append(self._with_rows(value, rows))
        return self._copy(node, given)

    def _copy(self, node: ir.Node, inputs: Sequence[ir.Value | None]) -> list[ir.Value]:
        copied = ir.Node(
            node.domain, node.op_type, inputs, list(node.attributes.values()), num_outputs=len(node.outputs), name=node.name
        )
        return self._append(copied, [output.name for output in node.outputs])

    def _row_by_row(self, node: ir.Node, rows: Rows) -> list[ir.Value]:
        apart: list[Sequence[ir.Value | None]] = []
        for value in node.inputs:
            if value is None or value.name not in self.rows:
                apart.append([self._fixed(value)] * len(rows))
            else:
                given = self._with_rows(value, rows)
                parts = {"axis": 0, "num_outputs": len(rows)}
                split = self._emit("Split", [given], parts, f"{value.name}_row", len(rows)) if len(rows) > 1 else [given]
                apart.append([self._without_axes(part) for part in split] if shape_of(value) == () else split)
        single = [self._copy(node, [parts[row] for parts in apart]) for row in range(len(rows))]
        return [
            self._emit("Concat", [self._row(results[index], output) for results in single], {"axis": 0}, output.name)[0]
            if output.name
            else output
            for index, output in enumerate(node.outputs)
        ]


def _leading_to(network: ir.Model, names: Iterable[str]) -> set[ir.Node]:
    """The nodes that the tensors named depend on."""
    producers = {value.name: node for node in network.graph for value in node.outputs}
    found: set[ir.Node] = set()
    waiting = [producers[name] for name in names if name in producers]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += [writer for value in node.inputs if value is not None and (writer := value.producer()) is not None]
    return found
