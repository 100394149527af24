"""What ``espdl doctor`` finds out."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from espdl.report import environment


def test_missing_package_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without_onnxruntime(name: str, *arguments: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError("libsomething.so: cannot open shared object file")
        return real(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", without_onnxruntime)
    found = environment.examine()
    assert not found.healthy
    (line,) = [text for text in found.remedies if text.startswith("onnxruntime")]
    assert "libsomething.so" in line
    assert "pip install" in line


def test_old_package_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_minimum_versions", lambda: {"rich": "999.1"})
    found = environment.examine()
    assert not found.healthy
    assert "pip install --upgrade 'rich>=999.1'" in "\n".join(found.remedies)


def test_optional_package_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    real = environment._version
    monkeypatch.setattr(environment, "_version", lambda name: "" if name == "scikit-learn" else real(name))
    found = environment.examine()
    assert found.healthy
    assert any("pip install 'espdl[demo]'" in line for line in found.remedies)
