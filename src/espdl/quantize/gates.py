"""Chooses the exponent of the gates of recurrent operators (quantizer spec 11.8, runtime spec 3.12)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir
from numpy.typing import NDArray

from espdl.dl.module.recurrent import Recurrent
from espdl.errors import EspdlError
from espdl.quantize.assign import GATE_BITS, module_of
from espdl.quantize.facts import attributes_of
from espdl.quantize.graph import QuantInfo
from espdl.quantize.passes.tools import constant

FINEST_EXPONENT = -9
"""The exponent that ESP-PPQ always writes: gates within 64 of 0, in steps of 1/512, finer than the chip's tables of functions need."""
MARGIN = 1.5
"""How far beyond the calibration data the gates must reach: their sums wrap around, so a gate that leaves the range is turned over."""


class GateReach:
    """Watches how far the gates and cell states of a recurrent node reach, and gives them the finest exponent that spans it.

    Args:
        node: GRU or LSTM, with all its outputs.

    Attributes:
        node: its name.
        names: tensors that :meth:`observe` needs.
    """

    def __init__(self, node: ir.Node) -> None:
        module = module_of(node)
        if not issubclass(module, Recurrent):
            raise EspdlError(f"operator {node.op_type} has no gates", where=f"node {node.name!r}")
        self._module = module(node.name or "", attributes=attributes_of(node), op_type=node.op_type)
        self._inputs = [
            None if value is None else constant(value) if constant(value) is not None else value.name for value in node.inputs
        ]
        self.node = node.name or ""
        self._y = node.outputs[0].name or ""
        self.names = [self._y, *(given for given in self._inputs if isinstance(given, str))]
        self._reach = 0.0
        self._results: dict[str, NDArray] = {}

    def observe(self, results: Mapping[str, NDArray]) -> None:
        """Takes in tensors of one float run, all at once or some at a time."""
        self._results.update((name, results[name]) for name in self.names if name in results)
        if len(self._results) < len(set(self.names)):
            return
        inputs = [self._results[given] if isinstance(given, str) else given for given in self._inputs]
        self._reach = max(self._reach, self._module.gate_reach(self._results[self._y], *inputs))
        self._results.clear()

    def set_exponent(self, gates: QuantInfo) -> None:
        """Sets the exponent of the node's gates: -9, or a larger one for gates that leave its range."""
        highest = 2 ** (GATE_BITS - 1) - 1
        needed = math.ceil(math.log2(self._reach * MARGIN / highest)) if self._reach > 0 else FINEST_EXPONENT
        gates.set_exponents((max(needed, FINEST_EXPONENT),))
