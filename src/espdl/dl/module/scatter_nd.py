"""ScatterND."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import common_dtype, given, input_shape, text_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Align, Contract, Limit, NodeFacts, Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.rounding import saturate
from espdl.tensor import TensorBase

REDUCTIONS = ("none", "add", "mul", "max", "min")


def _reduction_is_known(node: NodeFacts) -> bool:
    return node.attributes.get("reduction", "none") in ("none", "add", "max", "min")


def _indices_are_constant(node: NodeFacts) -> bool:
    return 1 in node.constants and bool(np.all(np.asarray(node.constants[1]) >= 0))


class ScatterND(Module, op_type="ScatterND"):
    """Input 0 with the parts that input 1 names, a constant, replaced by or combined with those of input 2.

    Attribute ``reduction``: ``none``, ``add``, ``mul``, ``max``, ``min``. Parts named twice are combined in order. On integers raw values
    are combined and saturated; exponents are not looked at: all must be equal, and ``mul`` means little.
    """

    contract = Contract(
        INTEGER_AND_FLOAT,
        limits=(
            Limit("the indices are constants and not negative", _indices_are_constant, "count the indices from the front"),
            Limit("reduction is not mul, which is not rescaled on the chip", _reduction_is_known, "multiply with Mul"),
        ),
    )
    quantization = Quantization(float_inputs=frozenset({1}), align=Align.INPUTS_TO_OUTPUT)

    def configure(self) -> None:
        self.reduction = text_attribute(self, "reduction", "none")
        if self.reduction not in REDUCTIONS:
            raise EspdlError(f"reduction {self.reduction!r}", hint="one of " + ", ".join(REDUCTIONS))

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source, indices, updates = (input_shape(input_shapes, i) for i in range(3))
        if not indices or not 1 <= indices[-1] <= len(source):
            raise EspdlError(f"indices of shape {indices} into a tensor of shape {source}")
        if updates != indices[:-1] + source[indices[-1] :]:
            raise EspdlError(f"updates of shape {updates}", why=f"indices {indices} into {source} name other parts")
        return [source]

    def float_forward(self, x: NDArray[Any], indices: NDArray[Any], updates: NDArray[Any]) -> NDArray[Any]:
        result = np.array(x, order="C")
        self._scatter(result, self._parts(x.shape, indices), updates)
        return result

    def _parts(self, shape: Sequence[int], indices: NDArray[Any]) -> NDArray[np.intp]:
        """Number of each named part, counted over the indexed axes. Shape [parts]."""
        depth = indices.shape[-1]
        flat = indices.reshape(-1, depth)
        if flat.size and (flat.min() < 0 or np.any(flat >= np.asarray(shape[:depth]))):
            raise EspdlError(f"an index outside shape {list(shape)}", hint="count from the front")
        return np.asarray(np.ravel_multi_index(tuple(flat.T), tuple(shape[:depth])), dtype=np.intp)

    def _scatter(self, result: NDArray[Any], parts: NDArray[np.intp], updates: NDArray[Any]) -> None:
        if not parts.size:
            return
        new = updates.reshape(parts.size, -1)
        rows = result.reshape(-1, new.shape[1])
        if len(np.unique(parts)) == parts.size:
            rows[parts] = self._combine(rows[parts], new)
            return
        for part, row in zip(parts, new, strict=True):
            rows[part] = self._combine(rows[part], row)

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, indices, updates = (given(inputs, i, name) for i, name in enumerate(("data", "indices", "updates")))
        target = outputs[0]
        common_dtype(self, (source, updates, target))
        if 1 not in self.parameters or indices.dtype not in (DType.INT64, DType.INT32):
            raise EspdlError("the indices must be constant integers")
        parts = self._parts(source.shape, np.asarray(indices.data))

        def step() -> None:
            np.copyto(target.data, source.data)
            self._scatter(target.data, parts, updates.data)

        return step

    def _combine(self, old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        if self.reduction == "none":
            return new
        if self.reduction in ("max", "min"):
            return np.maximum(old, new) if self.reduction == "max" else np.minimum(old, new)
        operation = np.add if self.reduction == "add" else np.multiply
        if old.dtype.kind == "f":
            return operation(old, new)
        return saturate(operation(old, new, dtype=np.int64), old.dtype)
