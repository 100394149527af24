"""A batch of one, also where the exporter wrote another batch into constants."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantize.passes.evaluate import Evaluate
from espdl.quantize.passes.freeze_inputs import FreezeInputs
from espdl.quantize.passes.infer import describe
from espdl.quantize.passes.tools import attribute, input_of, shape_of

Shapes = dict[str, tuple[int, ...]]

_BATCHED = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize", "BatchNormalization"}
)
_SHAPE_INPUT = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0}


class SetBatch(ir.passes.InPlacePass):
    """Freezes the inputs and evaluates; where the network was exported with a batch N > 1, rewrites it for 1.

    The batch is found in the file's input shapes: N where the caller asks for 1, or where a convolution or a pooling sees N. When the
    file's batch is dynamic but a Reshape still holds an N of the export, the network does not fit together with a batch of 1; then each
    number that a Reshape leads with is tried as N.

    A constant is rewritten where it must be: the shapes that the network has with batch N are inferred first, on a copy; every constant
    shape (Reshape, Expand, ConstantOfShape) whose result holds N there holds 1 afterwards, initial states of recurrent layers and
    constants that a Concat joins keep one of N equal parts.

    Needs: nodes in execution order.
    Leaves: what :class:`FreezeInputs` and :class:`Evaluate` leave.
    """

    def __init__(self, freeze: FreezeInputs) -> None:
        super().__init__()
        self.freeze = freeze

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        exported = model.clone()
        self.freeze(model)
        asked = set(self.freeze.batches.values())
        if len(asked) == 1:
            _rewrite(model, _shapes_at(exported, self.freeze.batches), asked.pop())
        elif not asked:
            batches = _batch_of_convolutions(exported) if self.freeze.input_shapes is None else {}
            if batches:
                batch = next(iter(batches.values()))
                for value in model.graph.inputs:
                    if value.name in batches and value.shape is not None:
                        value.shape = ir.Shape([1, *value.shape[1:]])
                _rewrite(model, _shapes_at(exported, batches), batch)
        self._evaluate(model)
        return ir.passes.PassResult(model, True)

    def _evaluate(self, model: ir.Model) -> None:
        """Evaluates; where that fails, looks for an N in constant shapes with which the network fits together."""
        untouched = model.clone()
        try:
            Evaluate()(model)
            return
        except EspdlError as error:
            failure = error
        names = [value.name or "" for value in untouched.graph.inputs if value.shape is not None and value.shape[:1] == (1,)]
        for batch in _candidates(untouched):
            trial = untouched.clone()
            try:
                _rewrite(trial, _shapes_at(untouched.clone(), dict.fromkeys(names, batch)), batch)
                Evaluate()(trial)
            except EspdlError:
                continue
            model.graph = trial.graph
            return
        raise failure


def _shapes_at(model: ir.Model, batches: dict[str, int]) -> Shapes:
    """The shape of every value when the inputs named have the batch given. ``model`` is used up."""
    for value in model.graph.inputs:
        if value.name in batches and value.shape is not None:
            value.shape = ir.Shape([batches[value.name], *value.shape[1:]])
    shapes: Shapes = {}
    try:
        Evaluate(record=shapes)(model)
    except EspdlError as error:
        raise EspdlError(
            "the network does not fit together with the batch in its file", where=error.where, why=error.why
        ) from None
    return shapes


def _batch_of_convolutions(model: ir.Model) -> dict[str, int]:
    """Inputs with a leading size N > 1 in the file that a convolution or pooling sees as its batch."""
    known = {value.name or "": shape_of(value) or () for value in model.graph.inputs}
    sizes = {name: shape[0] for name, shape in known.items() if len(shape) > 1 and shape[0] > 1}
    if not sizes:
        return {}
    shapes: Shapes = {}
    copy = model.clone()
    try:
        Evaluate(record=shapes)(copy)
    except EspdlError:
        return {}
    for node in model.graph:
        data = input_of(node, 0)
        if node.op_type in _BATCHED and data is not None and data.name in shapes and len(shapes[data.name]) > 2:
            batch = shapes[data.name][0]
            found = {name: size for name, size in sizes.items() if size == batch}
            if found:
                return found
    return {}


def _candidates(model: ir.Model) -> list[int]:
    """Numbers above 1 that constant Reshape targets lead with, the most frequent first."""
    counts: dict[int, int] = {}
    for node in model.graph:
        array = _target(node) if node.op_type == "Reshape" else None
        if array is not None and array.size and int(array[0]) > 1:
            counts[int(array[0])] = counts.get(int(array[0]), 0) + 1
    return sorted(counts, key=lambda number: -counts[number])[:4]


def _rewrite(model: ir.Model, shapes: Shapes, batch: int) -> None:
    for node in tuple(model.graph):
        if node.domain:
            continue
        if node.op_type in _SHAPE_INPUT:
            _rewrite_shape(node, shapes, batch)
        elif node.op_type in ("GRU", "LSTM", "RNN"):
            axis = 0 if attribute(node, "layout", 0) else 1
            for index in (5, 6):
                _keep_one(node, index, axis, batch)
        elif node.op_type == "Concat":
            joined = shapes.get(node.outputs[0].name or "")
            if joined and joined[0] == batch and attribute(node, "axis", 0) % len(joined) != 0:
                for index in range(len(node.inputs)):
                    _keep_one(node, index, 0, batch)


def _rewrite_shape(node: ir.Node, shapes: Shapes, batch: int) -> None:
    array, old = _target(node), shapes.get(node.outputs[0].name or "")
    if array is None or old is None:
        return
    before = shapes.get(node.inputs[0].name or "", ()) if node.op_type == "Reshape" and node.inputs[0] is not None else ()
    axis = _batch_axis(old, before, batch)
    if axis is None or int(array[axis if len(array) == len(old) else 0]) in (0, -1):
        return
    new = list(old)
    new[axis] //= batch
    if node.op_type == "Reshape":  # what the exporter left to be inferred stays so
        new = [int(given) if given <= 0 else size for given, size in zip(array.tolist(), new, strict=True)]
    _set_input(node, _SHAPE_INPUT[node.op_type], np.array(new, np.int64))


def _batch_axis(shape: tuple[int, ...], before: tuple[int, ...], batch: int) -> int | None:
    """The axis of ``shape`` that holds the batch: where the input had it, else the first that equals it, else the first multiple."""
    for axis, size in enumerate(shape[: len(before)]):
        if size == batch == before[axis]:
            return axis
    if batch in shape:
        return shape.index(batch)
    return next((axis for axis, size in enumerate(shape) if size % batch == 0), None)


def _keep_one(node: ir.Node, index: int, axis: int, batch: int) -> None:
    array = _array(input_of(node, index))
    if array is None or array.ndim <= axis or array.shape[axis] != batch:
        return
    first = np.take(array, [0], axis)
    if not (array == first).all():
        raise EspdlError(f"a constant differs between the {batch} samples of the batch", where=describe(node))
    _set_input(node, index, first)


def _target(node: ir.Node) -> NDArray[np.int64] | None:
    array = _array(input_of(node, _SHAPE_INPUT.get(node.op_type, 1)))
    return array.reshape(-1).astype(np.int64) if array is not None and array.dtype.kind == "i" else None


def _array(value: ir.Value | None) -> NDArray | None:
    """The constant behind a value: an initializer, or the output of a Constant node."""
    if value is None:
        return None
    tensor = value.const_value if value.is_initializer() else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def _set_input(node: ir.Node, index: int, array: NDArray) -> None:
    """Gives ``node`` a constant of its own as input ``index``."""
    assert node.graph is not None
    tensor = ir.tensor(array, name=f"{node.name}_input_{index}")
    value = ir.Value(name=tensor.name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    node.graph.register_initializer(value)
    node.replace_input_with(index, value)
