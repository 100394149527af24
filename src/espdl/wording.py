"""Words that many messages share: counts with their noun, sizes, places in a graph, and what somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def counted(count: int, noun: str) -> str:
    """``1 output``, ``3 outputs``. For nouns whose plural ends in s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def kilobytes(size: int) -> str:
    """Bytes as ``34.6 KB``, of 1024 bytes each."""
    return f"{size / 1024:.1f} KB"


def at_node(name: str | None, op_type: str) -> str:
    """A node as the place of an error: ``node 'conv1' (Conv)``."""
    return f"node {name!r} ({op_type})" if op_type else f"node {name!r}"


def nearest(name: str, known: Iterable[str], most: int = 3) -> str:
    """The known names that ``name`` may be a slip of, as ``a or b``; empty when nothing is near."""
    return " or ".join(difflib.get_close_matches(name, list(known), most, 0.6))
