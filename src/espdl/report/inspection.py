"""What is in a model file: header, chip, inputs and outputs with their meaning, operators, sizes; and how to feed it."""

from __future__ import annotations

import builtins
import json
import keyword
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from espdl.dl.module import MODULE_TYPES
from espdl.dl.module.contract import Layout
from espdl.dl.target import candidate_chips, read_evidence, resolve_target
from espdl.fbs import FbsLoader, records
from espdl.report.graph import Network, network_of
from espdl.report.tensors import TensorRow, tensor_rows

AXES = {4: ("NHWC", (0, 2, 3, 1)), 3: ("NWC", (0, 2, 1))}
"""Channels-last orders by rank: their name and the permutation that leads there from the order of ONNX."""


@dataclass(frozen=True)
class Port:
    """An input or output of the network.

    Attributes:
        name, dtype, shape: as in the file.
        layout: "NHWC" or "NWC" where the operators next to it work channels-last, else empty: the order is that of the ONNX network.
        exponent: ``real = integer * 2**exponent``; None for float tensors.
        real_range: smallest and largest real value; None for float tensors.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    layout: str
    exponent: int | None
    real_range: tuple[float, float] | None


@dataclass(frozen=True)
class Inspection:
    """Everything ``espdl inspect`` tells of one model.

    Attributes:
        package: names of all models in the file, where it is a package.
        target: empty when the file does not tell its chip.
        operators: number of nodes by type.
        quant_types: number of nodes by arithmetic: S8, S16, F32.
        tensors: every tensor of the graph.
        network: for a drawing.
    """

    file: str
    file_bytes: int
    format: str
    package: tuple[str, ...]
    name: str
    version: int
    doc_string: str
    producer: str
    opset: tuple[tuple[str, int], ...]
    metadata: dict[str, str]
    target: str
    target_source: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: dict[str, int]
    quant_types: dict[str, int]
    nodes: int
    parameters: int
    parameter_bytes: int
    test_outputs: tuple[str, ...]
    tensors: tuple[TensorRow, ...]
    network: Network

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the drawing."""
        facts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "network"}
        listed = {name: [asdict(row) for row in facts[name]] for name in ("inputs", "outputs", "tensors")}
        return facts | listed | {"python": python_example(self)}


def inspect_file(path: Path, target: str | None = None, key: bytes | None = None, model: int | str | None = None) -> Inspection:
    """Reads a file without running it.

    Args:
        path: the file.
        target: chip; None takes it from the file. A file that does not tell its chip is inspected all the same.
        key: of an encrypted model.
        model: which model of a package: index or name.

    Raises:
        EspdlError: when the file cannot be read, or is for another chip than ``target``.
    """
    loader = FbsLoader(path)
    fbs_model = loader.load(model, key=key)
    record = fbs_model.record
    graph = record.graph
    if target is None and len(chips := candidate_chips(read_evidence(fbs_model))) > 1:
        chip, source = "", "the file does not tell: " + " or ".join(chip.name for chip in chips)
    else:
        found = resolve_target(fbs_model, target)
        chip, source = found.chip.name, found.source
    layouts = Layouts(graph)
    attributes = [{a.name: a.value for a in node.attribute} for node in graph.node]
    producer = " ".join(text for text in (record.producer_name, record.producer_version) if text)
    return Inspection(
        file=str(path),
        file_bytes=path.stat().st_size,
        format=loader.get_model_format().name,
        package=tuple(name for name in loader.model_names if name),
        name=graph.name,
        version=record.model_version,
        doc_string=record.doc_string,
        producer=producer,
        opset=tuple(record.opset_import),
        metadata=dict(record.metadata_props),
        target=chip,
        target_source=source,
        inputs=tuple(_port(value, layouts.input_is_channels_last(value.name)) for value in graph.input),
        outputs=tuple(_port(value, layouts.output_is_channels_last(value.name)) for value in graph.output),
        operators=dict(Counter(node.op_type for node in graph.node).most_common()),
        quant_types=dict(Counter(str(values.get("quant_type", "none")) for values in attributes).most_common()),
        nodes=len(graph.node),
        parameters=len(graph.initializer),
        parameter_bytes=sum(tensor.data.nbytes for tensor in graph.initializer),
        test_outputs=tuple(tensor.name for tensor in graph.test_outputs_value),
        tensors=tuple(tensor_rows(graph)),
        network=network_of(graph),
    )


