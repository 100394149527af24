"""Attention against the oracle, onnxruntime, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from espdl.dtypes import Arithmetic
from espdl.errors import EspdlError
from espdl.rounding import Rounding, dequantize, quantize
from tests.cases.oracle.attention import attention8, attention16, logit_of
from tests.dl.module.harness import machine, make, run, tensor

INTEGER = machine("esp32p4")


def draw(seed: int, dtype: Any, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, dtype, endpoint=True)


def expected(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None, scale: float, exponents: tuple[int, ...]
) -> Any:
    """The oracle on every head; ``mask`` additive, of the full shape."""
    attention = attention8 if q.dtype == np.int8 else attention16
    result = np.empty(q.shape, np.int64)
    group = q.shape[1] // k.shape[1]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            operands = [q[b, h].tolist(), k[b, h // group].tolist(), v[b, h // group].tolist()]
            rows = None if mask is None else np.broadcast_to(mask, (*q.shape[:3], k.shape[2]))[b, h].tolist()
            result[b, h] = attention(*operands, rows, logit_of(scale, *exponents[:2]), *exponents[2:])
    return result


CASES = [
    # batch, heads of Q, of K and V, queries, keys, depth, exponents of Q, K, V and Y
    (1, 2, 2, 5, 16, 8, (-5, -5, -6, -6)),
    (1, 1, 1, 3, 70, 5, (-7, -6, -7, -7)),
    (2, 4, 2, 2, 130, 16, (-6, -7, -5, -5)),
    (1, 3, 1, 4, 64, 1, (-4, -4, -7, -8)),
    (1, 1, 1, 3, 65, 64, (-3, -3, -3, -3)),
    (1, 1, 1, 3, 9, 7, (-20, -20, 0, 0)),
    (1, 1, 1, 4, 150, 3, (1, 0, 3, 3)),
]


@pytest.mark.parametrize("dtype", [np.int8, np.int16], ids=["int8", "int16"])
@pytest.mark.parametrize("case", CASES)
def test_integers(case: tuple[Any, ...], dtype: Any) -> None:
    batch, heads, kv_heads, queries, keys, depth, exponents = case
    if dtype == np.int16:
        exponents = tuple(exponent - 8 for exponent in exponents)
    q = draw(1, dtype, batch, heads, queries, depth)
    k, v = (draw(seed, dtype, batch, kv_heads, keys, depth) for seed in (2, 3))
    inputs = [tensor(array, exponent) for array, exponent in zip((q, k, v), exponents, strict=False)]
    for scale in (0.125, 0.3535533845424652):
        wanted = expected(q, k, v, None, scale, exponents)
        for arithmetic in Arithmetic:
            on = machine("esp32p4", arithmetic)
            result = run(make("Attention", scale=scale), *inputs, exponent=exponents[3], on=on)
            assert np.array_equal(result, wanted)


@pytest.mark.parametrize("dtype", [np.int8, np.int16], ids=["int8", "int16"])
@pytest.mark.parametrize("shape", [(2, 4, 3, 70), (1, 1, 3, 70), (70,), (4, 1, 70)])
def test_masks(dtype: Any, shape: tuple[int, ...]) -> None:
    exponents = (-6, -6, -6, -6) if dtype == np.int8 else (-14, -13, -14, -14)
    q, k, v = draw(4, dtype, 2, 4, 3, 8), draw(5, dtype, 2, 2, 70, 8), draw(6, dtype, 2, 2, 70, 8)
    rng = np.random.default_rng(7)
    added = rng.normal(scale=3, size=shape).astype(np.float32)
    added[rng.random(shape) < 0.3] = -np.inf
    added.reshape(-1, 70)[0, :66] = -np.inf  # a first tile that counts nothing
    seen = rng.random(shape) < 0.6
    inputs = [tensor(array, exponent) for array, exponent in zip((q, k, v), exponents, strict=False)]
    for mask, additive in ((added, added), (seen, np.where(seen, 0, -np.inf))):
        for causal in (0, 1):
            frontier = np.where(np.tri(3, 70, dtype=bool), 0, -np.inf) if causal else np.zeros((3, 70))
            wanted = expected(q, k, v, np.asarray(additive + frontier, np.float32), 0.25, exponents)
            module = make("Attention", scale=0.25, is_causal=causal)
            assert np.array_equal(run(module, *inputs, tensor(mask), exponent=exponents[3], on=INTEGER), wanted)


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
def test_a_query_that_no_key_counts_for_gives_nought(target: str) -> None:
    q, k, v = (tensor(draw(seed, np.int8, 1, 1, 2, 4), -6) for seed in (1, 2, 3))
    mask = tensor(np.array([[False, False], [True, False]]))
    result = run(make("Attention"), q, k, v, mask, exponent=-6, on=machine(target))
    assert not result[0, 0, 0].any()
    assert np.array_equal(result[0, 0, 1], v.data[0, 0, 0])


def test_layout_with_heads_behind_the_sequence() -> None:
    q, k, v = draw(1, np.int8, 1, 4, 5, 8), draw(2, np.int8, 1, 2, 6, 8), draw(3, np.int8, 1, 2, 6, 8)
    usual = run(make("Attention"), *(tensor(array, -5) for array in (q, k, v)), exponent=-5, on=INTEGER)
    moved = [tensor(np.ascontiguousarray(array.swapaxes(1, 2)), -5) for array in (q, k, v)]
    module = make("Attention", layout="bnhd", q_num_heads=4, kv_num_heads=2)
    assert module.get_output_shape([t.shape for t in moved]) == [[1, 5, 4, 8]]
    assert np.array_equal(run(module, *moved, exponent=-5, on=INTEGER).swapaxes(1, 2), usual)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("target", ["c", "esp32s3"])
def test_chips_without_integer_attention_compute_in_float(target: str, dtype: Any) -> None:
    arrays = [draw(seed, dtype, 1, 2, 4, 8) for seed in (1, 2, 3)]
    exponent = 2 - np.iinfo(dtype).bits
    real = make("Attention").float_forward(*(dequantize(array, exponent) for array in arrays))
    assert isinstance(real, np.ndarray)
    result = run(make("Attention"), *(tensor(a, exponent) for a in arrays), exponent=exponent, on=machine(target))
    assert np.array_equal(result, quantize(real, exponent, dtype, Rounding.HALF_UP))


@pytest.mark.parametrize(
    ("heads", "mask", "attributes"),
    [
        ((2, 2), None, {}),
        ((4, 2), None, {"scale": 0.3}),
        ((2, 1), "float", {}),
        ((2, 2), "bool", {"scale": 0.7}),
        ((2, 2), None, {"is_causal": 1}),
    ],
)
def test_float_form_is_that_of_onnx(heads: tuple[int, int], mask: str | None, attributes: dict[str, Any]) -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(3)
    q = rng.normal(size=(2, heads[0], 6, 8)).astype(np.float32)
    k, v = (rng.normal(size=(2, heads[1], 9, 8)).astype(np.float32) for _ in range(2))
    given = {"q": q, "k": k, "v": v}
    if mask is not None:
        given["m"] = rng.normal(size=(6, 9)).astype(np.float32) if mask == "float" else rng.random((6, 9)) < 0.7
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Attention", list(given), ["y"], **attributes)],
        "g",
        [onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in given.items()],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, q.shape)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 23)], ir_version=11)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, given)
    np.testing.assert_allclose(make("Attention", **attributes).float_forward(*given.values()), wanted, rtol=1e-5, atol=1e-5)
    result = run(make("Attention", **attributes), *(tensor(array) for array in given.values()), on=INTEGER)
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)


SHAPE = [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("shapes", "attributes", "text"),
    [
        ([SHAPE, SHAPE], {}, "input 2 is missing"),
        ([[2, 4, 8], SHAPE, SHAPE], {}, "rank 4"),
        ([SHAPE, [1, 2, 5, 8], SHAPE], {}, "do not fit"),
        ([SHAPE, [1, 3, 5, 8], [1, 3, 5, 8]], {}, "do not fit"),
        ([SHAPE, [1, 2, 5, 6], [1, 2, 5, 6]], {}, "do not fit"),
        ([SHAPE, SHAPE, SHAPE, [3, 4]], {}, "does not broadcast"),
        ([SHAPE, SHAPE, SHAPE, [1, 1, 1, 4, 4]], {}, "does not broadcast"),
        ([SHAPE, SHAPE, SHAPE, [], SHAPE], {}, "a cache of keys"),
        ([SHAPE] * 3, {"q_num_heads": 4}, "q_num_heads is 4"),
        ([[1, 1, 1, 129]] * 3, {}, "no firmware takes more"),
        ([[1, 1, 1, 4], [1, 1, 8193, 4], [1, 1, 8193, 4]], {}, "no firmware takes more"),
    ],
)
def test_shapes_that_do_not_fit(shapes: list[list[int]], attributes: dict[str, Any], text: str) -> None:
    with pytest.raises(EspdlError, match=text):
        make("Attention", **attributes).get_output_shape(shapes)


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"softcap": 30.0}, "no softcap"),
        ({"left_window_size": 4}, "no left_window_size"),
        ({"qkv_hidden_sizes": [1]}, "no qkv_hidden_sizes"),
        ({"scale": 0.0}, "positive"),
        ({"scale": math.inf}, "positive"),
        ({"layout": "NBHD"}, "BHND or BNHD"),
    ],
)
def test_attributes_that_chips_do_not_have(attributes: dict[str, Any], text: str) -> None:
    with pytest.raises(EspdlError, match=text):
        make("Attention", **attributes)
    assert make("Attention", softcap=0.0, left_window_size=-1, qk_matmul_output_mode=0, softmax_precision=1)


def test_operands_that_chips_do_not_take() -> None:
    x = tensor(draw(1, np.int8, 1, 1, 2, 4), -6)
    with pytest.raises(EspdlError, match="the mask is int8"):
        run(make("Attention"), x, x, x, tensor(np.ones((2, 2), np.int8)), exponent=-6, on=INTEGER)
    tiny = tensor(x.data, -80)
    with pytest.raises(EspdlError, match="takes its reciprocal"):
        run(make("Attention"), tiny, tiny, x, exponent=-6, on=INTEGER)
