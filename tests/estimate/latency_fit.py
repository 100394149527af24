"""The scripts under ``benchmarks/latency``, as modules."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import espdl

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "latency"
COSTS = Path(espdl.__file__).parent / "estimate" / "costs.toml"


def script(name: str) -> ModuleType:
    """``fit_latency`` or ``workloads``, imported as a run of it would."""
    with mock.patch.object(sys, "path", [str(FOLDER), *sys.path]):
        return importlib.import_module(name)
