"""Two files compared as what they mean: nodes, tensors, exponents, weights, tables, test values, metadata, size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from espdl.fbs import FbsLoader
from espdl.fbs.records import AttributeValue, Graph, Model, Node, Tensor, ValueInfo
from espdl.report.diff.constants import ConstantChange, compare, constant_changes, table_changes, tables_of
from espdl.report.diff.matching import Matched, match_nodes


@dataclass(frozen=True)
class NodeChange:
    """A node that differs: its name in either file, and what does, in words."""

    name: str
    other: str
    what: tuple[str, ...]


@dataclass(frozen=True)
class TensorChange:
    """A variable that differs: its name in either file; shape, type or exponent before and after."""

    name: str
    other: str
    what: str
    before: str
    after: str


@dataclass(frozen=True)
class FileDiff:
    """What differs between two files.

    Attributes:
        first, second: paths. sizes: in bytes. same_bytes: whether the files are equal byte by byte.
        nodes: of either. removed_nodes, added_nodes: operator and name. renamed: nodes and tensors called otherwise.
        changed_nodes, tensors, constants, test_values: see their types.
        removed_constants, added_constants: names, with the bytes they take. metadata: key, before, after.
    """

    first: str
    second: str
    sizes: tuple[int, int]
    same_bytes: bool
    nodes: tuple[int, int]
    removed_nodes: tuple[tuple[str, str], ...]
    added_nodes: tuple[tuple[str, str], ...]
    renamed: dict[str, str]
    reordered: bool
    changed_nodes: tuple[NodeChange, ...]
    tensors: tuple[TensorChange, ...]
    constants: tuple[ConstantChange, ...]
    removed_constants: dict[str, int]
    added_constants: dict[str, int]
    test_values: tuple[str, ...]
    metadata: tuple[tuple[str, str, str], ...]

    @property
    def equal(self) -> bool:
        """Whether the content is the same; the bytes need not be."""
        return not any(
            (
                *(self.removed_nodes, self.added_nodes, self.renamed, self.reordered, self.changed_nodes, self.tensors),
                *(self.constants, self.removed_constants, self.added_constants, self.test_values, self.metadata),
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"equal": self.equal, **asdict(self)}


def diff_files(one: Path, two: Path, key: bytes | None = None, model: int | str | None = None) -> FileDiff:
    """Compares two files.

    Args:
        key: of encrypted ones. model: which of a package: index or name.

    Raises:
        EspdlError: when a file cannot be read.
    """
    first, second = (FbsLoader(path).load(model, key=key).record for path in (one, two))
    a, b = first.graph, second.graph
    matched = match_nodes(a, b)
    names = matched.names
    nodes = {x.name: y.name for x, y in matched.pairs if x.name != y.name}
    return FileDiff(
        first=str(one),
        second=str(two),
        sizes=(one.stat().st_size, two.stat().st_size),
        same_bytes=one.read_bytes() == two.read_bytes(),
        nodes=(len(a.node), len(b.node)),
        removed_nodes=tuple((node.op_type, node.name) for node in matched.removed),
        added_nodes=tuple((node.op_type, node.name) for node in matched.added),
        renamed=nodes | names,
        reordered=_reordered(matched, b),
        changed_nodes=tuple(_node_changes(matched)),
        tensors=tuple(_tensor_changes(a, b, names)),
        constants=(*constant_changes(a, b, names), *table_changes(a, b, matched.pairs)),
        removed_constants=_missing(a, {t.name for t in b.initializer}, names),
        added_constants=_missing(b, {names.get(t.name, t.name) for t in a.initializer}, {}),
        test_values=tuple(_test_changes(a, b, names)),
        metadata=tuple(_metadata(first, second)),
    )


def _missing(graph: Graph, known: set[str], names: Mapping[str, str]) -> dict[str, int]:
    tables = tables_of(graph)
    gone = (t for t in graph.initializer if t.name not in tables and names.get(t.name, t.name) not in known)
    return {tensor.name: tensor.data.nbytes for tensor in gone}


def _reordered(matched: Matched, second: Graph) -> bool:
    place = {id(node): index for index, node in enumerate(second.node)}
    order = [place[id(node)] for _, node in matched.pairs]
    return order != sorted(order)


def _node_changes(matched: Matched) -> Iterator[NodeChange]:
    for one, two in matched.pairs:
        what = []
        if one.op_type != two.op_type:
            what.append(f"{one.op_type} -> {two.op_type}")
        for words, mine, theirs in (("reads", one.input, two.input), ("gives", one.output, two.output)):
            renamed = [matched.names.get(name, name) for name in mine]
            if renamed != theirs:
                what.append(f"{words} {', '.join(mine)} -> {', '.join(theirs)}")
        what += _attribute_changes(one, two)
        if what:
            yield NodeChange(one.name, two.name, tuple(what))


def _attribute_changes(one: Node, two: Node) -> Iterator[str]:
    mine, theirs = ({entry.name: entry.value for entry in node.attribute} for node in (one, two))
    for name in sorted(mine.keys() | theirs.keys()):
        before, after = mine.get(name), theirs.get(name)
        if name == "lut" and isinstance(before, str) and isinstance(after, str):
            continue  # compared by what it holds
        if before != after:
            yield f"{name} {_text(before)} -> {_text(after)}"


def _text(value: AttributeValue | None) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, Tensor):
        return f"a tensor {list(value.dims)}"
    return str(value)


def _variables(graph: Graph) -> dict[str, ValueInfo]:
    return {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}


def _tensor_changes(one: Graph, two: Graph, names: Mapping[str, str]) -> Iterator[TensorChange]:
    theirs = _variables(two)
    for name, mine in _variables(one).items():
        other = theirs.get(names.get(name, name))
        if other is None:
            continue
        for what, before, after in (
            ("type", mine.data_type.name, other.data_type.name),
            ("shape", str(list(mine.shape or ())), str(list(other.shape or ()))),
            ("exponent", _exponents(mine), _exponents(other)),
        ):
            if before != after:
                yield TensorChange(name, other.name, what, before, after)
    for role in ("input", "output"):
        ours = sorted(names.get(value.name, value.name) for value in getattr(one, role))
        given = sorted(value.name for value in getattr(two, role))  # the runtime takes them in alphabetical order
        if ours != given:
            yield TensorChange("the network", "the network", f"{role}s", ", ".join(ours), ", ".join(given))


def _exponents(value: ValueInfo) -> str:
    return ", ".join(map(str, value.exponents)) or "none"


def _test_changes(one: Graph, two: Graph, names: Mapping[str, str]) -> Iterator[str]:
    for what, mine, theirs in (
        ("input", one.test_inputs_value, two.test_inputs_value),
        ("output", one.test_outputs_value, two.test_outputs_value),
    ):
        others = {tensor.name: tensor for tensor in theirs}
        for tensor in mine:
            other = others.pop(names.get(tensor.name, tensor.name), None)
            if other is None:
                yield f"{what} {tensor.name!r} is in the first file only"
            elif change := compare(tensor, other, "test value", tensor.data, other.data):
                yield f"{what} {tensor.name!r}: {', '.join(change.what)}"
        for name in others:
            yield f"{what} {name!r} is in the second file only"


def _metadata(one: Model, two: Model) -> Iterator[tuple[str, str, str]]:
    for key in ("producer_name", "producer_version", "domain", "model_version", "doc_string", "ir_version", "opset_import"):
        before, after = getattr(one, key), getattr(two, key)
        if (list(before) if key == "opset_import" else before) != (list(after) if key == "opset_import" else after):
            yield key, str(before), str(after)
    if one.graph.name != two.graph.name:
        yield "graph name", one.graph.name, two.graph.name
    for key in sorted(one.metadata_props.keys() | two.metadata_props.keys()):
        before, after = one.metadata_props.get(key, ""), two.metadata_props.get(key, "")
        if before != after:
            yield f"metadata {key}", before, after
