"""What the oracles of float and table operators stand on, against examples worked out by hand; and that no oracle leans on the code."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest

from tests.cases.oracle.floats import divide, expf, logf, sigmoid, sqrt_newton, sqrtf, tanh, total
from tests.cases.oracle.movement import mirrored, taken
from tests.cases.oracle.node import Array
from tests.cases.oracle.rounding import fl32
from tests.cases.oracle.rows import groups
from tests.cases.oracle.tables import between, nearest


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "oracle").glob("*.py")), ids=lambda path: path.stem)
def test_no_oracle_imports_the_code_or_numpy(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in names} & {"espdl", "numpy", "onnx", "onnxruntime"}


def test_functions_of_binary32() -> None:
    assert (expf(0.0), expf(88.0), expf(89.0), expf(1000.0), expf(-104.0)) == (1.0, fl32(math.exp(88)), math.inf, math.inf, 0.0)
    assert (logf(1.0), logf(0.0), logf(math.inf)) == (0.0, -math.inf, math.inf)
    assert math.isnan(logf(-1.0)) and math.isnan(sqrtf(-1.0)) and math.isnan(divide(0.0, 0.0))
    assert (divide(1.0, 0.0), divide(-1.0, 0.0), divide(1.0, 3.0)) == (math.inf, -math.inf, fl32(1 / 3))
    assert (sigmoid(0.0), tanh(0.0), sigmoid(-200.0)) == (0.5, 0.0, 0.0)
    assert tanh(0.5) == pytest.approx(math.tanh(0.5), abs=1e-7)


def test_sums_in_binary32_depend_on_the_order() -> None:
    assert total([2.0**24, 1.0, 1.0]) == 2.0**24
    assert total([1.0, 1.0, 2.0**24]) == 2.0**24 + 2


def test_the_iteration_ends_early_for_small_numbers() -> None:
    assert (sqrt_newton(0.0), sqrt_newton(4.0)) == (0.0, 2.0)
    assert 7e-6 < sqrt_newton(1e-14) < 1e-5  # the root is 1e-7: the last step halved 1.5e-5


def test_tables_with_a_step() -> None:
    entries = [0, 10, -11, 5]
    assert [nearest(entries, 4, place, True) for place in (1, 2, 3, 5, 6, 7)] == [0, 10, 10, 10, -11, -11]
    assert [nearest(entries, 4, place, False) for place in (2, 6, 10)] == [0, -11, -11]
    assert [between(entries, 4, place) for place in (0, 1, 3, 5, 7)] == [0, 2, 7, 5, -5]  # 10 - 5.25 is cut to 10 - 5


def test_places() -> None:
    assert taken(5, -2, 100, 1) == [3, 4]
    assert taken(5, 100, -100, -2) == [4, 2, 0]
    assert taken(5, 3, 0, -1) == [3, 2, 1]
    assert [mirrored(place, 4) for place in range(-3, 7)] == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


def test_groups_are_in_the_order_of_memory() -> None:
    assert groups(Array((2, 2, 2), range(8)), [0, 2]) == [[0, 1, 4, 5], [2, 3, 6, 7]]
