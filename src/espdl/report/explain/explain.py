"""Walks two runs in running order: the first node that diverges, its cause, how far it reaches, and further causes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.model import Model
from espdl.errors import EspdlError
from espdl.fbs import wrap_model, write_model
from espdl.report.explain.causes import Cause, find_cause
from espdl.report.explain.dump import Value
from espdl.report.explain.explanation import Divergence, Explanation
from espdl.report.explain.inputs import differing_inputs, equal, input_cause
from espdl.report.explain.layouts import rearrangement
from espdl.report.explain.numbers import element_numbers
from espdl.report.explain.sides import Side, forced_run, require_same_names, run_side, value_of
from espdl.report.explain.trial import Segment
from espdl.report.inspection import AXES, Layouts

MOST = 5
"""Divergences whose cause is looked for."""


def explain(first: Side, second: Side, real_inputs: Mapping[str, NDArray] | None = None, most: int = MOST) -> Explanation:
    """Why two runs differ.

    Args:
        first: of a file.
        second: of a file or a dump.
        real_inputs: what the first side's inputs were quantized from, where that is known.
        most: divergences whose cause is looked for.

    Raises:
        EspdlError: when the first side is a dump, and when the two have nothing in common.
    """
    if first.model is None or first.inputs is None:
        raise EspdlError("two dumps can be compared by a text tool only", hint="give the .espdl file that one of them comes from")
    require_same_names(first, second)
    walk = _Walk(first.model, first.inputs, first, second, real_inputs or {})
    return walk.result(most)


class _Walk:
    def __init__(
        self, model: Model, inputs: Mapping[str, NDArray], first: Side, second: Side, real_inputs: Mapping[str, NDArray]
    ) -> None:
        self.model, self.inputs, self.first, self.second = model, inputs, first, second
        self.real_inputs = real_inputs
        self.layouts = Layouts(model.fbs_model.record.graph)
        self.common = [name for name in first.values if name in second.values]
        self.differing = [name for name in self.common if not equal(first.values[name], second.values[name])]
        self.producers = {name: at for at, operator in enumerate(model.operators) for name in operator.produces}
        self.restated = {name for name in self.differing if name in self.producers and self._restated(name)}
        self.taken = {name: array for name in self.common if (array := self._converted(name)) is not None}
        """Second side's tensors as the first file holds them."""
        self.rule: Callable[[Machine], Machine] | None = None
        """The first rule that proved to be a cause."""
        self.inexact = {name for name in self.taken if not self._same_form(name)} | (set(self.common) - self.taken.keys())
        self.inexact -= self.restated

    def result(self, most: int) -> Explanation:
        found, more, unjudged = self._divergences(most) if self.differing else ([], 0, 0)
        return Explanation(
            first=self.first.label,
            second=self.second.label,
            compared=len(self.common),
            missing=tuple(name for name in self.first.values if name not in self.second.values),
            differing=len(self.differing),
            because_of_first=self._follow(found[0]) if found else 0,
            divergences=tuple(found),
            more=more,
            unjudged=unjudged,
            equal_with_rule=self._equal_with_rule(),
        )

    def _equal_with_rule(self) -> int | None:
        """Tensors that are equal once the rule behind the first cause is changed at every node; None where it is no rule."""
        if self.rule is None:
            return None
        machine = self.rule(self.model.machine)
        record = replace(self.model.fbs_model.record, metadata_props={})  # which names a chip, and this one is none
        changed = Model(
            wrap_model(write_model(record)),
            target=machine.chip,
            arithmetic=machine.arithmetic,
            backend=machine.kernels.name,
            int16_lut=machine.int16_lut,
            strict_onnx=machine.strict_onnx,
        )
        values = run_side("", changed, self._taken_inputs()).values
        return sum(equal(values[name], self.second.values[name]) for name in self.common)

    # What the second side has, in the first file's terms

    def _same_form(self, name: str) -> bool:
        mine, theirs = self.first.values[name], self.second.values[name]
        return (mine.dtype, mine.exponent, mine.shape) == (theirs.dtype, theirs.exponent, theirs.shape)

    def _converted(self, name: str) -> NDArray | None:
        mine, theirs = self.first.values[name], self.second.values[name]
        if name in self.restated:
            return mine.data
        if self._same_form(name):
            return theirs.data
        if mine.data.size != theirs.data.size or mine.data.dtype.kind != "i" or theirs.data.dtype.kind != "i":
            return None
        limits = np.iinfo(mine.data.dtype)
        scaled = np.rint(np.ldexp(theirs.real, -mine.exponent))
        return np.clip(scaled, limits.min, limits.max).astype(mine.data.dtype).reshape(mine.data.shape)

    def _taken_inputs(self) -> dict[str, NDArray]:
        return {name: self.taken.get(name, array) for name, array in self.inputs.items()}

    # Walking

    def _divergences(self, most: int) -> tuple[list[Divergence], int, int]:
        """Every node that gives something else on the second side's own tensors, the causes of the first ones looked for."""
        found = [self._at_input(name) for name in differing_inputs(self.inputs, self.first.values, self.second.values)]
        inputs, more, unjudged = self._taken_inputs(), 0, 0
        repaired = {name: inputs[name] for name in inputs}
        doubtful = {name for name in self.inputs if name in self.inexact}
        for position, _, computed in forced_run(self.model, inputs, self.taken):
            reads = self._reads(position)
            follows = any(name in doubtful for name in reads)
            for name, array in computed.items():
                theirs = self.second.values.get(name)
                repaired[name] = self.taken.get(name, array)
                if theirs is None:
                    if follows:
                        doubtful.add(name)
                    continue
                mine = value_of(self.model, name, array)
                if name in self.inexact:
                    doubtful.add(name)
                if follows or equal(mine, theirs) or self._seen(found, position):
                    unjudged += follows and not equal(mine, theirs)
                    continue
                if len(found) < most:
                    found.append(self._at_node(position, mine, theirs, repaired))
                else:
                    more += 1
        return found, more, unjudged

    def _restated(self, name: str) -> bool:
        """Whether a dump tells the first side's own numbers in another order: then nothing else need be other behind it."""
        mine, theirs = self.first.values[name], self.second.values[name]
        return self.second.model is None and mine.exponent == theirs.exponent and bool(rearrangement(mine.data, theirs.data))

    @staticmethod
    def _seen(found: Sequence[Divergence], position: int) -> bool:
        return any(divergence.position == position for divergence in found)

    def _reads(self, position: int) -> list[str]:
        node = self.model.fbs_model.get_node(self.model.operators[position].module.name)
        return [name for name in node.input if name in self.producers or name in self.inputs]

    def _segment(self, position: int, known: Mapping[str, NDArray]) -> Segment:
        """The node at ``position``, with those before it up to tensors that the second side tells."""
        positions, queue, border = {position}, [position], dict[str, NDArray]()
        while queue:
            for name in self._reads(queue.pop()):
                if name in self.taken or name not in self.producers:
                    border[name] = known[name]
                elif self.producers[name] not in positions:
                    positions.add(self.producers[name])
                    queue.append(self.producers[name])
        return Segment(self.model, sorted(positions), border)

    # One divergence

    def _at_node(self, position: int, mine: Value, theirs: Value, known: Mapping[str, NDArray]) -> Divergence:
        segment = self._segment(position, known)
        cause, change = find_cause(segment, mine, theirs, self.first, self.second)
        if (
            self.rule is None
            and change is not None
            and change.machine is not None
            and change.edit is None
            and not change.exponents
        ):
            self.rule = change.machine
        operator = self.model.operators[position]
        between = tuple(module.name for module in segment.modules[:-1])
        return self._divergence(
            operator.module.name, operator.module.op_type, position, between, mine, theirs, cause, segment, known
        )

    def _at_input(self, name: str) -> Divergence:
        mine, theirs = self.first.values[name], self.second.values[name]
        return self._divergence("", "input", -1, (), mine, theirs, input_cause(mine, theirs, self.real_inputs.get(name)))

    def _divergence(
        self,
        node: str,
        op_type: str,
        position: int,
        between: tuple[str, ...],
        mine: Value,
        theirs: Value,
        cause: Cause,
        segment: Segment | None = None,
        known: Mapping[str, NDArray] | None = None,
    ) -> Divergence:
        a, b = mine.data, theirs.data
        if a.shape != b.shape:
            b = b.reshape(a.shape) if a.size == b.size else np.resize(b, a.shape)
        same_scale = mine.exponent == theirs.exponent
        one, two = (
            (a.astype(np.float64), b.astype(np.float64))
            if same_scale
            else (mine.real, np.ldexp(b.astype(np.float64), theirs.exponent))
        )
        differs = (one != two) & ~(np.isnan(one) & np.isnan(two))
        flat = int(np.flatnonzero(differs.reshape(-1))[0]) if differs.any() else 0
        index = tuple(int(at) for at in np.unravel_index(flat, a.shape)) if a.shape else ()
        error = np.abs(one - two)
        largest = float(np.nanmax(error)) if not np.isnan(error).all() else float("nan")
        numbers = element_numbers(segment, known, index) if segment is not None and known is not None and not between else {}
        return Divergence(
            node=node,
            op_type=op_type,
            position=position,
            between=between,
            tensor=mine.name,
            index=index,
            onnx_index=self._onnx_index(mine.name, index),
            first=a.reshape(-1)[flat].item(),
            second=b.reshape(-1)[flat].item(),
            exponents=(mine.exponent, theirs.exponent),
            differing=int(differs.sum()),
            size=int(a.size),
            largest=largest,
            cause=cause,
            numbers=numbers,
        )

    def _onnx_index(self, name: str, index: tuple[int, ...]) -> tuple[int, ...] | None:
        last = self.layouts.input_is_channels_last(name) if name in self.inputs else self.layouts.output_is_channels_last(name)
        if not last or len(index) not in AXES:
            return None
        order = AXES[len(index)][1]
        return tuple(index[order.index(axis)] for axis in range(len(index)))

    def _follow(self, divergence: Divergence) -> int:
        """Tensors behind the first divergence that are equal once its tensor is taken from the second side."""
        if divergence.tensor not in self.taken:
            return 0
        forced = {divergence.tensor: self.taken[divergence.tensor]}
        inputs = dict(self.inputs) | {name: array for name, array in forced.items() if name in self.inputs}
        if divergence.position < 0:
            inputs = self._taken_inputs()
        differing, count = set(self.differing), 0
        for _, _, computed in forced_run(self.model, inputs, forced):
            for name, array in computed.items():
                if name in differing and name != divergence.tensor:
                    count += equal(value_of(self.model, name, array), self.second.values[name])
        return count
