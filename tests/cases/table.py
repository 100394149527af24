"""The case tables: what a TOML file beside this module says, as records.

A table ``<Op>.toml`` has ``[[case]]`` rows; ``[defaults]`` holds what rows leave out. Keys of a row:

``name``            unique in the table; with the table and the dtype it also determines the random numbers
``dtype``           of the activations: int8, int16, float32, or a list (the row runs once for each, and counts once)
``inputs``          list of tensors, see below
``outputs``         list of ``{ exponent, dtype, omitted }``; by default one of the row's dtype with exponent 0
``attributes``      of the node; quant_type is added, or given as ``quant_type``. ``op``: another op_type than the table's name
``lut``             tensor of the attached table
``targets``         chips, by default c, esp32s3, esp32p4; ``arithmetic``: by default ["reference"]
``differs``         targets on which silicon and reference must not give the same
``runs``            how many times the network runs without reset
``off_by_one``      elements per output that may be 1 beside the expectation, ``ulps`` for float32; with a ``reason``
``int16_lut``       how the model reads 16-bit tables

Keys of a tensor: ``shape`` (of a filter as in a file: [KH, KW, C, N]), ``dtype`` (``bias``: int32 or int64, by width), ``exponent`` (a
list: one per output channel), ``data`` with ``range`` and ``shift`` (see :func:`tests.cases.data.make_values`) or ``values`` (again and
again until the tensor is full), ``constant`` (by default what is no activation dtype), ``packing`` (conv, depthwise, matmul),
``omitted``. Exponents, dtypes, ranges, values and tolerances may differ by dtype: ``exponent = { int8 = -4, int16 = -10 }``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import prod
from pathlib import Path
from typing import Any

from tests.cases.data import cycled, make_values
from tests.cases.oracle.node import Array, Result
from tests.cases.oracle.rounding import fl32

HERE = Path(__file__).parent
TARGETS = ("c", "esp32s3", "esp32p4")
QUANT_TYPES = {"int8": "S8", "int16": "S16", "float32": "F32"}
ACTIVATIONS = tuple(QUANT_TYPES)
CASE_KEYS = {
    "name", "op", "dtype", "inputs", "outputs", "attributes", "lut", "targets", "arithmetic", "quant_type",
    "runs", "off_by_one", "ulps", "reason", "differs", "int16_lut",
}  # fmt: skip
TENSOR_KEYS = {"shape", "dtype", "exponent", "data", "range", "shift", "values", "constant", "packing", "omitted"}


@dataclass(frozen=True)
class Tensor:
    """One input of a case.

    Attributes:
        constant: an initializer of the file, not an input of the network.
        packing: byte order of a filter: ``conv``, ``depthwise`` or ``matmul``; "" for a plain tensor.
    """

    shape: tuple[int, ...]
    dtype: str
    exponent: int | list[int]
    constant: bool
    packing: str
    data: str
    spec: dict[str, Any]

    def array(self, name: str) -> Array:
        """Its numbers, in logical order."""
        count = prod(self.shape)
        if "values" in self.spec:
            values = cycled(self.spec["values"], count)
            if self.dtype == "float32":
                values = [fl32(float(value)) for value in values]
        else:
            values = make_values(self.data, name, count, self.dtype, self.spec)
        return Array(self.shape, values, self.dtype, self.exponent)


@dataclass(frozen=True, eq=False)
class Case:
    """One row of a table, for one dtype.

    Attributes:
        table: name of the file, which is the operator's.
        op: op_type of the node; the table's name unless the row says otherwise.
        inputs, outputs: None where omitted.
        runs: how many times the network runs, on other data each time, without reset.
        off_by_one: how many elements per output may be 1 beside the expected value; ulps: by how many units in the last place a
            float may be off. Both need a ``reason``.
        differs: targets on which the result in silicon arithmetic is not that of the reference: without that the row proves nothing.
    """

    table: str
    name: str
    op: str
    dtype: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Result | None, ...]
    attributes: dict[str, Any]
    lut: Tensor | None
    targets: tuple[str, ...]
    arithmetic: tuple[str, ...]
    quant_type: str
    runs: int
    off_by_one: int
    ulps: int
    reason: str
    differs: tuple[str, ...]
    options: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.table}-{self.name}-{self.dtype}"

    @property
    def is_packed(self) -> bool:
        """Whether its file depends on the vectors of the chip."""
        return any(tensor is not None and tensor.packing for tensor in self.inputs)

    def arrays(self, run: int = 0) -> list[Array | None]:
        """The inputs of one run; constants are the same in all."""
        return _arrays(self, run)

    def lut_array(self) -> Array | None:
        return None if self.lut is None else self.lut.array(f"{self.id} lut")


@lru_cache(maxsize=64)
def _arrays(case: Case, run: int) -> list[Array | None]:
    result: list[Array | None] = []
    for index, tensor in enumerate(case.inputs):
        of_run = "" if tensor is None or tensor.constant else f" run {run}"
        result.append(None if tensor is None else tensor.array(f"{case.id} input {index}{of_run}"))
    return result


def tables() -> list[str]:
    """Names of all tables."""
    return sorted(path.stem for path in HERE.glob("*.toml"))


@cache
def rows(table: str) -> list[dict[str, Any]]:
    """The rows of a table with its defaults put in."""
    content = tomllib.loads((HERE / f"{table}.toml").read_text(encoding="utf-8"))
    assert set(content) <= {"defaults", "case"}, f"{table}: unknown tables {set(content) - {'defaults', 'case'}}"
    result = [{**content.get("defaults", {}), **row} for row in content["case"]]
    names = [row["name"] for row in result]
    assert len(set(names)) == len(names), f"{table}: two cases of one name"
    for row in result:
        assert set(row) <= CASE_KEYS, f"{table} {row['name']}: unknown keys {set(row) - CASE_KEYS}"
    return result


@cache
def cases(table: str) -> list[Case]:
    """Every row once per dtype."""
    result = []
    for row in rows(table):
        dtypes = row.get("dtype", "int8")
        result += [_case(table, row, dtype) for dtype in ([dtypes] if isinstance(dtypes, str) else dtypes)]
    return result


def _case(table: str, row: dict[str, Any], dtype: str) -> Case:
    where = f"{table} {row['name']}"
    loose = row.get("off_by_one", 0) or row.get("ulps", 0)
    assert bool(loose) <= bool(row.get("reason")), f"{where}: a tolerance needs a reason"
    lut = row.get("lut")
    return Case(
        table=table,
        name=row["name"],
        op=row.get("op", table),
        dtype=dtype,
        inputs=tuple(_tensor(spec, dtype, where) for spec in row["inputs"]),
        outputs=tuple(_result(spec, dtype, where) for spec in row.get("outputs", [{}])),
        attributes=row.get("attributes", {}),
        lut=None if lut is None else replace(_required(_tensor(lut, dtype, where)), constant=True),
        targets=tuple(row.get("targets", TARGETS)),
        arithmetic=tuple(row.get("arithmetic", ["reference"])),
        quant_type=row.get("quant_type", QUANT_TYPES[dtype]),
        runs=row.get("runs", 1),
        off_by_one=_of(row.get("off_by_one", 0), dtype),
        ulps=_of(row.get("ulps", 0), dtype),
        reason=row.get("reason", ""),
        differs=tuple(row.get("differs", [])),
        options={key: row[key] for key in ("int16_lut",) if key in row},
    )


def _of(value: Any, dtype: str) -> Any:
    """A value that may be given per dtype, as in ``{ int8 = -4, int16 = -10 }``; 0 where the dtype is not named."""
    return value.get(dtype, 0) if isinstance(value, dict) else value


def _names(value: Any, dtype: str) -> bool:
    """Whether a value is given for the dtype."""
    return not isinstance(value, dict) or dtype in value


def _tensor(spec: dict[str, Any], dtype: str, where: str) -> Tensor | None:
    assert set(spec) <= TENSOR_KEYS, f"{where}: unknown keys {set(spec) - TENSOR_KEYS}"
    if spec.get("omitted"):
        return None
    element_type = _of(spec.get("dtype", dtype), dtype)
    if element_type == "bias":
        element_type = "int32" if dtype == "int8" else "int64"
    return Tensor(
        shape=tuple(spec.get("shape", [len(spec.get("values", []))])),
        dtype=element_type,
        exponent=0 if element_type == "float32" else _of(spec.get("exponent", 0), dtype),
        constant=spec.get("constant", element_type not in ACTIVATIONS),
        packing=spec.get("packing", ""),
        data=spec.get("data", "random"),
        spec={key: _of(spec[key], dtype) for key in ("range", "shift", "values") if key in spec and _names(spec[key], dtype)},
    )


def _required(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def _result(spec: dict[str, Any], dtype: str, where: str) -> Result | None:
    assert set(spec) <= {"dtype", "exponent", "omitted"}, f"{where}: unknown keys of an output"
    if spec.get("omitted"):
        return None
    element_type = _of(spec.get("dtype", dtype), dtype)
    return Result(element_type, 0 if element_type == "float32" else _of(spec.get("exponent", 0), dtype))
