"""``espdl ops``."""

from __future__ import annotations

import re

import numpy as np
import pytest

from espdl.chips import CHIPS
from espdl.dl.base import kernel_names, native_kernel_names
from espdl.dl.module import MODULE_TYPES, Module
from espdl.report.kernel_use import kernels_of
from espdl.report.operators import OperatorSupport, describe_operator, supported_operators
from espdl.report.operators_text import markdown
from tests.cli.conftest import Command
from tests.conftest import ROOT


def ours() -> list[OperatorSupport]:
    """The package's operators, without those that other tests define."""
    return [operator for operator in supported_operators() if MODULE_TYPES[operator.name].__module__.startswith("espdl.")]


def test_table_lists_every_operator_in_100_columns(espdl: Command) -> None:
    result = espdl("ops")
    assert result.code == 0
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert {line.split()[0] for line in lines[2:] if " all" in line or " none" in line} >= MODULE_TYPES.keys(), (
        "no name is cut or folded"
    )
    assert f"{len(MODULE_TYPES)} operators" in result.out


def test_types_ranks_and_limits_are_the_contract(espdl: Command) -> None:
    found = {row["name"]: row for row in espdl("ops", "--json").json["operators"]}
    assert found.keys() == MODULE_TYPES.keys()
    assert found["Conv"]["dtypes"] == ["int8", "int16", "w8a16"]
    assert found["Conv"]["ranks"] == [3, 4]
    assert found["Resize"]["dtypes"] == ["int8"]
    assert found["Softmax"]["dtypes"] == ["int8", "int16", "float32"]
    assert found["Conv"]["per_channel"] == [chip.name for chip in CHIPS.values() if chip.per_channel_weights]
    assert found["Add"]["chips"] == list(CHIPS)
    for name, module in MODULE_TYPES.items():
        assert [limit["text"] for limit in found[name]["limits"]] == [limit.text for limit in module.contract.limits]


def test_one_operator_in_words(espdl: Command) -> None:
    result = espdl("ops", "--op", "conv")
    assert result.code == 0
    for limit in MODULE_TYPES["Conv"].contract.limits:
        assert limit.text in result.out
        assert f"else: {limit.remedy}" in result.out
    for text in ("fused with bias", "int8, int16, w8a16", "[N, H, W, C]", "conv2d (", "esp32p4"):
        assert text in result.out
    assert max(map(len, result.out.splitlines())) <= 100
    assert "No limits" in espdl("ops", "--op", "Relu").out


def test_what_a_firmware_must_have_is_told(espdl: Command) -> None:
    table = espdl("ops").out
    assert re.search(r"^Attention .* all\+ ", table, re.MULTILINE)
    assert re.search(r"^Erf .* none ", table, re.MULTILINE)
    assert MODULE_TYPES["Attention"].contract.availability.value in " ".join(espdl("ops", "--op", "Attention").out.split())
    assert espdl("ops", "--op", "Erf", "--json").json["operators"][0]["chips"] == []
    assert "firmware" not in espdl("ops", "--op", "Conv").out


def test_unknown_operator_is_1_and_names_the_nearest(espdl: Command) -> None:
    result = espdl("ops", "--op", "Covn")
    assert result.code == 1
    assert "Conv" in result.err


def test_every_limit_has_a_remedy_and_every_operator_a_sentence() -> None:
    for operator in ours():
        assert operator.does.endswith("."), operator.name
        assert "``" not in operator.does and "spec" not in operator.does
        assert all(limit.remedy for limit in operator.limits), operator.name


def test_kernels_are_read_from_the_code() -> None:
    class Plain(Module):
        """Computes by itself."""

        def float_forward(self, x: np.ndarray) -> np.ndarray:
            return x

    class Moving(Module):
        """Asks for a kernel in a nested function."""

        def bind(self, inputs, outputs, machine):  # type: ignore[no-untyped-def]
            def step() -> None:
                machine.kernels.move_step([(outputs[0].data, inputs[0].data)])()

            return step

    assert kernels_of(Plain) == frozenset()
    assert kernels_of(Moving) == {"move_step"}
    assert kernels_of(MODULE_TYPES["Conv"]) == {"conv2d"}
    assert kernels_of(MODULE_TYPES["Sigmoid"]) == {"lookup_step"}, "through a function that operators share"
    assert describe_operator("Plain", Plain).kernel_text == "numpy"


def test_native_kernels_are_asked_from_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native_kernel_names() <= kernel_names()
    monkeypatch.setattr("espdl.report.operators.native_kernel_names", lambda: frozenset({"gather_step", "move_step"}))
    assert describe_operator("Pad", MODULE_TYPES["Pad"]).kernel_text == "native"
    assert describe_operator("Resize", MODULE_TYPES["Resize"]).kernel_text == "both"
    assert describe_operator("Conv", MODULE_TYPES["Conv"]).kernel_text == "numpy"


def test_markdown_has_a_row_and_a_section_for_every_operator(espdl: Command) -> None:
    page = espdl("ops", "--markdown").out
    for name in MODULE_TYPES:
        assert f"\n| {name} |" in page
        assert f"\n### {name}\n" in page


def test_the_page_in_docs_is_current() -> None:
    if not native_kernel_names():
        pytest.skip("the column of kernels needs the native backend, which was not built here")
    text = (ROOT / "docs/operators.md").read_text(encoding="utf-8")
    assert text == markdown(ours()), "run make docs-operators"
