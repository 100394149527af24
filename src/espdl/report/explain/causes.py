"""Why a tensor differs: every rule and ingredient is changed alone until the node gives the second side's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.mac import MacModule
from espdl.dl.operators import Operator
from espdl.report.explain.changes import file_changes, joined, rule_changes
from espdl.report.explain.dump import Value
from espdl.report.explain.layouts import rearrangement
from espdl.report.explain.near_ties import FLOAT_TOLERANCE, is_float_evaluated, near_ties, unrounded
from espdl.report.explain.sides import Side
from espdl.report.explain.trial import Change, Segment
from espdl.wording import counted

CAUSES = {
    "rounding": "ties are rounded otherwise",
    "lane-saturation": "sums saturate in the accumulator of one side",
    "accumulator-wrap": "sums wrap in the accumulator of one side",
    "bias-wrap": "biases are cut to the width of a lane",
    "lut-rule": "16-bit tables are read by their nearest entry or on the line between two",
    "lut-recomputed": "one side looks a table up, the other computes the function",
    "lut-table": "the tables differ",
    "float-accumulation": "sums are added up in binary32, which rounds those of more than 24 bits",
    "float-last-place": "the operator is evaluated in binary32, whose last places are not defined",
    "float-product": "products of 16-bit integers are rounded to binary32 on one side",
    "requantize-overflow": "the factor of a left shift does not fit its register",
    "vector-unit": "vector unit and C code compute otherwise",
    "quirk": "one side does as ESP-DL, the other as ONNX",
    "layout": "the same numbers in another order",
    "packing": "the same weights in another order",
    "weights": "the weights differ",
    "exponents": "the exponents differ",
    "graph": "the nodes differ",
    "input": "the inputs differ",
    "overwritten": "the tensor was read after its memory was used again",
    "unexplained": "nothing that was tried gives these numbers",
}
"""Every cause by its word."""

_PAIRS = 12
_PAIR_NODES = 4
_ALONE_NODES = 16
"""Changes of which pairs are tried; nodes up to which they are, and up to which each is tried alone: of more it would take minutes."""


@dataclass(frozen=True)
class Cause:
    """Why a tensor differs.

    Attributes:
        id: one of :data:`CAUSES`, or two of them with `` + `` between.
        text: what is other on the second side.
        evidence: what shows it.
        certain: whether the node, with that changed alone, gives the second side's numbers exactly.
    """

    id: str
    text: str
    evidence: str
    certain: bool = True


def find_cause(segment: Segment, mine: Value, theirs: Value, first: Side, second: Side) -> tuple[Cause, Change | None]:
    """The cause of a difference between what a segment computes from tensors that both sides share, and what the second side has.

    Args:
        segment: nodes from agreeing tensors to this one, the last of them makes it.
        mine, theirs: the tensor that the first file computes from them, and that of the second side.

    Returns:
        The cause, and the change that proved it, if one did.
    """
    plain = _told(segment, mine, theirs, second)
    if plain is not None:
        return plain, None
    changes = _changes(segment, mine, theirs, second)
    proved = _single(segment, changes, mine, theirs) or _pair(segment, changes, mine, theirs)
    return proved if proved is not None else (_not_proved(segment, changes, mine, theirs, first, second), None)


def _told(segment: Segment, mine: Value, theirs: Value, second: Side) -> Cause | None:
    """What both sides tell without computing anything again."""
    if mine.dtype is not theirs.dtype:
        return Cause("graph", f"it is {theirs.dtype.name} instead of {mine.dtype.name}", "its type is told by both sides")
    moved = rearrangement(mine.data, theirs.data)
    if moved and second.model is None:
        return Cause("layout", moved, f"then all {mine.data.size} numbers are equal")
    if mine.data.shape != theirs.data.shape:
        why = _other_node(segment, second) or f"its shape is {list(theirs.shape)} instead of {list(mine.shape)}"
        return Cause("graph", why, "its shape is told by both sides")
    if segment.nodes and (why := _other_node(segment, second)):
        return Cause("graph", why, "the files tell their nodes")
    return None


def _not_proved(segment: Segment, changes: Sequence[Change], mine: Value, theirs: Value, first: Side, second: Side) -> Cause:
    moved = rearrangement(mine.data, theirs.data)
    if moved:
        return Cause("layout", moved, f"then all {mine.data.size} numbers are equal")
    if mine.exponent != theirs.exponent:
        return Cause(
            "exponents", f"the exponent is {theirs.exponent} instead of {mine.exponent}", "both sides tell it", certain=False
        )
    return (
        _float_places(segment, mine, theirs)
        or _overwritten(first, theirs)
        or _several(changes, second)
        or _unexplained(segment, changes, mine, theirs)
    )


def _several(changes: Sequence[Change], second: Side) -> Cause | None:
    known = [change for change in changes if second.model is not None and change.cause not in _RULES_ONLY]
    if not known:
        return None
    return Cause(
        " + ".join(dict.fromkeys(change.cause for change in known)),
        "; ".join(change.text for change in known),
        "the files differ so; no one of these alone gives the second side's numbers",
        certain=False,
    )


_RULES_ONLY = frozenset({"rounding", "lane-saturation", "accumulator-wrap", "bias-wrap", "lut-rule", "vector-unit", "quirk"})


def _changes(segment: Segment, mine: Value, theirs: Value, second: Side) -> list[Change]:
    machine = segment.model.machine
    other = second.model.machine if second.model is not None else None
    found: list[Change] = []
    for place, (operator, module, *_) in enumerate(segment.nodes):
        twin = _twin(operator, second)
        names = segment.model.fbs_model.get_node(module.name).input
        exponents = {}
        if theirs.name in operator.produces and mine.exponent != theirs.exponent and mine.data.dtype.kind == "i":
            exponents[theirs.name] = (mine.exponent, theirs.exponent)
        if twin is not None:
            found += file_changes(module, twin.module, place, names, exponents)
        elif exponents:
            found += file_changes(module, module, place, names, exponents)
    return found + rule_changes(segment.modules, machine, other)


def _twin(operator: Operator, second: Side) -> Operator | None:
    """The node of the second file that makes the same tensor."""
    if second.model is None:
        return None
    return next((other for other in second.model.operators if other.outputs == operator.outputs), None)


def _other_node(segment: Segment, second: Side) -> str:
    """What is other about the nodes of the second file, in words; empty where they are alike or nobody knows."""
    if second.model is None:
        return ""
    for operator, module, *_ in segment.nodes:
        twin = _twin(operator, second)
        if twin is None:
            return f"the second file has no node with the outputs {', '.join(operator.produces)}"
        if twin.module.op_type != module.op_type:
            return f"node {twin.module.name!r} is {twin.module.op_type} instead of {module.op_type}"
        constants = (set(module.parameters), set(twin.module.parameters))
        mine, theirs = (
            segment.model.fbs_model.get_node(module.name).input,
            second.model.fbs_model.get_node(twin.module.name).input,
        )
        variables = [
            [name for index, name in enumerate(names) if index not in own]
            for names, own in zip((mine, theirs), constants, strict=True)
        ]
        if variables[0] != variables[1]:
            return f"node {module.name!r} reads {', '.join(variables[1])} instead of {', '.join(variables[0])}"
        if constants[0] != constants[1]:
            return f"node {module.name!r} has constants at inputs {sorted(constants[1])} instead of {sorted(constants[0])}"
    return ""


def _gives(segment: Segment, change: Change, theirs: Value) -> bool:
    result = segment.evaluate(change)
    if result is None or theirs.name not in result:
        return False
    return np.array_equal(result[theirs.name], theirs.data, equal_nan=theirs.data.dtype.kind == "f")


def _single(segment: Segment, changes: Sequence[Change], mine: Value, theirs: Value) -> tuple[Cause, Change] | None:
    for change in changes:
        if _gives(segment, change, theirs):
            return Cause(change.cause, change.text, _evidence(segment, change, mine, theirs)), change
    return None


def _evidence(segment: Segment, change: Change, mine: Value, theirs: Value) -> str:
    text = f"with that alone changed, {'the node gives' if len(segment.nodes) == 1 else 'these nodes give'} all {theirs.data.size} numbers"
    if len(segment.nodes) > _ALONE_NODES:
        text += "; dump tensors in between to see at which of them it matters"
    elif len(segment.nodes) > 1:
        guilty = [
            segment.nodes[place][1].name
            for place in range(len(segment.nodes))
            if (change.only is None or place in change.only)
            and (result := segment.evaluate(replace(change, only=frozenset({place})))) is not None
            and not np.array_equal(result[theirs.name], mine.data)
        ]
        if guilty:
            text += f"; it matters at {', '.join(map(repr, guilty[:4]))}"
    return text


def _pair(segment: Segment, changes: Sequence[Change], mine: Value, theirs: Value) -> tuple[Cause, Change] | None:
    """Two changes at once. One of them that alone changes nothing on the first side is left out of the cause."""
    if len(segment.nodes) > _PAIR_NODES:
        return None
    for one, two in combinations(changes[:_PAIRS], 2):
        if one.cause == two.cause or (both := joined(one, two)) is None or not _gives(segment, both, theirs):
            continue
        idle = [change for change in (one, two) if _gives(segment, change, mine)]
        kept = [change for change in (one, two) if change not in idle] if len(idle) == 1 else [one, two]
        cause, text = " + ".join(change.cause for change in kept), ", and ".join(change.text for change in kept)
        more = f" (with {idle[0].cause}, which alone changes nothing here)" if len(kept) == 1 else ""
        return Cause(cause, text, f"with that changed{more}, the node gives all {theirs.data.size} numbers"), both
    return None


def _float_places(segment: Segment, mine: Value, theirs: Value) -> Cause | None:
    a, b = mine.data.astype(np.float64), theirs.data.astype(np.float64)
    differs = (a != b) & ~(np.isnan(a) & np.isnan(b))
    error = float(np.abs(a - b)[differs].max(initial=0.0))
    if mine.data.dtype.kind == "f":
        largest = float(np.nanmax(np.abs(a), initial=0.0)) if a.size else 0.0
        if error <= FLOAT_TOLERANCE * max(largest, 1.0):
            evidence = f"the largest difference is {error:.3g} of {largest:.3g}"
            return Cause("float-last-place", CAUSES["float-last-place"], evidence, certain=False)
        return None
    evaluated = [module for module in segment.modules if is_float_evaluated(module)]
    sums = [module for module in segment.modules if isinstance(module, MacModule)]
    if error > 1 or not (evaluated or sums):
        return None
    cause = "float-last-place" if evaluated else "float-accumulation"
    count = counted(int(differs.sum()), "number")
    found = unrounded(segment, segment.known) if len(segment.nodes) == 1 else None
    if found is not None:
        if not near_ties(found[0], found[1], differs):
            return None
        return Cause(cause, CAUSES[cause], f"the {count} that differ, by 1, lie on a tie within binary32's last places")
    if not evaluated and (len(segment.nodes) == 1 or mine.data.dtype.itemsize == 1):
        return None
    at = (evaluated or sums)[0]
    return Cause(
        cause, CAUSES[cause], f"the {count} that differ are off by 1; {at.op_type} {at.name!r} may do that", certain=False
    )


def _overwritten(first: Side, theirs: Value) -> Cause | None:
    model = first.model
    if model is None or first.inputs is None or theirs.name in model.get_inputs() or theirs.name in model.get_outputs():
        return None
    model.get_intermediate(theirs.name)
    model.reset()
    model.run(dict(first.inputs))
    left = model.get_intermediate(theirs.name).data
    if left.shape != theirs.data.shape or not np.array_equal(left, theirs.data):
        return None
    return Cause(
        "overwritten",
        CAUSES["overwritten"],
        "it is what lies there at the end of the run; take it while the model runs: model->run(inputs, mode, user_outputs)",
    )


def _unexplained(segment: Segment, changes: Sequence[Change], mine: Value, theirs: Value) -> Cause:
    differs = mine.data != theirs.data
    total = int(differs.sum())
    best, closest = 0, ""
    for change, result in _results(segment, changes):
        array = result.get(theirs.name)
        if array is None or array.shape != theirs.data.shape:
            continue
        repaired = int((differs & (array == theirs.data)).sum()) - int((~differs & (array != theirs.data)).sum())
        if repaired > best:
            best, closest = repaired, change.text
    tried = ", ".join(dict.fromkeys(change.cause for change in changes)) or "nothing"
    text = f"the nearest: {closest} ({best} of {total} differences)" if closest else "none of them comes nearer"
    return Cause("unexplained", CAUSES["unexplained"], f"tried: {tried}; {text}", certain=False)


def _results(segment: Segment, changes: Sequence[Change]) -> Iterator[tuple[Change, Mapping[str, NDArray]]]:
    for change in changes:
        result = segment.evaluate(change)
        if result is not None:
            yield change, result
