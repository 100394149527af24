"""Gemm: rows times a constant matrix (runtime spec 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.contract import INTEGER, Contract, Limit, NodeFacts, Quantization, constants
from espdl.dl.module.mac import MacModule, filter_tag, mac_step, width_of
from espdl.dtypes import Activation
from espdl.errors import EspdlError
from espdl.fbs.packing import unpack_filter
from espdl.tensor import TensorBase


def _bias_is_per_column(facts: NodeFacts) -> bool:
    if len(facts.input_shapes) < 3 or facts.input_shapes[2] is None:
        return True
    shape, output = facts.input_shapes[2], facts.output_shapes[0]
    return 2 in facts.constants and (output is None or int(np.prod(shape)) == output[-1])


class Gemm(MacModule, op_type="Gemm"):
    """``X @ B + C`` with constant B and C; X of any rank is taken as rows of its last extent."""

    contract: ClassVar[Contract] = Contract(
        INTEGER,
        narrow_weights=True,
        limits=(
            constants("B is a constant", 1, 1, remedy="use MatMul for two computed inputs"),
            Limit("transA is 0", lambda facts: not facts.attributes.get("transA", 0), "put a Transpose before the node"),
            Limit("alpha is 1", lambda facts: facts.attributes.get("alpha", 1.0) == 1.0, "multiply B by alpha"),
            Limit("beta is 1", lambda facts: facts.attributes.get("beta", 1.0) == 1.0, "multiply C by beta"),
            Limit("C is a constant with one value per column", _bias_is_per_column, "put an Add behind the node"),
        ),
    )
    quantization: ClassVar[Quantization] = Quantization(
        computing=True, weight_channel_axis=lambda attributes: 0 if attributes.get("transB", 0) else 1
    )

    def configure(self) -> None:
        super().configure()
        dims = self.constant(1, "matrix").shape
        if self.is_float:
            if len(dims) != 2:
                raise EspdlError(f"a matrix of shape {dims} cannot be multiplied with rows")
            self.depth, self.columns = dims if not self.attributes.get("transB", 0) else dims[::-1]
            return
        if len(dims) != 4 or dims[:2] != [1, 1]:
            raise EspdlError(f"a matrix of shape {dims} is not laid out for the chip", why="it must be [1, 1, inputs, outputs]")
        for name in ("transA", "transB"):
            if self.attributes.get(name, 0):
                raise EspdlError(f"{name} must be 0 in a file for a chip", hint="the exporter transposes the matrix itself")
        self.depth, self.columns = dims[2:]

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        x = input_shapes[0]
        if not x or x[-1] != self.depth:
            raise EspdlError(f"an input of shape {x} does not fit", why=f"the last extent must be {self.depth}")
        return [[*x[:-1], self.columns]]

    def float_forward(self, *inputs: NDArray[np.float32] | None) -> NDArray:
        """In binary32, with B in ONNX order and the ONNX attributes alpha, beta, transA and transB."""
        x, matrix, bias = (*inputs, None)[:3]
        assert x is not None
        assert matrix is not None
        left = x.T if self.attributes.get("transA", 0) else x
        right = matrix.T if self.attributes.get("transB", 0) else matrix
        result = (left @ right) * np.float32(self.attributes.get("alpha", 1.0))
        if bias is not None:
            result = result + bias * np.float32(self.attributes.get("beta", 1.0))
        return np.maximum(result, np.float32(0)) if self.activation is Activation.RELU else result

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        if self.is_float:
            return super().bind(inputs, outputs, machine)
        x, y = inputs[0], outputs[0]
        assert x is not None
        tensor = self.constant(1, "matrix")
        bias = self.optional_bias(inputs)
        weights = unpack_filter(tensor.data, tensor.shape, filter_tag(tensor, machine.chip, width_of(x)), False)
        kernel = machine.kernels.linear(self.make_filter(weights, tensor, bias, x, y, machine))
        expected = self.get_output_shape([x.shape])[0]
        if y.shape != expected:
            raise EspdlError(
                f"an output of shape {y.shape} does not fit", why=f"it is {expected} for an input of shape {x.shape}"
            )

        self.watch(kernel)
        return mac_step(kernel, x.data, y.data)
