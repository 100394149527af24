"""Random products of computed matrices for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from espdl.chips import Accumulator, Overflow, Packing
from espdl.dl.base import Kernels, LaneOverflows, LaneRule, MacFilter
from espdl.dl.base.products import Product, worst_weights
from espdl.fbs.packing import PackingTag, matmul_columns
from espdl.rounding import Rounding
from tests.dl.base.draws import INT8, INT16, values

KINDS = ("full", "ends", "small", "lowest")
TAGS = (None, PackingTag(Packing.PLAIN), PackingTag(Packing.BLOCKED, 16), PackingTag(Packing.BLOCKED, 8))


class Case:
    """A product with its arrays."""

    def __init__(self, product: Product, a: np.ndarray, b: np.ndarray) -> None:
        self.product, self.a, self.b = product, a, b

    def run(self, kernels: Kernels) -> tuple[np.ndarray, LaneOverflows]:
        product = self.product
        out = np.full((len(product.pairs), product.rows, product.columns), 99, product.rule.output_dtype)
        kernel = kernels.product(product)
        step = kernel.step(self.a, self.b, out)
        step()
        first, counted = out.copy(), kernel.lane_overflows
        step()
        np.testing.assert_array_equal(out, first)
        assert kernel.lane_overflows == counted
        return out, counted


def a_case(
    rng: np.random.Generator,
    size: tuple[int, int, int],
    pairs: list[tuple[int, int]],
    *,
    types: tuple[np.dtype, np.dtype, np.dtype] = (INT8, INT8, INT8),
    kinds: tuple[str, str] = ("full", "full"),
    tag: PackingTag | None = None,
    shift: object = 8,
    rounding: Rounding = Rounding.HALF_EVEN,
    relu: bool = False,
    lanes: tuple[LaneRule, ...] = (),
) -> Case:
    rows, k, n = size
    rule = MacFilter(
        weights=worst_weights((1, 1, k, n), types[1]),
        depthwise=False,
        bias=None,
        shift=np.atleast_1d(np.asarray(shift, np.int64)),
        rounding=rounding,
        relu=relu,
        input_dtype=types[0],
        output_dtype=types[2],
        lanes=lanes,
    )
    a = values(rng, (max(left for left, _ in pairs) + 1, rows, k), types[0], kinds[0])
    b = values(rng, (max(right for _, right in pairs) + 1, k, n), types[1], kinds[1])
    return Case(Product(rule, rows, tuple(pairs), *matmul_columns(k, n, tag)), a, b)


@st.composite
def drawn(draw: st.DrawFn, extents: st.SearchStrategy[int], *, with_lanes: bool = True) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, k, n = draw(st.integers(1, 40)), draw(extents), draw(extents)
    lefts, rights = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    pairs = draw(st.lists(st.tuples(st.integers(0, lefts - 1), st.integers(0, rights - 1)), min_size=1, max_size=5))
    types = draw(st.sampled_from([(INT8, INT8), (INT16, INT16), (INT16, INT8), (INT8, INT16)]))
    lanes: tuple[LaneRule, ...] = ()
    if with_lanes and draw(st.booleans()):
        accumulator = st.builds(
            Accumulator,
            bits=st.sampled_from([14, 17, 20, 31, 32, 36, 40]),
            overflow=st.sampled_from([Overflow.SATURATE, Overflow.SATURATE, Overflow.WRAP]),
            every=st.sampled_from([1, 1, 8, 16]),
        )
        split = draw(st.integers(0, n))
        lanes = (LaneRule(0, split, draw(accumulator)), LaneRule(split, n, draw(accumulator)))
    return a_case(
        rng,
        (rows, k, n),
        pairs,
        types=(*types, draw(st.sampled_from([INT8, INT16]))),
        kinds=(draw(st.sampled_from(KINDS)), draw(st.sampled_from(KINDS))),
        tag=draw(st.sampled_from(TAGS)),
        shift=rng.integers(draw(st.sampled_from([-3, 0])), draw(st.sampled_from([12, 34])), size=draw(st.sampled_from([1, n]))),
        rounding=draw(st.sampled_from(list(Rounding))),
        relu=draw(st.booleans()),
        lanes=lanes,
    )
