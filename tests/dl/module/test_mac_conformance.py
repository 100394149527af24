"""Conv, Gemm and MatMul files with embedded test values, in both arithmetics: none of them leaves an accumulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from espdl.dl import Model
from espdl.dtypes import Arithmetic


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("op_type", ["Conv", "Gemm", "MatMul"])
@pytest.mark.parametrize("arithmetic", list(Arithmetic))
def test_embedded_values(conformance: Path, target: str, op_type: str, arithmetic: Arithmetic) -> None:
    files = sorted((conformance / "ops" / target / op_type).glob("*.espdl"))
    if not files:
        pytest.skip(f"no {op_type} files for {target}")
    failed = [file.name for file in files if not Model(file, target=target, arithmetic=arithmetic).test()]
    assert failed == []
