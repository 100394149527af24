"""Tables of the chip: one result for every integer (runtime spec 3.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import type_name
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase

TABLE8_ENTRIES = 256
TABLE16_ENTRIES = 65536


def stored_table8(module: Module, target: TensorBase) -> NDArray[np.int8]:
    """The 8-bit table in attribute ``lut``, in the order of the values -128 to 127."""
    table = _attached(module, target, DType.INT8)
    if table.size != TABLE8_ENTRIES:
        raise EspdlError(f"a table of {table.size} entries", why="an 8-bit table has 256")
    return table


def stored_table16(module: Module, target: TensorBase) -> NDArray[np.int16]:
    """The 16-bit table in attribute ``lut``: entry i for the value ``i * step - 32768``, ``step`` a power of two."""
    table = _attached(module, target, DType.INT16)
    step = TABLE16_ENTRIES // max(table.size - 1, 1)
    if table.size != TABLE16_ENTRIES and (table.size < 2 or step & (step - 1) or step * (table.size - 1) != TABLE16_ENTRIES):
        raise EspdlError(
            f"a table of {table.size} entries", why="a 16-bit table has 65536, or 65536 / step + 1 for a power of two"
        )
    return table


def interpolated16(table: NDArray[np.int16]) -> NDArray[np.int16]:
    """A 16-bit table with a step as one of all 65536 values, on the lines between its entries, cut towards zero (spec 3.5)."""
    if table.size == TABLE16_ENTRIES:
        return table
    step = TABLE16_ENTRIES // (table.size - 1)
    entries = table.astype(np.int64)
    rise = np.diff(entries)[:, None] * np.arange(step, dtype=np.int64)
    part = np.where(rise < 0, -(-rise // step), rise // step)
    return (entries[:-1, None] + part).astype(np.int16).reshape(-1)


def _attached(module: Module, target: TensorBase, dtype: DType) -> NDArray[Any]:
    table = module.attributes.get("lut")
    if not isinstance(table, TensorBase):
        raise EspdlError("no table", why=f"{module.op_type} is looked up in the attribute lut", hint="export the file again")
    if table.dtype is not dtype:
        raise EspdlError(f"the table is {type_name(table.dtype)}, the activations are {type_name(dtype)}")
    if table.exponent != target.exponent:
        raise EspdlError(
            "the table was made for another output",
            why=f"its exponent is {table.exponent}, the output's {target.exponent}",
        )
    return np.ascontiguousarray(table.data).ravel()


def table_step(table: NDArray[Any], source: TensorBase, target: TensorBase, machine: Machine) -> Step:
    """The step that looks every element of ``source`` up. ``target`` may lie on ``source``.

    Args:
        table: one entry per value of the type of ``source`` in the order of the values, or a 16-bit table with a step.
    """
    return machine.kernels.lookup_step(table, source.data, target.data, machine.chip.rounding)
