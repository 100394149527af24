"""An explanation for people, in lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from espdl.report.explain.explanation import Divergence, Explanation
from espdl.wording import counted


def explanation_lines(found: Explanation) -> list[str]:
    """Paragraphs; those that belong to the one before begin with blanks."""
    return list(_lines(found))


def _lines(found: Explanation) -> Iterator[str]:
    yield f"first   {found.first}"
    yield f"second  {found.second}"
    lacks = f"; {counted(len(found.missing), 'tensor')} of the first that the second does not tell" if found.missing else ""
    if found.equal:
        yield f"equal: all {counted(found.compared, 'tensor')}{lacks}"
        return
    yield f"{found.differing} of {counted(found.compared, 'tensor')} differ{lacks}"
    if not found.divergences:
        yield "no node gives something else on the second side's own tensors: what differs follows from tensors that are not told"
        return
    for number, divergence in enumerate(found.divergences):
        yield ""
        yield from _divergence(divergence, "first divergence" if not number else "further, not because of it")
        if not number:
            yield _reach(found)
    if found.equal_with_rule is not None:
        yield ""
        every = "all" if found.equal_with_rule == found.compared else f"{found.equal_with_rule} of"
        yield f"with the first cause's rule changed at every node, {every} {counted(found.compared, 'tensor')} are equal"
    if found.unjudged:
        yield ""
        yield f"not judged: {counted(found.unjudged, 'tensor')} behind others with other exponents or another order of axes"
    if found.more:
        yield ""
        yield f"{counted(found.more, 'further node')} that diverge by themselves: their causes were not looked for (--most)"


def _reach(found: Explanation) -> str:
    later = found.differing - 1
    if not later:
        return "  reach: no other tensor differs"
    return f"  reach: {counted(later, 'more tensor')} {'differs' if later == 1 else 'differ'}, {found.because_of_first} because of it only"


def _divergence(divergence: Divergence, title: str) -> Iterator[str]:
    if divergence.node:
        among = f", or one of the {len(divergence.between)} before it that are not told" if divergence.between else ""
        yield f"{title}: node {divergence.position}, {divergence.op_type} {divergence.node!r}{among}"
    else:
        yield f"{title}: an input of the network"
    order = "" if divergence.onnx_index is None else f" (ONNX order {list(divergence.onnx_index)})"
    scale = tuple(f" * 2^{e}" if e or divergence.exponents[0] != divergence.exponents[1] else "" for e in divergence.exponents)
    one, two = f"{divergence.first:g}{scale[0]}", f"{divergence.second:g}{scale[1]}"
    count = f"{divergence.differing} of {divergence.size} elements differ, by {divergence.largest:g} at most"
    yield f"  tensor: {divergence.tensor!r} at {list(divergence.index)}{order}: {one} first, {two} second; {count}"
    yield f"  cause: {divergence.cause.id}: {divergence.cause.text}"
    yield f"  evidence: {divergence.cause.evidence}" + ("" if divergence.cause.certain else " (not proved)")
    for line in number_lines(divergence.numbers):
        yield f"  {line}"


def number_lines(numbers: dict[str, Any]) -> Iterator[str]:
    """The arithmetic of an element in words."""
    if "sum" in numbers:
        ((name, facts),) = numbers["inputs"].items()
        largest = " ".join(f"{x}*{w}" for x, w in numbers["largest_products"])
        yield f"numbers: {facts['products']} products of {name!r} ({facts['smallest']} .. {facts['largest']}), the largest {largest}"
        bias = f"bias {numbers['bias']}"
        if "bias_in_lane" in numbers:
            bias += f" ({numbers['bias_in_lane']} in the lane)"
        low, high = numbers["partial_sums"]
        text = f"numbers: {bias}, exact sum {numbers['sum']}, on its way {low} .. {high}"
        if lanes := numbers["lanes"]:
            text += f"; a lane of {lanes['bits']} bits holds {lanes['low']} .. {lanes['high']} and ends at {lanes['sum']}"
        yield text
    elif inputs := numbers.get("inputs"):
        yield "numbers: " + ", ".join(f"{name!r} is {entry['value']} * 2^{entry['exponent']}" for name, entry in inputs.items())
    if "unrounded" in numbers:
        yield f"numbers: {numbers['unrounded']:.9g} before rounding"
    if "shift" in numbers:
        text = f"numbers: shifted right by {numbers['shift']}"
        if "quotient" in numbers:
            text += f": {numbers['quotient']}, remainder {numbers['remainder']} (half is {numbers['half']})"
        yield f"{text}; half up {numbers['half_up']}, half to even {numbers['half_even']}, before ReLU and saturation"
