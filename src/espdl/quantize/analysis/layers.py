"""The layers of a file, and running one of them alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import NDArray

from espdl.dl.model import Model
from espdl.dtypes import QuantType
from espdl.fbs import records
from espdl.quantize.emitter import Stored
from espdl.quantize.test_values import from_file, to_file

LAYER_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Attention", "GRU", "LSTM")
"""Operators that are analysed: those that multiply and accumulate."""


@dataclass(frozen=True)
class Layer:
    """A quantized layer of a file, with the conversions of its inputs.

    Attributes:
        name, op_type: of its node.
        steps: places of the nodes to run, in order; the layer is the last.
        inputs: tensors it starts from: name in the network, and the place of the node that writes them (-1: nobody).
        outputs: names in the network of what it writes.
    """

    name: str
    op_type: str
    steps: tuple[int, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[str, ...]

    def run(self, model: Model, stored: Mapping[str, Stored], exact: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Real outputs of the integer layer for real inputs, both in the order of the network."""
        given = {name: to_file(exact[name], stored[name], model.chip) for name, _ in self.inputs}
        return {name: from_file(raw, stored[name]) for name, raw in self.run_raw(model, stored, given).items()}

    def run_raw(self, model: Model, stored: Mapping[str, Stored], given: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Raw outputs of the integer layer for raw inputs, both by their names in the network.

        Every input is put where the model's memory holds it, at the time when it would be written there.
        """
        count = len(model.modules)
        waiting = sorted(self.inputs, key=lambda item: item[1])
        for step in self.steps:
            while waiting and waiting[0][1] < step:
                name, _ = waiting.pop(0)
                model.get_intermediate(stored[name].name).data[...] = given[name]
            if step == self.steps[-1]:
                model.modules[step].reset()
            model.run(stages=count, stage=step)
        return {name: model.get_intermediate(stored[name].name).data.copy() for name in self.outputs}


def find_layers(model: Model, stored: Mapping[str, Stored]) -> list[Layer]:
    """The quantized layers of a file whose inputs and outputs stand for tensors of the network, in running order."""
    graph = model.fbs_model.record.graph
    nodes = {node.name: node for node in graph.node}
    running = [nodes[module.name] for module in model.modules]
    makers = {name: place for place, node in enumerate(running) for name in node.output if name}
    constants = {tensor.name for tensor in graph.initializer}
    known: dict[str, str] = {}
    for name, tensor in stored.items():
        known.setdefault(tensor.name, name)
    found = []
    for place, node in enumerate(running):
        if node.op_type not in LAYER_TYPES or model.modules[place].quant_type in (QuantType.NONE, QuantType.FLOAT32):
            continue
        outputs = tuple(known[name] for name in node.output if name in known)
        reach = _reach(place, running, makers, constants, known)
        if outputs and reach is not None:
            steps, inputs = reach
            found.append(Layer(node.name, node.op_type, steps, inputs, outputs))
    return found


def _reach(
    place: int, running: list[records.Node], makers: Mapping[str, int], constants: set[str], known: Mapping[str, str]
) -> tuple[tuple[int, ...], tuple[tuple[str, int], ...]] | None:
    """The nodes between a layer and the tensors that the network has, and those tensors; None where it does not start from such."""
    steps, inputs = {place}, dict[str, int]()
    waiting = [place]
    while waiting:
        for name in running[waiting.pop()].input:
            if not name or name in constants:
                continue
            if name in known:
                inputs[known[name]] = makers.get(name, -1)
            elif name not in makers:
                return None
            elif makers[name] not in steps:
                steps.add(makers[name])
                waiting.append(makers[name])
    return tuple(sorted(steps)), tuple(inputs.items())
