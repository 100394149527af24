"""Every operator against an oracle that knows nothing of the code: the tables ``<Op>.toml`` beside this file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from espdl.chips import CHIPS
from espdl.dl import Model
from espdl.dl.base import missing_native_notice
from espdl.dl.module import MODULE_TYPES
from tests.cases.build import File, build, one_node
from tests.cases.builders import BUILDERS
from tests.cases.compare import check
from tests.cases.counts import COUNTS, least
from tests.cases.oracle import ORACLES
from tests.cases.oracle.node import FACTS, Array, Facts, Node, facts
from tests.cases.table import Case, cases, rows, tables

BACKENDS = ["numpy"] + ([] if missing_native_notice() else ["native"])

Expected = list[dict[int, Array]]
"""For each run the arrays by output index."""


def expected_outputs(case: Case, on: Facts) -> Expected:
    """What the oracle says."""
    state: dict[str, Any] = {}
    result = []
    for run in range(case.runs):
        given = ORACLES[case.table](
            Node(case.op, case.arrays(run), case.attributes, list(case.outputs), on, case.lut_array(), state, case.options)
        )
        outputs = given if isinstance(given, list) else [given]
        assert len(outputs) == len(case.outputs), f"the oracle gives {len(outputs)} outputs"
        result.append(
            {i: Array(y.shape, y.values, r.dtype) for i, (y, r) in enumerate(zip(outputs, case.outputs, strict=True)) if r}
        )
    return result


def make_file(case: Case, on: Facts, expected: Expected) -> File:
    shapes = [expected[0][i].shape if i in expected[0] else None for i in range(len(case.outputs))]
    return build(case, on.lanes(1 if case.dtype == "int8" else 2), shapes, BUILDERS.get(case.table, one_node))


def run_and_check(case: Case, file: File, on: Facts, arithmetic: str, expected: Expected) -> int:
    """Both backends; how many elements are within the tolerance but not equal."""
    off = 0
    for backend in BACKENDS:
        model = Model(file.model, target=on.target, arithmetic=arithmetic, backend=backend, **case.options)
        for run, (feed, arrays) in enumerate(zip(file.feeds, expected, strict=True)):
            got = model.run_arrays(feed)
            for index, array in arrays.items():
                where = f"{case.id} on {on.target}, {arithmetic}, {backend}, run {run}, output {index}"
                off += check(case, array, got[f"y{index}"], where)
    return off


@pytest.mark.parametrize("case", [case for table in tables() for case in cases(table)], ids=lambda case: case.id)
def test_case(case: Case, record_property: Callable[[str, object], None]) -> None:
    known: dict[object, Expected] = {}
    files: dict[int, File] = {}
    off = 0
    for arithmetic in case.arithmetic:
        for target in case.targets:
            on = facts(target, arithmetic)
            # without the vector unit only the rounding of a chip matters
            key = (on.rounding, target if on.silicon else "")
            if key not in known:
                known[key] = expected_outputs(case, on)
            order = on.vector_bytes if case.is_packed else 0
            if order not in files:
                files[order] = make_file(case, on, known[key])
            off += run_and_check(case, files[order], on, arithmetic, known[key])
    for target in case.differs:
        silicon, reference = (expected_outputs(case, facts(target, arithmetic)) for arithmetic in ("silicon", "reference"))
        assert silicon != reference, f"on {target} both arithmetics give the same"
    if off:
        record_property("elements_beside_the_oracle", f"{off}: {case.reason}")


def test_every_operator_has_a_table() -> None:
    ours = {op for op, module_type in MODULE_TYPES.items() if module_type.__module__.startswith("espdl.")}
    assert sorted((ours | set(COUNTS)) - set(tables())) == []
    assert sorted(set(tables()) - ours - set(COUNTS)) == []


@pytest.mark.parametrize("table", tables())
def test_tables_are_long_enough(table: str) -> None:
    assert table in ORACLES
    assert len(rows(table)) >= least(table)


def test_the_facts_of_the_chips() -> None:
    for target, (rounding, vector_bytes) in FACTS.items():
        assert (CHIPS[target].rounding.value, CHIPS[target].vector_bytes) == (rounding, vector_bytes)


def test_data_depends_on_names_only() -> None:
    case = cases("Add")[0]
    first, again = case.arrays(), case.arrays()
    assert [a and a.values for a in first] == [a and a.values for a in again]
    assert np.unique(cases("Add")[0].arrays()[0].values).size > 1
