"""The fixture ``espdl_budget``, in a pytest run of its own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.models import small_file

pytest_plugins = ["pytester"]
PLUGIN = "espdl.report.pytest_plugin"
OPTIONS = ("-p", "no:espdl", "-p", PLUGIN, "-p", "no:cacheprovider")
"""With the plugin once, whether espdl is installed or not."""


def test_budgets_pass_and_fail(pytester: pytest.Pytester) -> None:
    (pytester.path / "small.espdl").write_bytes(small_file("esp32s3", metadata=True))
    pytester.makepyfile(
        """
        import pytest
        from espdl.errors import EspdlError

        def test_kept(espdl_budget):
            budget = espdl_budget("small.espdl", module="N16R8", max_latency_ms=50, max_psram="8K", mode="multi", judge="upper")
            assert budget.kept and budget.latency.module.name == "N16R8"

        def test_broken(espdl_budget):
            espdl_budget("small.espdl", max_psram=16)

        def test_unknown(espdl_budget):
            with pytest.raises(EspdlError, match="has no 'max_speed'"):
                espdl_budget("small.espdl", max_speed=1)
        """
    )
    result = pytester.runpytest_inprocess(*OPTIONS)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "small.espdl: PSRAM *, limit: at most 0.0 KB (exact plan)",
            "*espdl budgets*",
            "kept   small.espdl: latency, upper end * ms, limit: at most 50 ms*",
            "BROKEN small.espdl: PSRAM *",
        ]
    )


def test_a_run_without_budgets_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_inprocess(*OPTIONS)
    assert "espdl budgets" not in result.stdout.str()


def test_pytest_finds_the_plugin() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"espdl": PLUGIN}
