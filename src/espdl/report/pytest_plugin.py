"""A pytest plugin: the fixture ``espdl_budget`` fails a test whose model breaks a limit.

::

    def test_gesture_model(espdl_budget):
        espdl_budget("gesture.espdl", module="N16R8", max_latency_ms=80, max_psram="1M", min_top1=0.9, data="test.npz")
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from espdl.report.budget import Budget

_results = pytest.StashKey[list["Budget"]]()


@pytest.fixture
def espdl_budget(request: pytest.FixtureRequest) -> Callable[..., Budget]:
    """Checks a model against limits and fails the test with one line for each that is broken.

    Call it as ``espdl_budget(file, *, target, module, max_latency_ms, max_internal, max_psram, max_flash, min_top1, fits, data, ...)``:
    the fields of :class:`espdl.report.budget.Limits` and :class:`~espdl.report.budget.Conditions`, sizes in bytes or as ``"4M"``. It
    returns the :class:`~espdl.report.budget.Budget`. Figures of all budgets stand at the end of the run.
    """
    from espdl.report.budget import check_budget

    def check(file: str | os.PathLike[str], **given: Any) -> Budget:
        limits, conditions = _split(given)
        budget = check_budget(file, limits, conditions)
        request.config.stash.setdefault(_results, []).append(budget)
        for row in budget.rows:
            request.node.user_properties.append((f"{budget.model}: {row.name}", row.text))
        if not budget.kept:
            pytest.fail(budget.summary(), pytrace=False)
        return budget

    return check


def _split(given: dict[str, Any]) -> tuple[Any, Any]:
    from dataclasses import fields

    from espdl.dtypes import RuntimeMode
    from espdl.errors import EspdlError
    from espdl.report.budget import Conditions, Limits
    from espdl.sizes import parse_size

    known = {field.name for field in fields(Limits)}, {field.name for field in fields(Conditions)}
    if unknown := given.keys() - known[0] - known[1]:
        raise EspdlError(f"a budget has no {sorted(unknown)[0]!r}", hint="known are " + ", ".join(sorted(known[0] | known[1])))
    for name in ("max_internal", "max_psram", "max_flash"):
        if given.get(name) is not None:
            given[name] = parse_size(given[name], fractions=True)
    if "mode" in given:
        given["mode"] = RuntimeMode.parse(given["mode"])
    limits, conditions = ({key: value for key, value in given.items() if key in names} for names in known)
    return Limits(**limits), Conditions(**conditions)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what the budgets of this run found."""
    budgets = terminalreporter.config.stash.get(_results, [])
    if not budgets:
        return
    terminalreporter.section("espdl budgets")
    for budget in budgets:
        for row in budget.rows:
            terminalreporter.line(f"{'kept' if row.kept else 'BROKEN':6} {budget.model}: {row.sentence()}")
