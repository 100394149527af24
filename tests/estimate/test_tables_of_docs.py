"""The tables of docs/memory-and-latency.md are what the scripts print."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.estimate.latency_fit import script

PAGE = ROOT / "docs" / "memory-and-latency.md"


def table(name: str) -> str:
    match = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return match[1]


def test_latencies() -> None:
    fit_latency = script("fit_latency")
    assert table("latencies") == fit_latency.markdown(fit_latency.fit_all()), (
        "python benchmarks/latency/fit_latency.py --markdown"
    )


def test_arenas(conformance: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    assert table("arenas") == importlib.import_module("arenas").markdown(conformance / "models"), "python benchmarks/arenas.py"