def _port(value: records.ValueInfo, channels_last: bool) -> Port:
    shape = value.shape or ()
    layout = AXES[len(shape)][0] if channels_last and len(shape) in AXES else ""
    if value.data_type.numpy.kind not in "iu":
        return Port(value.name, str(value.data_type.numpy), shape, layout, None, None)
    exponent = value.exponents[0] if value.exponents else 0
    limits = np.iinfo(value.data_type.numpy)
    real = (float(np.ldexp(float(limits.min), exponent)), float(np.ldexp(float(limits.max), exponent)))
    return Port(value.name, str(value.data_type.numpy), shape, layout, exponent, real)


class Layouts:
    """Tells where a tensor of the network's border is channels-last: the file does not say it, the operators next to it do.

    From a tensor the search goes on through operators that take any order, until it meets one that works channels-last.
    """

    def __init__(self, graph: records.Graph) -> None:
        self._consumers: dict[str, list[records.Node]] = {}
        self._producer: dict[str, list[records.Node]] = {}
        for node in graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)
            for name in node.output:
                self._producer[name] = [node]
        self._constants = {tensor.name for tensor in graph.initializer}

    def input_is_channels_last(self, name: str) -> bool:
        """From what consumes the tensor."""
        return self._search(name, lambda tensor: [(node, node.output) for node in self._consumers.get(tensor, ())])

    def output_is_channels_last(self, name: str) -> bool:
        """From what produces the tensor."""
        return self._search(
            name,
            lambda tensor: [
                (node, [source for source in node.input if source and source not in self._constants])
                for node in self._producer.get(tensor, ())
            ],
        )

    @staticmethod
    def _search(name: str, neighbours: Callable[[str], list[tuple[records.Node, list[str]]]]) -> bool:
        seen, queue = {name}, deque([name])
        while queue:
            for node, onward in neighbours(queue.popleft()):
                module = MODULE_TYPES.get(node.op_type)
                layout = module.layout.layout if module else Layout.ONNX
                if layout is Layout.CHANNELS_LAST:
                    return True
                if layout is not Layout.ONNX and node.op_type != "Transpose":
                    queue.extend(tensor for tensor in onward if tensor not in seen)
                    seen.update(onward)
        return False


def feeding_text(inspection: Inspection) -> list[str]:
    """How to feed the model, one sentence per input."""
    lines = []
    for port in inspection.inputs:
        if port.exponent is None:
            text = f"{port.name}: {port.dtype} arrays of shape {list(port.shape)}, taken as they are"
        else:
            text = f"{port.name}: float arrays of shape {list(port.shape)} are quantized for you"
            text += f"; raw {port.dtype} is round(real * 2^{-port.exponent})"
        if port.layout:
            text += f"; from the order of ONNX: transpose({', '.join(map(str, AXES[len(port.shape)][1]))})"
        lines.append(text)
    return lines


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def python_example(inspection: Inspection) -> str:
    """The same as Python that runs."""
    chip = f', target="{inspection.target or "..."}"' if inspection.target_source == "given" or not inspection.target else ""
    lines = ["import numpy as np", "from espdl import Model", ""]
    if not inspection.target:
        lines.append("# the file does not tell its chip: fill it in")
    lines.append(f"model = Model({_quoted(Path(inspection.file).name)}{chip})")
    feeds = []
    for port in inspection.inputs:
        variable = _identifier(port.name, inspection.inputs)
        layout = f"  # {port.layout}" if port.layout else ""
        dtype = "float32" if port.exponent is not None else port.dtype
        lines.append(f"{variable} = np.zeros({list(port.shape)}, np.{dtype}){layout}")
        feeds.append(f"{_quoted(port.name)}: {variable}")
    lines.append(f"outputs = model.run_arrays({{{', '.join(feeds)}}})")
    if len(inspection.outputs) == 1:
        (port,) = inspection.outputs
        scale = f" * 2.0**{port.exponent}" if port.exponent is not None else ""
        lines.append(f"real = outputs[{_quoted(port.name)}]{scale}")
    else:
        lines.append("real = {name: raw * 2.0 ** int(model.get_output(name).exponent) for name, raw in outputs.items()}")
    return "\n".join(lines)


def _identifier(name: str, ports: Sequence[Port]) -> str:
    taken = keyword.iskeyword(name) or hasattr(builtins, name) or name in ("np", "model", "outputs", "real")
    return name if name.isidentifier() and not taken else f"input_{[port.name for port in ports].index(name)}"
