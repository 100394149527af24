"""Products of computed matrices of both backends against whole-matrix arithmetic."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from espdl.dl.base import Kernels, LaneOverflows
from espdl.fbs.packing import PackingTag, matmul_columns, pack_matmul, unpack_matmul
from espdl.rounding import saturate, shift_and_round
from tests.dl.base.product_draws import TAGS, Case, drawn


@given(k=st.integers(1, 40), n=st.integers(1, 70), tag=st.sampled_from(TAGS))
def test_columns_are_where_packing_puts_them(k: int, n: int, tag: PackingTag | None) -> None:
    starts, steps = matmul_columns(k, n, tag)
    order = starts + np.arange(k)[:, None] * steps
    matrix = np.arange(k * n).reshape(k, n)
    packed = matrix.reshape(-1) if tag is None else pack_matmul(matrix, tag.packing, tag.lanes)
    np.testing.assert_array_equal(packed[order], matrix)
    if tag is not None:
        np.testing.assert_array_equal(order, unpack_matmul(np.arange(k * n), (k, n), tag))


@given(case=drawn(st.integers(1, 12), with_lanes=False))
@settings(deadline=None, max_examples=60)
def test_without_lanes_a_product_is_that_of_numpy(kernels: Kernels, case: Case) -> None:
    product, rule = case.product, case.product.rule
    out, overflows = case.run(kernels)
    order = product.starts + np.arange(product.depth)[:, None] * product.steps
    for result, (left, right) in zip(out, product.pairs, strict=True):
        sums = case.a[left].astype(np.int64) @ case.b[right].reshape(-1)[order].astype(np.int64)
        expected = shift_and_round(sums, np.broadcast_to(rule.shift, (product.columns,)), rule.rounding)
        expected = np.maximum(expected, 0) if rule.relu else expected
        np.testing.assert_array_equal(result, saturate(expected, rule.output_dtype))
    assert overflows == LaneOverflows()
