"""MatMul: products of matrices, the second of which may be computed (runtime spec 3.4, appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.products import Product, worst_weights
from espdl.dl.base.steps import InTurn
from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.contract import INTEGER, Contract, Limit, NodeFacts, Quantization
from espdl.dl.module.mac import MacModule, chip_packing, filter_tag, width_of
from espdl.dtypes import Activation
from espdl.errors import EspdlError
from espdl.fbs.packing import PackingTag, matmul_columns, unpack_matmul
from espdl.tensor import TensorBase

NATIVE_LAYOUT = "native_kn"
"""Value of the attribute ``input1_layout`` that says: the second input is a plain [..., K, N]. ESP-DL 3.3.9 does not know it."""


def _rank_runs(facts: NodeFacts) -> bool:
    return all(shape is None or 1 <= len(shape) <= 4 for shape in facts.input_shapes[:2])


class MatMul(MacModule, op_type="MatMul"):
    """``A @ B`` as NumPy has it: vectors are rows or columns, batch extents broadcast.

    The chip multiplies with its convolution kernels, so B lies in memory as one filter per matrix; where B is computed, the nodes in
    front of it produce that order. With ``input1_layout = native_kn`` it is plain. The product of two vectors has shape [1].
    """

    contract: ClassVar[Contract] = Contract(
        INTEGER,
        ranks=(1, 2, 3, 4),
        narrow_weights=True,
        limits=(Limit("both inputs have 1 to 4 dimensions", _rank_runs, "reshape to fewer dimensions"),),
    )
    quantization: ClassVar[Quantization] = Quantization(computing=True)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        return [list(_Product(input_shapes[0], input_shapes[1]).output)]

    def float_forward(self, *inputs: NDArray[np.float32] | None) -> NDArray:
        a, b = inputs
        result = np.matmul(a, b)  # type: ignore[arg-type]
        return np.maximum(result, np.float32(0)) if self.activation is Activation.RELU else result

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        if self.is_float:
            return super().bind(inputs, outputs, machine)
        a, b, y = inputs[0], inputs[1], outputs[0]
        assert a is not None
        assert b is not None
        product = _Product(a.shape, b.shape)
        if y.size != product.size:
            raise EspdlError(
                f"an output of shape {y.shape} does not fit", why=f"{a.shape} times {b.shape} is {list(product.output)}"
            )
        if 1 in self.parameters:
            return self._bind_constant(product, a, b, y, machine)
        return self._bind_computed(product, a, b, y, machine)

    def _bind_constant(self, product: _Product, a: TensorBase, b: TensorBase, y: TensorBase, machine: Machine) -> Step:
        native = self.attributes.get("input1_layout") == NATIVE_LAYOUT
        tag = None if native or len(b.shape) < 2 else filter_tag(b, machine.chip, width_of(a))
        matrices = product.matrices(b.data, tag)
        # a kernel of its own for each product: it counts the overflows of its last call
        filters = [self.make_filter(m[None, None], b, None, a, y, machine) for m in matrices]
        kernels = [machine.kernels.linear(filters[right]) for _, _, right in product.pairs]
        self.watch(*kernels)
        lefts, results = product.lefts(a.data), product.results(y.data)
        steps = [
            kernel.step(lefts[left], results[index]) for kernel, (index, left, _) in zip(kernels, product.pairs, strict=True)
        ]
        return InTurn(steps)

    def _bind_computed(self, product: _Product, a: TensorBase, b: TensorBase, y: TensorBase, machine: Machine) -> Step:
        native = self.attributes.get("input1_layout") == NATIVE_LAYOUT
        tag = None if native or len(b.shape) < 2 else chip_packing(machine.chip, width_of(a))

        shape = (product.depth, product.columns)
        starts, steps = matmul_columns(*shape, tag)
        rule = self.make_filter(worst_weights((1, 1, *shape), b.data.dtype), b, None, a, y, machine)
        pairs = tuple((left, right) for _, left, right in product.pairs)
        kernel = machine.kernels.product(Product(rule, product.rows, pairs, starts, steps))
        self.watch(kernel)
        return kernel.step(a.data, b.data, y.data)


class _Product:
    """Shapes of a product.

    Attributes:
        output: shape of the result; size: its number of elements.
        pairs: index of each result matrix, with those of its left and its right matrix.
    """

    def __init__(self, a: Sequence[int], b: Sequence[int]) -> None:
        if not (1 <= len(a) <= 4 and 1 <= len(b) <= 4):
            raise EspdlError(
                f"matrices of shapes {list(a)} and {list(b)} cannot be multiplied", why="they need 1 to 4 dimensions"
            )
        left = (1, *a) if len(a) == 1 else tuple(a)
        right = (*b, 1) if len(b) == 1 else tuple(b)
        if left[-1] != right[-2]:
            raise EspdlError(f"matrices of shapes {list(a)} and {list(b)} cannot be multiplied", why="their inner extents differ")
        try:
            batch = np.broadcast_shapes(left[:-2], right[:-2])
        except ValueError:
            raise EspdlError(
                f"matrices of shapes {list(a)} and {list(b)} cannot be multiplied", why="their batches differ"
            ) from None
        self.rows, self.depth, self.columns = left[-2], left[-1], right[-1]
        self.output = (*batch, *(() if len(a) == 1 else (self.rows,)), *(() if len(b) == 1 else (self.columns,)))
        self.output = self.output or (1,)
        self.size = prod(self.output)
        if prod(right[:-2]) == 1:
            # one matrix for the whole batch: the rows of all left matrices at once
            self.rows *= prod(left[:-2])
            left, right, batch = left[-2:], right[-2:], ()
        lefts = np.broadcast_to(np.arange(prod(left[:-2])).reshape(left[:-2]), batch).reshape(-1)
        rights = np.broadcast_to(np.arange(prod(right[:-2])).reshape(right[:-2]), batch).reshape(-1)
        self.pairs = [(index, int(a), int(b)) for index, (a, b) in enumerate(zip(lefts, rights, strict=True))]

    def lefts(self, data: NDArray) -> NDArray:
        return data.reshape(-1, self.rows, self.depth)

    def results(self, data: NDArray) -> NDArray:
        return data.reshape(-1, self.rows, self.columns)

    def matrices(self, data: NDArray, tag: PackingTag | None) -> NDArray:
        """All right matrices, [count, K, N]; ``tag`` None means they are plain."""
        shape = (-1, self.depth, self.columns)
        if tag is None:
            return data.reshape(shape)
        plain = data.reshape(shape)
        return unpack_matmul(data, plain.shape, tag)
