"""Both backends, and random multiply-accumulate operators."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from espdl.dl.base import Kernels, get_kernels, missing_native_notice


@pytest.fixture(params=["numpy", "native"], scope="session")
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Each backend in turn; the native one is skipped where it was not built."""
    if request.param == "native" and missing_native_notice():
        pytest.skip(missing_native_notice())
    return get_kernels(request.param)


def isas() -> list[str]:
    """Instruction sets of this machine; none where the native backend was not built."""
    if missing_native_notice():
        return []
    from espdl.dl.base import _native

    return _native.isas()


@pytest.fixture(params=isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine in turn."""
    from espdl.dl.base import _native

    before = _native.ISA
    _native.set_isa(request.param)
    yield request.param
    _native.set_isa(before)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    from espdl.dl.base import _native

    before = _native.threads()
    _native.set_threads(request.param)
    yield request.param
    _native.set_threads(before)
