"""A float network cut into pieces: where an operator of the user's own stands, which runs in Python while what lies between runs in
ONNX Runtime, and where a piece gets large, so that not all of its tensors take memory at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantize.custom import is_custom, run_custom
from espdl.quantize.passes.tools import shape_of


class Part(Protocol):
    """A piece of a network: computes some of its tensors from others.

    Attributes:
        inputs, outputs: names of the tensors that it reads, and of those that it puts out.
    """

    @property
    def inputs(self) -> Sequence[str]: ...

    @property
    def outputs(self) -> Sequence[str]: ...

    def run(self, known: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """The tensors that the piece puts out. Raises :class:`EspdlError` when the inputs do not fit."""
        ...


class Session:
    """A network, or a piece of one, in ONNX Runtime on the CPU.

    Args:
        proto: its outputs are those of the graph.
        threads: that one run may use; None takes all cores.
        frugal: keeps no memory between runs.
        constants: the data of initializers that ``proto`` only names (:mod:`espdl.quantize.float_model`); others are left out.

    Raises:
        EspdlError: when ONNX Runtime does not accept it.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        threads: int | None = None,
        frugal: bool = False,
        constants: Mapping[str, NDArray] | None = None,
    ) -> None:
        self._constants = {name: constants[name] for name in _initializers(proto) if name in constants} if constants else {}
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or 0
        options.enable_mem_pattern = False  # it takes one block for all that a run needs, beside those that the first run took
        if frugal:
            options.enable_cpu_mem_arena = False
            # The threads of one piece would keep those of the next from their work.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self._constants:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._constants.values()]
            options.add_external_initializers(list(self._constants), values)
        try:
            self._session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has an exception class of its own for every failure
            raise EspdlError("ONNX Runtime cannot run the float network", why=_first_line(error)) from None
        self.inputs = [value.name for value in self._session.get_inputs()]
        self.outputs = [value.name for value in self._session.get_outputs()]

    def run(self, known: Mapping[str, NDArray]) -> dict[str, NDArray]:
        try:
            arrays = self._session.run(self.outputs, {name: known[name] for name in self.inputs if name in known})
        except Exception as error:  # as above
            raise EspdlError("ONNX Runtime failed on the float network", why=_first_line(error)) from None
        return dict(zip(self.outputs, arrays, strict=True))


class Custom:
    """One operator of the user's own.

    Args:
        node: of the network.
        constants: values to use for constant inputs, by name.
    """

    def __init__(self, node: ir.Node, constants: Mapping[str, NDArray]) -> None:
        self._node = node
        self._constants = constants
        self.inputs = [value.name for value in node.inputs if value is not None and value.name]
        self.outputs = [value.name for value in node.outputs if value.name]

    def run(self, known: Mapping[str, NDArray]) -> dict[str, NDArray]:
        names = ["" if value is None else value.name or "" for value in self._node.inputs]
        arrays = [None if not name else known[name] if name in known else self._constants[name] for name in names]
        results = run_custom(self._node, arrays)
        return {output.name or "": result for output, result in zip(self._node.outputs, results, strict=False) if output.name}


def cut(
    model: ir.Model,
    proto: onnx.ModelProto,
    constants: Mapping[str, NDArray],
    wanted: Sequence[str],
    threads: int | None = None,
    piece: int | None = None,
) -> list[Part]:
    """The pieces of a network, in execution order.

    Args:
        model: the network.
        proto, constants: the same, serialised, with the constants to be used (:func:`espdl.quantize.float_model.serialized`).
        wanted: tensors that some piece must put out.
        threads: that a run of a piece may use; None takes all cores.
        piece: bytes of tensors and constants that a piece has at most, about; None does not cut for that.
    """
    custom = {node.name: node for node in model.graph if is_custom(node, model)}
    groups: list[list[onnx.NodeProto]] = [[]]
    for node in proto.graph.node:
        if node.name in custom:
            groups += [[node], []]
        else:
            groups[-1].append(node)
    if piece is not None:
        sizes = _sizes(model)
        groups = [some for group in groups for some in _slices(group, set(wanted), sizes, piece)]
    groups = [group for group in groups if group]
    if len(groups) == 1 and not custom:
        present = {output.name for output in proto.graph.output}
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in present)
        return [Session(proto, threads, constants=constants)]
    initializers = {tensor.name: tensor for tensor in proto.graph.initializer}
    types = {value.name: value for value in (*proto.graph.input, *proto.graph.value_info, *proto.graph.output)}
    parts: list[Part] = []
    for index, group in enumerate(groups):
        if group[0].name in custom:
            names = [name for name in group[0].input if name in initializers]
            arrays = {
                name: constants[name] if name in constants else onnx.numpy_helper.to_array(initializers[name]) for name in names
            }
            parts.append(Custom(custom[group[0].name], arrays))
            continue
        later = {name for other in groups[index + 1 :] for node in other for name in node.input} | set(wanted)
        produced = [name for node in group for name in node.output if name]
        outputs = [name for name in produced if name in later]
        if outputs:
            parts.append(Session(_piece(proto, group, outputs, initializers, types), threads, piece is not None, constants))
    return parts


def _initializers(proto: onnx.ModelProto) -> list[str]:
    return [tensor.name for tensor in proto.graph.initializer]


def _sizes(model: ir.Model) -> dict[str, int]:
    """Bytes of tensors and constants, by name; those of unknown shape are left out."""
    found = {}
    for value in (*model.graph.initializers.values(), *(value for node in model.graph for value in node.outputs)):
        shape = shape_of(value)
        if shape is not None:
            found[value.name or ""] = 4 * math.prod(shape)
    return found


def _slices(
    nodes: Sequence[onnx.NodeProto], wanted: Collection[str], sizes: Mapping[str, int], piece: int
) -> list[list[onnx.NodeProto]]:
    """Nodes in runs of at most ``piece`` bytes, cut only where every tensor that goes on is wanted anyway: ONNX Runtime then fuses the
    same operators as in one run, and computes the same."""
    left = Counter(name for node in nodes for name in node.input)
    kept: list[list[onnx.NodeProto]] = [[]]
    total, run, cost = 0, list[onnx.NodeProto](), 0
    waited: set[str] = set()  # tensors that somebody still reads, and nobody wants
    for node in nodes:
        run.append(node)
        cost += sum(sizes.get(name, 0) for name in node.output)
        cost += sum(sizes.get(name, 0) for name in node.input if left[name] and name not in waited and name not in wanted)
        left.subtract(node.input)
        waited |= {name for name in node.output if left[name] and name not in wanted}
        waited -= {name for name in node.input if not left[name]}
        if waited and node is not nodes[-1]:
            continue
        if kept[-1] and total + cost > piece:
            kept.append([])
            total = 0
        kept[-1] += run
        total, run, cost = total + cost, [], 0
    return kept


def _piece(
    proto: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[str],
    initializers: Mapping[str, onnx.TensorProto],
    types: Mapping[str, onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """A network of some of the nodes."""
    produced = {name for node in nodes for name in node.output}
    read = dict.fromkeys(name for node in nodes for name in node.input if name and name not in produced)
    piece = onnx.ModelProto(ir_version=proto.ir_version)
    piece.opset_import.extend(proto.opset_import)
    piece.functions.extend(proto.functions)
    graph = piece.graph
    graph.name = proto.graph.name
    graph.node.extend(nodes)
    graph.initializer.extend(initializers[name] for name in read if name in initializers)
    graph.input.extend(types[name] for name in read if name not in initializers)
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return piece


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
