"""Planning where every variable of a model lies, step for step as the chip does at start (runtime spec 5.2).

Pure: nothing is allocated. :func:`plan` takes a :class:`PlanGraph` and returns a :class:`MemoryPlan`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from espdl.alignment import ALIGNMENT
from espdl.chips import LARGEST_MEMORY
from espdl.dl.arena import Arena, TensorInfo
from espdl.dl.hazards import Hazard, find_hazards
from espdl.dtypes import DType, Inplace
from espdl.errors import EspdlError
from espdl.tensor import TensorBase
from espdl.wording import at_node, counted

Shape = list[int]


@dataclass(frozen=True)
class PlanNode:
    """A node as the planner sees it.

    Attributes:
        inputs, outputs: tensor names, "" for omitted ones.
        get_output_shape: shapes of the outputs from those of the inputs, [] for an omitted input.
        optional_outputs: indices of outputs that the node need not name at its end.
    """

    name: str
    inplace: Inplace
    inputs: Sequence[str]
    outputs: Sequence[str]
    get_output_shape: Callable[[list[Shape]], list[Shape]]
    op_type: str = ""
    optional_outputs: Collection[int] = ()


@dataclass(frozen=True)
class Value:
    """What a file says of a variable. ``shape`` counts for graph inputs only; those of results are computed."""

    dtype: DType
    exponent: int = 0
    shape: Sequence[int] | None = None


@dataclass(frozen=True)
class PlanGraph:
    """A model as the planner sees it.

    Attributes:
        nodes: in running order.
        inputs, outputs: names of graph inputs and outputs.
        variables: names in the order of their index in the model context; no other tensor is planned.
        values: type, exponent and shape of variables.
        constants: shapes of parameters.
    """

    nodes: Sequence[PlanNode]
    inputs: Sequence[str]
    outputs: Sequence[str]
    variables: Sequence[str]
    values: Mapping[str, Value]
    constants: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class PlannedTensor:
    """Where and when a variable lives.

    Attributes:
        size: bytes, not aligned.
        begin: step (index of a node) that produces it. end: step before which its memory is given away; -1 for never.
        leader: the tensor it lies on, None when it has a place of its own.
        internal: whether in the internal RAM arena (else PSRAM). offset: bytes from the start of that arena.
    """

    name: str
    shape: tuple[int, ...]
    dtype: DType
    exponent: int
    size: int
    begin: int
    end: int
    leader: str | None
    internal: bool
    offset: int

    def overlaps(self, other: PlannedTensor) -> bool:
        """Whether both take some byte in common, at whatever time."""
        return (
            self.internal == other.internal and self.offset < other.offset + other.size and other.offset < self.offset + self.size
        )


@dataclass(frozen=True)
class MemoryPlan:
    """A place for every variable.

    Attributes:
        tensors: by name, in index order.
        internal_size, psram_size: bytes of the arenas.
        hazards: where this plan, though it is the chip's own, lets a tensor be overwritten before it is used; one sentence each.
    """

    tensors: Mapping[str, PlannedTensor]
    internal_size: int
    psram_size: int
    hazards: tuple[Hazard, ...] = ()


def plan(graph: PlanGraph, max_internal_size: int = 0, *, psram: bool = True, alignment: int = ALIGNMENT) -> MemoryPlan:
    """Plans a model's memory.

    Args:
        graph: the model.
        max_internal_size: bytes of internal RAM to fill first; no effect up to ``alignment``, or without PSRAM.
        psram: whether the chip has PSRAM. Without, everything goes to internal RAM.
        alignment: of every offset, in bytes.

    Raises:
        EspdlError: naming the node whose inputs are not produced before it, or whose shapes do not fit.
    """
    if max_internal_size < 0:
        raise EspdlError(f"max_internal_size is {max_internal_size}", hint="give a number of bytes, 0 for none")
    infos = life_times(graph)
    internal, external = simulate(list(infos.values()), len(graph.nodes), max_internal_size, psram, alignment)
    for name, size in (("internal RAM", internal), ("PSRAM", external)):
        if size > LARGEST_MEMORY:
            raise EspdlError(f"the model needs {size} bytes of {name}", why=f"at most {LARGEST_MEMORY} are planned")
    tensors = {name: _planned(info) for name, info in infos.items()}
    result = MemoryPlan(tensors, internal, external)
    return replace(result, hazards=tuple(find_hazards(graph, result)))


def _planned(info: TensorInfo) -> PlannedTensor:
    internal = info.get_internal_state()
    return PlannedTensor(
        name=info.name,
        shape=tuple(info.shape),
        dtype=info.dtype,
        exponent=int(info.exponent),
        size=info.size,
        begin=info.time_begin,
        end=info.get_time_end(),
        leader=info.leader.name if info.leader else None,
        internal=internal,
        offset=info.get_internal_offset() if internal else info.get_offset(),
    )


def life_times(graph: PlanGraph) -> dict[str, TensorInfo]:
    """Step A: from when to when every variable lives, and which ones share memory. In index order."""
    wanted = set(graph.variables)
    outputs = set(graph.outputs)
    infos: dict[str, TensorInfo] = {}
    for name in graph.inputs:
        if name in wanted:
            infos[name] = _info(graph, name, 0, graph.values[name].shape if name in graph.values else None)
    for step, node in enumerate(graph.nodes):
        try:
            _add_node(graph, node, step, infos, wanted, outputs)
        except EspdlError as error:
            raise error.at(at_node(node.name, node.op_type)) from None
    return {name: infos[name] for name in graph.variables if name in infos}


def _add_node(
    graph: PlanGraph, node: PlanNode, step: int, infos: dict[str, TensorInfo], wanted: set[str], outputs: set[str]
) -> None:
    shapes: list[Shape] = []
    for name in node.inputs:
        if name not in wanted:
            shapes.append(_constant_shape(graph, name))
            continue
        if name not in infos:
            raise EspdlError(
                f"input {name!r} does not exist yet", why="it is no graph input, no constant, and no earlier node makes it"
            )
        info = infos[name]
        _unlink_dirty_follower(info)  # read again: nothing may overwrite it before
        if name not in outputs:
            info.update_time(step + 1)
        shapes.append(info.get_shape())
    output_shapes = _output_shapes(node, shapes)
    for name, shape in zip(node.outputs, output_shapes, strict=True):
        if name not in wanted or not name:
            continue
        if name in infos:
            raise EspdlError(f"output {name!r} exists already", why="two nodes make it, or it is a graph input")
        infos[name] = _info(graph, name, step, shape)
    if node.inplace is not Inplace.NON_INPLACE and len(node.outputs) == 1 and node.outputs[0] in infos:
        out = infos[node.outputs[0]]
        candidates = (infos[name] for name in node.inputs if name in wanted and name not in outputs)
        leader = next((info for info in candidates if info.get_size() >= out.get_size()), None)
        if leader is not None:
            _link(out, leader, node.inplace)


def _link(out: TensorInfo, leader: TensorInfo, inplace: Inplace) -> None:
    _unlink_dirty_follower(leader)
    out.set_inplace_leader_tensor(leader)
    _, clean = leader.get_inplace_follower_tensor()
    if inplace is Inplace.UNCHANGED_BUFFER:
        leader.set_inplace_follower_clean_tensor(out)
    elif clean is not None:
        out.set_inplace_leader_tensor(None)  # someone still shows these bytes; the leader's end stays reset, as on the chip
    else:
        leader.set_inplace_follower_dirty_tensor(out)


def _unlink_dirty_follower(info: TensorInfo) -> None:
    dirty, _ = info.get_inplace_follower_tensor()
    if dirty is not None:
        info.set_inplace_follower_dirty_tensor(None)
        dirty.set_inplace_leader_tensor(None)


def _constant_shape(graph: PlanGraph, name: str) -> Shape:
    if not name:
        return []
    if name not in graph.constants:
        raise EspdlError(f"input {name!r} does not exist", why="it is no constant of the file and no node makes it")
    return [int(extent) for extent in graph.constants[name]]


def _output_shapes(node: PlanNode, input_shapes: list[Shape]) -> list[Shape]:
    try:
        shapes = [[int(extent) for extent in shape] for shape in node.get_output_shape(input_shapes)]
    except (ArithmeticError, LookupError, TypeError, ValueError, AssertionError) as error:
        raise EspdlError(
            f"inputs of shapes {input_shapes} do not fit the operator", why=str(error) or type(error).__name__
        ) from error
    if all(index in node.optional_outputs for index in range(len(node.outputs), len(shapes))):
        del shapes[len(node.outputs) :]
    if len(shapes) != len(node.outputs):
        raise EspdlError(f"the operator makes {counted(len(shapes), 'output')}, the node names {len(node.outputs)}")
    return shapes


def _info(graph: PlanGraph, name: str, step: int, shape: Sequence[int] | None) -> TensorInfo:
    value = graph.values.get(name)
    if value is None:
        raise EspdlError(f"the file does not say the type of tensor {name!r}")
    if shape is None:
        raise EspdlError(f"the file does not say the shape of input {name!r}", hint="give it by input_shapes")
    if any(int(extent) < 1 for extent in shape):
        raise EspdlError(f"tensor {name!r} has shape {list(shape)}", why="every extent is at least 1")
    info = TensorInfo(name, step, -1, shape, value.dtype, value.exponent)
    if info.get_size() != prod(info.shape) * info.dtype.numpy.itemsize:
        raise EspdlError(f"tensor {name!r} is {value.dtype.name}", why="the chip's planner does not know the size of this type")
    if info.get_size() > LARGEST_MEMORY:
        raise EspdlError(
            f"tensor {name!r} of shape {info.shape} takes {info.get_size()} bytes", why=f"at most {LARGEST_MEMORY} are planned"
        )
    return info


def simulate(
    infos: Sequence[TensorInfo], steps: int, max_internal_size: int = 0, psram: bool = True, alignment: int = ALIGNMENT
) -> tuple[int, int]:
    """Steps B and C: gives every tensor without a leader its place.

    Args:
        infos: in index order.
        steps: number of nodes.

    Returns:
        Bytes of the internal RAM and of the PSRAM arena. Of the former, where it has a limit, the whole limit.
    """
    allocated: list[list[TensorInfo]] = [[] for _ in range(steps)]
    freed: list[list[TensorInfo]] = [[] for _ in range(steps)]
    for info in infos:
        if info.is_inplaced():
            continue
        if 0 <= info.time_begin < steps:
            allocated[info.time_begin].append(info)
        if 0 <= info.time_end < steps:
            freed[info.time_end].append(info)
    first = psram and max_internal_size > alignment
    internal = Arena(alignment, max_internal_size if first else 0)
    external = Arena(alignment)
    for step in range(steps):
        for info in freed[step]:
            (internal if info.get_internal_state() else external).release(info)
        for info in allocated[step]:
            offset = internal.fit(info) if first else None if psram else internal.place(info)
            if offset is not None:
                info.set_internal_offset(offset)
            else:
                info.set_offset(external.place(info))
    return internal.size, external.size


def create_tensors(
    plan: MemoryPlan, internal_root: NDArray[np.uint8] | None, psram_root: NDArray[np.uint8] | None
) -> dict[str, TensorBase]:
    """The tensors of a plan, by name, as views into arenas of at least its sizes."""
    tensors = {}
    for name, planned in plan.tensors.items():
        info = TensorInfo(name, planned.begin, planned.end, planned.shape, planned.dtype, planned.exponent)
        if planned.internal:
            info.set_internal_offset(planned.offset)
        else:
            info.set_offset(planned.offset)
        tensors[name] = info.create_tensor(internal_root, psram_root)
    return tensors
