"""The content of a model file as plain records, one class per table of ``schema.fbs``.

The reader produces them, the writer takes them; the runtime and the exporter know the format only through them. Tables of the schema
that no ESP-DL file carries (subgraphs, functions, sequence types) have no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from numpy.typing import NDArray

from espdl.dtypes import DType

AttributeValue: TypeAlias = "int | float | str | list[int] | list[float] | list[str] | Tensor"


@dataclass(slots=True, eq=False)
class Tensor:
    """A constant: initializer, test value or tensor attribute. Two are equal when they hold the same bytes under the same name.

    Attributes:
        data: read-only array of shape ``dims``, a view into the file where it was read from one. Convolution weights are in the byte
            order of the file; ``doc_string`` tells which ("layout ==> (N/16)HWC16").
        exponents: one entry per tensor, more per output channel, none for float.
    """

    name: str
    dims: tuple[int, ...]
    data_type: DType
    data: NDArray
    exponents: tuple[int, ...] = ()
    doc_string: str = ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tensor):
            return NotImplemented
        mine = (self.name, self.dims, self.data_type, self.exponents, self.doc_string)
        theirs = (other.name, other.dims, other.data_type, other.exponents, other.doc_string)
        return mine == theirs and self.data.tobytes() == other.data.tobytes()

    __hash__ = None  # type: ignore[assignment]  # holds an array


@dataclass(slots=True)
class Attribute:
    """A node attribute.

    ``value``: int (INT), float (FLOAT, a binary32 number), str (STRING, UTF-8), lists of those (INTS, FLOATS, STRINGS), or
    :class:`Tensor` (TENSOR). An empty list is INTS.
    """

    name: str
    value: AttributeValue


@dataclass(slots=True)
class Node:
    """An operator. An omitted optional input is the empty string."""

    op_type: str
    name: str
    input: list[str]
    output: list[str]
    attribute: list[Attribute] = field(default_factory=list)
    domain: str = ""
    doc_string: str = ""


@dataclass(slots=True)
class ValueInfo:
    """Type of a variable. ``shape`` is None when the file does not say."""

    name: str
    data_type: DType
    shape: tuple[int, ...] | None
    exponents: tuple[int, ...] = ()
    doc_string: str = ""


@dataclass(slots=True)
class Graph:
    """Nodes in running order, and everything they refer to by name."""

    name: str
    node: list[Node]
    initializer: list[Tensor]
    input: list[ValueInfo]
    output: list[ValueInfo]
    value_info: list[ValueInfo]
    test_inputs_value: list[Tensor] = field(default_factory=list)
    test_outputs_value: list[Tensor] = field(default_factory=list)
    doc_string: str = ""


@dataclass(slots=True)
class Model:
    """A whole model file."""

    graph: Graph
    ir_version: int = 8
    producer_name: str = ""
    producer_version: str = ""
    domain: str = ""
    model_version: int = 0
    doc_string: str = ""
    opset_import: Sequence[tuple[str, int]] = ()
    metadata_props: dict[str, str] = field(default_factory=dict)
