"""The difference of two files for people, in lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from espdl.report.diff.diff import FileDiff
from espdl.wording import counted, kilobytes

_MOST = 20
"""Lines of one kind."""


def diff_lines(found: FileDiff, most: int = _MOST) -> list[str]:
    """Paragraphs; what belongs to a heading begins with blanks.

    Args:
        most: lines under one heading; the others are counted.
    """
    return list(_lines(found, most))


def _lines(found: FileDiff, most: int) -> Iterator[str]:
    grown = found.sizes[1] - found.sizes[0]
    sizes = " -> ".join(map(kilobytes, found.sizes)) + (f" ({grown:+d} bytes)" if grown else "")
    yield f"size: {sizes}; nodes: {found.nodes[0]} -> {found.nodes[1]}"
    if found.equal:
        yield "equal, byte by byte" if found.same_bytes else "equal in content; the bytes differ in how it is stored"
        return
    yield from _section("removed nodes", (f"{op_type} {name!r}" for op_type, name in found.removed_nodes), most)
    yield from _section("added nodes", (f"{op_type} {name!r}" for op_type, name in found.added_nodes), most)
    yield from _section("changed nodes", (f"{_names(c.name, c.other)}: {'; '.join(c.what)}" for c in found.changed_nodes), most)
    if found.reordered:
        yield "nodes run in another order"
    yield from _section("renamed", (f"{old!r} -> {new!r}" for old, new in found.renamed.items()), most)
    yield from _section("tensors", (f"{_names(c.name, c.other)}: {c.what} {c.before} -> {c.after}" for c in found.tensors), most)
    for kind in ("weight", "table", "constant"):
        lines = (
            f"{_names(c.name, c.other)}: {', '.join(c.what)}"
            + (f"; by {c.largest:.6g} at most" if c.differing else "; the same integers")
            for c in found.constants
            if c.kind == kind
        )
        yield from _section(f"{kind}s", lines, most)
    yield from _section("removed constants", (f"{n!r}, {size} bytes" for n, size in found.removed_constants.items()), most)
    yield from _section("added constants", (f"{n!r}, {size} bytes" for n, size in found.added_constants.items()), most)
    yield from _section("test values", found.test_values, most)
    yield from _section(
        "metadata", (f"{key}: {before or '(none)'} -> {after or '(none)'}" for key, before, after in found.metadata), most
    )


def _names(name: str, other: str) -> str:
    return repr(name) if name == other else f"{name!r} ({other!r})"


def _section(title: str, lines: Iterable[str], most: int) -> Iterator[str]:
    listed = list(lines)
    if not listed:
        return
    yield f"{title}: {len(listed)}"
    for line in listed[:most]:
        yield f"  - {line}"
    if len(listed) > most:
        yield f"  and {counted(len(listed) - most, 'more line')} (--json lists all)"
