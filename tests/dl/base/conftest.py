"""Both backends, and random multiply-accumulate operators."""

from __future__ import annotations

import pytest

from espdl.dl.base import Kernels, get_kernels, missing_native_notice


@pytest.fixture(params=["numpy", "native"], scope="session")
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Each backend in turn; the native one is skipped where it was not built."""
    if request.param == "native" and missing_native_notice():
        pytest.skip(missing_native_notice())
    return get_kernels(request.param)
