"""Blocks: where they begin and end, and in which order they run; tensors kept between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.quantize.graphs import network, op, weights
from tests.quantize.train.networks import quantized

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch


def residual() -> onnx.ModelProto:
    """A layer, two branches of it that meet in an Add, a layer, a Softmax."""
    nodes = [
        op("Conv", "x k0", "c0"),
        op("Relu", "c0", "r0"),
        op("Conv", "r0 k1", "c1"),
        op("Add", "r0 c1", "a"),
        op("GlobalAveragePool", "a", "p"),
        op("Flatten", "p", "f"),
        op("Gemm", "f w", "g"),
        op("Softmax", "g", "y"),
    ]
    constants = {"k0": weights(4, 3, 3, 3), "k1": weights(4, 4, 1, 1), "w": weights(4, 5)}
    return network(nodes, {"x": (1, 3, 8, 8)}, constants)


def blocks(size: int, interested: tuple[str, ...] = ()) -> list[tuple[bool, list[str]]]:
    from espdl.quantize.train.blocks import build_blocks
    from espdl.quantize.train.executor import QuantExecutor

    found = build_blocks(QuantExecutor(quantized(residual()).graph), size, interested)
    return [(block.is_trained, [step.node.op_type for step in block.steps]) for block in found]


def test_a_block_ends_where_branches_meet_or_where_it_is_long_enough() -> None:
    everything = ["Conv", "Relu", "Conv", "Add", "GlobalAveragePool", "Flatten", "Gemm"]
    assert blocks(9) == [(True, everything), (False, ["Softmax"])]
    assert blocks(3)[0] == (True, ["Conv", "Relu", "Conv", "Add", "GlobalAveragePool", "Flatten"])
    assert [members for _, members in blocks(0)] == [
        ["Conv", "Relu"],
        ["Conv", "Add", "GlobalAveragePool", "Flatten"],
        ["Gemm"],
        ["Softmax"],
    ]


def test_only_blocks_of_interest_are_trained() -> None:
    assert [trained for trained, _ in blocks(0, ("Conv_c1",))] == [False, True, False, False]


@pytest.mark.parametrize("limit", [10**9, 0])
def test_tensors_are_kept_in_memory_or_on_disk(limit: int) -> None:
    from espdl.quantize.train.collect import Stream

    values = [torch.full((1, 2, 3), float(index)) for index in range(5)]
    with Stream(5, torch.device("cpu"), limit) as stream:
        for index, value in enumerate(values):
            stream.put("a/b", index, value)
            stream.put("flat", index, value[0])
        assert torch.equal(stream.get("a/b", [3, 1]), torch.cat([values[3], values[1]]))
        assert torch.equal(stream.get("flat", [4]), values[4][0])
        assert stream.has_batches(["a/b"]) and not stream.has_batches(["a/b", "flat"])
        stream.keep_only(["flat"])
        assert stream.names == ["flat"]


@pytest.mark.parametrize("limit", [10**9, 0])
def test_samples_are_kept_in_memory_or_on_disk(limit: int) -> None:
    from espdl.quantize.train.samples import SampleStore

    given = [{"x": np.full((1, 2), index, np.float32), "_y": np.array([index])} for index in range(3)]
    with SampleStore(limit) as store:
        assert list(store.recorded(iter(given))) == given
        again = list(store)
        folder = None if store._folder is None else Path(store._folder.name)
    assert len(again) == 3 and all((a[n] == b[n]).all() for a, b in zip(again, given, strict=True) for n in b)
    assert (folder is not None) == (limit == 0)
    assert folder is None or not folder.exists()
