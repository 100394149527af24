"""Packing of filters: against the index formulas, and there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.chips import Packing
from espdl.errors import EspdlError
from espdl.fbs import (
    FbsLoader,
    FbsModel,
    PackingTag,
    pack_filter,
    pack_matmul,
    packing_doc_string,
    packing_tag,
    parse_packing_tag,
    unpack_filter,
    unpack_matmul,
)

packings = st.sampled_from([(Packing.PLAIN, 1), (Packing.BLOCKED, 8), (Packing.BLOCKED, 16)])
extents = st.integers(1, 4)
channels = st.integers(1, 40)


def numbered(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.int32).reshape(shape)


@given(packings, channels, extents, extents, extents)
def test_filter_against_the_formula(how: tuple[Packing, int], n: int, kh: int, kw: int, c: int) -> None:
    packing, u = how
    ohwi = numbered(n, kh, kw, c)
    packed = pack_filter(ohwi, packing, u)
    blocks = n // u if packing is Packing.BLOCKED else 0
    i, h, w, j = np.indices(ohwi.shape)
    blocked = (((i // u * kh + h) * kw + w) * c + j) * u + i % u
    rest = blocks * u * kh * kw * c + (((i - blocks * u) * kh + h) * kw + w) * c + j
    assert np.array_equal(packed[np.where(i < blocks * u, blocked, rest)], ohwi)
    tag = parse_packing_tag(packing_doc_string(packing_tag(packing, u, n)))
    assert tag is not None
    assert np.array_equal(unpack_filter(packed, (kh, kw, c, n), tag, False), ohwi.transpose(1, 2, 3, 0))
    assert tag.unaligned == (packing is Packing.BLOCKED and n % u != 0)


@given(packings, channels, extents, extents)
def test_depthwise_filter_against_the_formula(how: tuple[Packing, int], n: int, kh: int, kw: int) -> None:
    packing, u = how
    hwn = numbered(kh, kw, n)
    packed = pack_filter(hwn, packing, u, depthwise=True)
    blocks = n // u if packing is Packing.BLOCKED else 0
    h, w, i = np.indices(hwn.shape)
    left = n - blocks * u
    blocked = ((i // u * kh + h) * kw + w) * u + i % u
    rest = blocks * u * kh * kw + (h * kw + w) * left + (i - blocks * u)
    assert np.array_equal(packed[np.where(i < blocks * u, blocked, rest)], hwn)
    tag = parse_packing_tag(packing_tag(packing, u, n, depthwise=True))
    assert tag is not None
    assert np.array_equal(unpack_filter(packed, (kh, kw, n, 1), tag, True), hwn)


@given(packings, channels, extents, extents, st.booleans())
def test_one_dimensional_filters(how: tuple[Packing, int], n: int, kw: int, c: int, depthwise: bool) -> None:
    """They lie as two-dimensional ones of height 1."""
    packing, u = how
    flat = numbered(kw, n) if depthwise else numbered(n, kw, c)
    tall = flat[None] if depthwise else flat[:, None]
    packed = pack_filter(flat, packing, u, depthwise)
    assert np.array_equal(packed, pack_filter(tall, packing, u, depthwise))
    tag = parse_packing_tag(packing_tag(packing, u, n, spatial=1, depthwise=depthwise))
    assert tag is not None
    if depthwise:
        assert np.array_equal(unpack_filter(packed, (kw, n, 1), tag, True), flat)
    else:
        assert np.array_equal(unpack_filter(packed, (kw, c, n), tag, False), flat.transpose(1, 2, 0))


@given(packings, st.lists(st.integers(0, 3), max_size=2), st.integers(0, 9), st.integers(0, 40))
def test_matmul(how: tuple[Packing, int], batch: list[int], k: int, n: int) -> None:
    packing, u = how
    matrices = numbered(*batch, k, n)
    packed = pack_matmul(matrices, packing, u)
    tag = PackingTag(packing, u)
    assert np.array_equal(unpack_matmul(packed, matrices.shape, tag), matrices)
    if matrices.size:
        first = matrices.reshape(-1, k, n)[0]
        assert np.array_equal(packed[: k * n], pack_filter(first.T.reshape(n, 1, 1, k), packing, u))


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("N16HWC16", PackingTag(Packing.BLOCKED, 16)),
        ("N16HWC16_UNALIGNED", PackingTag(Packing.BLOCKED, 16, True)),
        ("N8HWC8", PackingTag(Packing.BLOCKED, 8)),
        ("(N/16)HWC16", PackingTag(Packing.BLOCKED, 16)),
        ("(N/8)HWC8_UNALIGNED", PackingTag(Packing.BLOCKED, 8, True)),
        ("(N/16)WC16", PackingTag(Packing.BLOCKED, 16)),
        ("(N/8)WC8_UNALIGNED", PackingTag(Packing.BLOCKED, 8, True)),
        ("NHWC", PackingTag(Packing.PLAIN, depthwise=False)),
        ("NWC", PackingTag(Packing.PLAIN, depthwise=False)),
        ("HWCN", PackingTag(Packing.PLAIN, depthwise=True)),
        ("WCN", PackingTag(Packing.PLAIN, depthwise=True)),
        ("UNK", None),
        ("HWIO", None),
        ("", None),
    ],
)
def test_tags(tag: str, expected: PackingTag | None) -> None:
    assert parse_packing_tag(packing_doc_string(tag)) == expected
    assert parse_packing_tag(tag) == expected


@pytest.mark.parametrize("tag", ["(N/16)HWC8", "N1HWC1", "(N/0)HWC0", "(N/99999)HWC99999"])
def test_tag_that_contradicts_itself(tag: str) -> None:
    with pytest.raises(EspdlError, match="contradicts itself"):
        parse_packing_tag(tag)


def test_what_cannot_be_unpacked() -> None:
    blocked = PackingTag(Packing.BLOCKED, 16)
    with pytest.raises(EspdlError, match="neither 3 nor 4 dimensions"):
        unpack_filter(np.zeros(4), (2, 2), blocked)
    with pytest.raises(EspdlError, match=r"5 elements do not fill a filter of shape \[1, 1, 2, 2\]"):
        unpack_filter(np.zeros(5), (1, 1, 2, 2), blocked)
    with pytest.raises(EspdlError, match="is not depthwise"):
        unpack_filter(np.zeros(4), (1, 1, 2, 2), blocked, True)
    with pytest.raises(EspdlError, match="contradict each other"):
        unpack_filter(np.zeros(2), (1, 1, 2, 1), PackingTag(Packing.PLAIN, depthwise=True), False)
    with pytest.raises(EspdlError, match="is no matrix"):
        unpack_matmul(np.zeros(2), (2,), blocked)
    with pytest.raises(EspdlError, match="blocks of 1 elements"):
        pack_filter(np.zeros((1, 1, 1, 1)), Packing.BLOCKED, 1)


def unpacked(model: FbsModel, node_name: str) -> np.ndarray | None:
    """The constant filter or matrix of a node in logical order; None where it has none."""
    op_type = model.get_operation_type(node_name)
    weight = model.get_operation_parameter(node_name, 1) if op_type in ("Conv", "Gemm", "MatMul") else None
    tag = parse_packing_tag(weight.doc_string) if weight is not None else None
    if weight is None or tag is None:
        return None
    if op_type == "MatMul":
        return unpack_matmul(weight.data, weight.shape, tag)
    return unpack_filter(weight.data, weight.shape, tag, model.get_operation_attribute(node_name, "group", 1) > 1)


def test_filters_of_one_network_are_the_same_for_every_chip(conformance: Path) -> None:
    """These files were made of the same networks for two chips, so their filters differ in packing only."""
    pairs = 0
    for operator in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Network"):
        for path in sorted((conformance / "ops/c" / operator).glob("*.espdl"))[:40]:
            other = conformance / "ops/esp32s3" / operator / path.name
            if not other.is_file():
                continue
            plain, packed = FbsLoader(path).load(), FbsLoader(other).load()
            for name in plain.topological_sort():
                first, second = unpacked(plain, name), unpacked(packed, name)
                assert (first is None) == (second is None), f"{path.name}: {name}"
                if first is not None:
                    assert np.array_equal(first, second), f"{path.name}: {name}"
                    pairs += 1
    assert pairs > 60
