"""What ``import espdl`` costs, and that the public names are there."""

from __future__ import annotations

import re
import subprocess
import sys

import espdl
from tests.conftest import ROOT

HEAVY = ("numpy", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "torch", "PIL", "rich", "cyclopts", "sklearn")
FORBIDDEN_IN_RUNTIME = ("onnx", "onnx_ir", "onnxscript", "onnxruntime", "torch", "sklearn")


def run_python(code: str) -> str:
    environment = {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


def test_import_is_light_and_fast() -> None:
    best = min(
        float(run_python("import time; t = time.perf_counter(); import espdl; print(time.perf_counter() - t)")) for _ in range(3)
    )
    assert best < 0.3
    assert run_python(f"import sys, espdl; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


def test_running_a_model_needs_no_onnx() -> None:
    assert run_python(f"import sys, espdl; espdl.Model; print([m for m in {FORBIDDEN_IN_RUNTIME} if m in sys.modules])") == "[]"


def test_help_loads_no_verb() -> None:
    code = "import sys; from espdl.cli import main; main(['--help']); print([m for m in ('numpy', 'onnx') if m in sys.modules])"
    output = run_python(code)
    assert output.endswith("[]")
    for verb in ("check", "quantize", "run", "test", "profile", "inspect", "demo", "doctor"):
        assert verb in output


def test_public_names() -> None:
    assert set(espdl.__all__) == set(espdl._HOMES)
    for name in espdl.__all__:
        assert getattr(espdl, name) is not None
        assert name in dir(espdl)


def test_version_is_that_of_the_package() -> None:
    declared = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None
    assert espdl.__version__ == declared[1]
