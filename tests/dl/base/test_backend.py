"""Choosing a backend."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator

import pytest

from espdl.dl.base import ENVIRONMENT, backend, get_kernels, missing_native_notice
from espdl.errors import EspdlError


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No backend chosen yet and none asked for."""
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    caches = (backend._default_kernels, backend._native_kernels)
    for cache in caches:
        cache.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def no_extension(forgetful: pytest.MonkeyPatch) -> None:
    """As if the package had been installed without a compiler."""
    forgetful.setattr(importlib.util, "find_spec", lambda name: None)


def test_numpy_is_always_there() -> None:
    assert get_kernels("numpy").name == "numpy"


def test_the_environment_chooses(forgetful: pytest.MonkeyPatch) -> None:
    forgetful.setenv(ENVIRONMENT, "numpy")
    assert get_kernels().name == "numpy"
    forgetful.setenv(ENVIRONMENT, "cuda")
    with pytest.raises(EspdlError, match="no backend 'cuda'"):
        get_kernels()


def test_native_is_the_default_where_it_was_built(forgetful: pytest.MonkeyPatch) -> None:
    if missing_native_notice():
        pytest.skip(missing_native_notice())
    assert get_kernels().name == "native"


@pytest.mark.usefixtures("no_extension")
def test_without_the_extension_numpy_serves_with_one_notice() -> None:
    with pytest.warns(RuntimeWarning, match="slow NumPy kernels"):
        assert get_kernels().name == "numpy"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_kernels().name == "numpy"


@pytest.mark.usefixtures("no_extension")
def test_asking_for_native_without_the_extension_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "native")
    with pytest.raises(EspdlError, match="native backend is not available"):
        get_kernels()
