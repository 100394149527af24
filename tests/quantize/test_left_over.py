"""Memory of networks that nobody needs any more is freed, but not at every one."""

from __future__ import annotations

import gc
import weakref

import onnx_ir as ir
import pytest

from espdl.quantize import left_over
from espdl.quantize.importer import load_network
from tests.quantize.graphs import network, op, weights


class Circle:
    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(left_over._SinceCollection, "size", 0)
    gc.disable()
    yield
    gc.enable()


def of_bytes(size: int) -> ir.Model:
    return load_network(network([op("Gemm", "x w", "y")], {"x": (1, 4)}, {"w": weights(4, size // 16)}))


def left() -> weakref.ref[Circle]:
    return weakref.ref(Circle())


def test_networks_free_what_was_left_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_over, "OFTEN", 1024)
    freed = []
    for _ in range(6):
        circle = left()
        left_over.free_left_over(of_bytes(512))
        freed.append(circle() is None)
    assert freed == [False, False, True, False, True, False]
