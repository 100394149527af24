"""Conv, Gemm and MatMul as operators of a file: shapes, packing, exponents, refusals, warnings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from espdl.chips import CHIPS, Packing, get_chip
from espdl.dl.base import get_kernels
from espdl.dl.machine import Machine
from espdl.dl.module.conv import Conv
from espdl.dl.module.gemm import Gemm
from espdl.dl.module.mac import MacModule
from espdl.dl.module.matmul import MatMul
from espdl.dtypes import Arithmetic, DType, QuantType
from espdl.errors import EspdlError
from espdl.fbs.packing import pack_filter, pack_matmul, packing_tag
from espdl.rounding import Rounding, saturate, shift_and_round
from espdl.tensor import TensorBase

CHIP_NAMES = ["c", "esp32s3", "esp32p4"]


def machine(target: str, arithmetic: Arithmetic = Arithmetic.REFERENCE) -> Machine:
    return Machine(get_chip(target), arithmetic, get_kernels("numpy"))


def tensor(values: np.ndarray, exponent: int | list[int] = 0) -> TensorBase:
    return TensorBase(values.shape, values, exponent)


def filter_tensor(ohwi: np.ndarray, target: str, exponent: int | list[int] = 0, *, depthwise: bool = False) -> TensorBase:
    """A filter [N, KH, KW, C] or [N, KW, C], depthwise [KH, KW, N] or [KW, N], as a file for ``target`` holds it."""
    chip = get_chip(target)
    lanes = chip.lanes(ohwi.itemsize)
    dims = [*ohwi.shape, 1] if depthwise else [*ohwi.shape[1:], ohwi.shape[0]]
    result = TensorBase(dims, pack_filter(ohwi, chip.packing, lanes, depthwise).reshape(dims), exponent)
    tag = packing_tag(chip.packing, lanes, ohwi.shape[-1 if depthwise else 0], spatial=len(dims) - 2, depthwise=depthwise)
    result.doc_string = "layout ==> " + tag
    return result


def run(module: MacModule, inputs: list[TensorBase], y_exponent: int, on: Machine) -> np.ndarray:
    constants = [module.parameters[i] for i in sorted(module.parameters) if i >= len(inputs)]
    everything = [*inputs, *constants]
    shape = module.get_output_shape([t.shape for t in everything])[0]
    y = TensorBase(shape, None, y_exponent, inputs[0].dtype)
    module.bind(everything, [y], on)()
    return y.data


def conv(filter: TensorBase, bias: TensorBase | None = None, **attributes: Any) -> Conv:
    parameters = {1: filter} if bias is None else {1: filter, 2: bias}
    return Conv("layer", quant_type=QuantType.SYMM_8BIT, attributes=attributes, parameters=parameters)


def naive_conv(x: np.ndarray, ohwi: np.ndarray, stride: int) -> np.ndarray:
    """Valid convolution of [1, H, W, C] with one stride, exact."""
    n, kh, kw, _ = ohwi.shape
    rows = (x.shape[1] - kh) // stride + 1
    columns = (x.shape[2] - kw) // stride + 1
    out = np.zeros((1, rows, columns, n), np.int64)
    for i in range(rows):
        for j in range(columns):
            patch = x[0, i * stride : i * stride + kh, j * stride : j * stride + kw].astype(np.int64)
            out[0, i, j] = (ohwi.astype(np.int64) * patch).sum(axis=(1, 2, 3))
    return out


@pytest.mark.parametrize("target", CHIP_NAMES)
@pytest.mark.parametrize("channels", [5, 16, 35])
def test_conv_reads_the_packing_of_each_chip(target: str, channels: int) -> None:
    rng = np.random.default_rng(channels)
    x = rng.integers(-128, 128, (1, 6, 7, 3)).astype(np.int8)
    w = rng.integers(-128, 128, (channels, 3, 2, 3)).astype(np.int8)
    bias = rng.integers(-5000, 5000, channels).astype(np.int32)
    module = conv(filter_tensor(w, target, -6), tensor(bias, -10), strides=[2, 2], activation="Relu")
    sums = naive_conv(x, w, 2) + bias
    shifted = shift_and_round(sums, 0 - (-6) - (-4), get_chip(target).rounding)
    np.testing.assert_array_equal(run(module, [tensor(x, -4)], 0, machine(target)), saturate(np.maximum(shifted, 0), np.int8))


@pytest.mark.parametrize("target", CHIP_NAMES)
def test_depthwise_in_one_dimension(target: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (1, 9, 18)).astype(np.int8)
    w = rng.integers(-128, 128, (3, 18)).astype(np.int8)
    module = conv(filter_tensor(w, target, -7, depthwise=True), group=18, pads=[1, 1])
    around = np.pad(x[0].astype(np.int64), ((1, 1), (0, 0)))
    sums = sum(around[k : k + 9] * w[k] for k in range(3))
    expected = saturate(shift_and_round(sums, 7, get_chip(target).rounding), np.int8)
    np.testing.assert_array_equal(run(module, [tensor(x, 0)], 0, machine(target))[0], expected)


def test_one_exponent_per_output_channel() -> None:
    x = np.array([[[[100]]]], np.int8)
    w = np.array([1, 2, 3], np.int8).reshape(3, 1, 1, 1)
    module = conv(filter_tensor(w, "esp32p4", [0, -3, -4]))
    assert run(module, [tensor(x)], 0, machine("esp32p4")).reshape(-1).tolist() == [100, 25, 19]


def test_eight_bit_weights_under_sixteen_bit_activations() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(-32768, 32768, (1, 2, 20)).astype(np.int16)
    w = rng.integers(-128, 128, (11, 20)).astype(np.int8)
    bias = rng.integers(-(2**36), 2**36, 11)
    packed = TensorBase([1, 1, 20, 11], pack_filter(w.reshape(11, 1, 1, 20), Packing.BLOCKED, 8).reshape(1, 1, 20, 11), -5)
    packed.doc_string = "layout ==> (N/8)HWC8_UNALIGNED"
    module = Gemm("fc", quant_type=QuantType.parse("W8A16"), parameters={1: packed, 2: tensor(bias, -5)})
    expected = shift_and_round(x.astype(np.int64) @ w.T + bias, 15, Rounding.HALF_EVEN)
    for arithmetic in Arithmetic:
        result = run(module, [tensor(x)], 10, machine("esp32p4", arithmetic))
        np.testing.assert_array_equal(result, saturate(expected, np.int16))


@pytest.mark.parametrize("target", CHIP_NAMES)
@pytest.mark.parametrize("shape", [(7,), (1, 7), (2, 3, 7), (1, 2, 2, 7)])
def test_gemm_takes_rows_of_any_rank(target: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-128, 128, shape).astype(np.int8)
    w = rng.integers(-128, 128, (19, 7)).astype(np.int8)
    module = Gemm("fc", quant_type=QuantType.SYMM_8BIT, parameters={1: filter_tensor(w.reshape(19, 1, 1, 7), target)})
    expected = saturate(shift_and_round(x.astype(np.int64) @ w.T, 6, get_chip(target).rounding), np.int8)
    np.testing.assert_array_equal(run(module, [tensor(x)], 6, machine(target)), expected)


MATMUL_SHAPES = [
    ((4, 5), (5, 17)),
    ((5,), (5, 17)),
    ((4, 5), (5,)),
    ((5,), (5,)),
    ((2, 4, 5), (5, 3)),
    ((4, 5), (3, 5, 16)),
    ((1, 4, 5), (2, 5, 3)),
    ((2, 1, 4, 5), (1, 3, 5, 18)),
]


@pytest.mark.parametrize("target", CHIP_NAMES)
@pytest.mark.parametrize(("left", "right"), MATMUL_SHAPES)
@pytest.mark.parametrize("form", ["constant", "computed", "native"])
def test_matmul(target: str, left: tuple[int, ...], right: tuple[int, ...], form: str) -> None:
    rng = np.random.default_rng(4)
    chip = get_chip(target)
    a = rng.integers(-128, 128, left).astype(np.int8)
    b = rng.integers(-128, 128, right).astype(np.int8)
    stored = b
    if form != "native" and len(right) > 1:
        stored = pack_matmul(b, chip.packing, chip.lanes(1)).reshape(right)
    second = tensor(stored)
    attributes = {"input1_layout": "native_kn"} if form == "native" else {}
    parameters = {1: second} if form == "constant" else {}
    module = MatMul("product", quant_type=QuantType.SYMM_8BIT, attributes=attributes, parameters=parameters)
    expected = saturate(shift_and_round(np.atleast_1d(np.matmul(a.astype(np.int64), b)), 7, chip.rounding), np.int8)
    result = run(module, [tensor(a), second], 7, machine(target))
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result, expected)


def test_matmul_follows_a_computed_second_input() -> None:
    a, b = tensor(np.eye(3, dtype=np.int8)), tensor(np.zeros((3, 3), np.int8))
    y = TensorBase([3, 3], None, 0, DType.INT8)
    step = MatMul("product", quant_type=QuantType.SYMM_8BIT).bind([a, b], [y], machine("c"))
    step()
    assert not y.data.any()
    b.data[...] = np.arange(9).reshape(3, 3).T
    step()
    np.testing.assert_array_equal(y.data, np.arange(9).reshape(3, 3))


@pytest.mark.parametrize(("left", "right"), [((4, 5), (4, 5)), ((2, 4, 5), (3, 5, 6)), ((1, 1, 1, 4, 5), (5, 6)), ((), (5,))])
def test_matmul_refuses_shapes_that_do_not_meet(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    with pytest.raises(EspdlError, match="cannot be multiplied"):
        MatMul("product").get_output_shape([list(left), list(right)])


@pytest.mark.parametrize(
    ("dims", "attributes", "x", "expected"),
    [
        ([3, 3, 4, 8], {"pads": [1, 2, 0, 1], "strides": [2, 1]}, [1, 9, 10, 4], [1, 4, 11, 8]),
        ([3, 3, 8, 1], {"group": 8, "dilations": [2, 3]}, [1, 9, 10, 8], [1, 5, 4, 8]),
        ([5, 4, 8], {"pads": [2, 0], "strides": [3]}, [1, 10, 4], [1, 3, 8]),
        ([5, 8, 1], {"group": 8}, [1, 10, 8], [1, 6, 8]),
    ],
)
def test_conv_shapes(dims: list[int], attributes: dict[str, Any], x: list[int], expected: list[int]) -> None:
    module = conv(TensorBase(dims, None, 0, DType.INT8), **attributes)
    assert module.get_output_shape([x, dims]) == [expected]


@pytest.mark.parametrize(
    ("dims", "attributes", "x", "message"),
    [
        ([3, 3, 4, 8], {"group": 2}, [1, 9, 9, 8], "does not run on the chips"),
        ([3, 3, 8, 2], {"group": 8}, [1, 9, 9, 8], "does not run on the chips"),
        ([3, 3, 4, 8], {"pads": [1, 1]}, [1, 9, 9, 4], "pads do not fit"),
        ([3, 3, 4, 8], {"strides": [1]}, [1, 9, 9, 4], "strides do not fit"),
        ([3, 3, 4, 8], {"strides": 2}, [1, 9, 9, 4], "strides do not fit"),
        ([3, 3, 4, 8], {"dilations": ["1", "1"]}, [1, 9, 9, 4], "must be a list of integers"),
        ([3, 3, 4, 8], {"pads": 1.5}, [1, 9, 9, 4], "must be a list of integers"),
        ([3, 3, 4, 8], {"group": [1]}, [1, 9, 9, 4], "must be an integer"),
        ([3, 3, 4, 8], {"strides": [0, 1]}, [1, 9, 9, 4], "at least 1"),
        ([3, 3, 4, 8], {}, [1, 9, 9, 5], "reads 4 channels"),
        ([3, 3, 4, 8], {}, [2, 9, 9, 4], "batch must be 1"),
        ([3, 3, 4, 8], {}, [1, 2, 9, 4], "larger than its padded input"),
        ([4, 8], {}, [1, 9, 4], "neither one- nor two-dimensional"),
    ],
)
def test_conv_refusals(dims: list[int], attributes: dict[str, Any], x: list[int], message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        conv(TensorBase(dims, None, 0, DType.INT8), **attributes).get_output_shape([x, dims])


@pytest.mark.parametrize(("file", "chip"), [("c", "esp32s3"), ("esp32p4", "c")])
def test_a_filter_packed_for_another_class_is_refused_by_name(file: str, chip: str) -> None:
    module = conv(filter_tensor(np.ones((16, 1, 1, 2), np.int8), file))
    with pytest.raises(EspdlError) as caught:
        run(module, [tensor(np.ones((1, 1, 1, 2), np.int8))], 0, machine(chip))
    of_the_file = [c.name for c in CHIPS.values() if c.packing is get_chip(file).packing]
    assert all(name in str(caught.value) for name in of_the_file)
    assert f"again for {chip}" in str(caught.value)


def test_types_that_contradict_the_node_are_refused() -> None:
    module = conv(filter_tensor(np.ones((1, 1, 1, 1), np.int8), "c"))
    with pytest.raises(EspdlError, match="quant_type"):
        run(module, [tensor(np.ones((1, 1, 1, 1), np.int16))], 0, machine("c"))
    with pytest.raises(EspdlError, match="int8 and int16"):
        run(module, [tensor(np.ones((1, 1, 1, 1), np.float32))], 0, machine("c"))


@pytest.mark.parametrize("bias", [np.zeros(3, np.int32), np.zeros(1, np.int16)])
def test_a_bias_that_does_not_fit_is_refused(bias: np.ndarray) -> None:
    module = conv(filter_tensor(np.ones((1, 1, 1, 1), np.int8), "c"), tensor(bias))
    with pytest.raises(EspdlError, match="bias"):
        run(module, [tensor(np.ones((1, 1, 1, 1), np.int8))], 0, machine("c"))


@pytest.mark.parametrize("exponent", [2**40, -(2**62), [0, 2**33]])
def test_impossible_exponents_are_refused(exponent: int | list[int]) -> None:
    module = conv(filter_tensor(np.ones((2, 1, 1, 1), np.int8), "esp32p4", exponent))
    with pytest.raises(EspdlError, match="impossible"):
        run(module, [tensor(np.ones((1, 1, 1, 1), np.int8))], 0, machine("esp32p4"))


def test_a_computed_filter_is_refused() -> None:
    with pytest.raises(EspdlError, match="must be a constant"):
        Conv("layer")


class TestSilicon:
    """What the vector unit does that 64-bit sums do not."""

    def test_biases_of_vector_blocks_wrap_at_twenty_bits_those_of_the_remainder_do_not(self) -> None:
        bias = np.full(18, 2**19 + 7, np.int32)
        module = conv(filter_tensor(np.zeros((18, 1, 1, 2), np.int8), "esp32s3"), tensor(bias))
        x = tensor(np.zeros((1, 1, 1, 2), np.int8))
        silicon = run(module, [x], 14, machine("esp32s3", Arithmetic.SILICON)).reshape(-1)
        assert silicon.tolist() == [-32] * 16 + [32] * 2
        assert "16 biases do not fit the chip's 20 bits" in module.warnings[0]
        reference = run(conv(module.parameters[1], module.parameters[2]), [x], 14, machine("esp32s3"))
        assert reference.reshape(-1).tolist() == [32] * 18

    def test_every_depthwise_channel_has_a_narrow_lane(self) -> None:
        w = np.full((6, 7, 18), 127, np.int8)
        module = conv(filter_tensor(w, "esp32s3", depthwise=True), group=18)
        x = tensor(np.full((1, 6, 7, 18), 127, np.int8))
        narrow = run(module, [x], 13, machine("esp32s3", Arithmetic.SILICON)).reshape(-1)
        assert narrow.tolist() == [64] * 18
        assert (module.lane_overflows.count, module.lane_overflows.channels) == (18, tuple(range(18)))
        assert "18 sums left the chip's accumulator in the last run" in module.warnings[0]
        assert run(module, [x], 13, machine("esp32s3")).reshape(-1).tolist() == [83] * 18

    def test_chips_without_vector_unit_wrap_at_32_bits(self) -> None:
        bias = np.array([2**31 - 1], np.int32)
        module = conv(filter_tensor(np.ones((1, 1, 1, 1), np.int8), "c"), tensor(bias))
        x = tensor(np.ones((1, 1, 1, 1), np.int8))
        assert run(module, [x], 26, machine("c", Arithmetic.SILICON)).item() == -32
        assert run(module, [x], 26, machine("c")).item() == 32

    def test_a_left_shift_runs_with_a_warning(self) -> None:
        module = conv(filter_tensor(np.ones((16, 1, 1, 1), np.int8), "esp32s3"))
        assert run(module, [tensor(np.full((1, 1, 1, 1), 3, np.int8))], -2, machine("esp32s3", Arithmetic.SILICON)).max() == 12
        assert "garbage on esp32s3" in module.warnings[0]

    def test_overflows_of_all_matrices_count(self) -> None:
        a = tensor(np.full((3, 2, 64), 127, np.int8))
        b = tensor(np.full((3, 64, 16), 127, np.int8))
        module = MatMul("product", quant_type=QuantType.SYMM_8BIT, attributes={"input1_layout": "native_kn"})
        run(module, [a, b], 13, machine("esp32s3", Arithmetic.SILICON))
        assert module.lane_overflows.count == 3 * 2 * 16


class TestFloat:
    """Nodes of float files: ONNX filters, channels-last activations."""

    @pytest.mark.parametrize("group", [1, 2, 4])
    def test_conv(self, group: int) -> None:
        rng = np.random.default_rng(5)
        x = rng.standard_normal((1, 5, 6, 4), np.float32)
        w = rng.standard_normal((8, 4 // group, 2, 3), np.float32)
        bias = rng.standard_normal(8, np.float32)
        module = Conv(
            "layer",
            quant_type=QuantType.FLOAT32,
            attributes={"group": group, "pads": [1, 0, 0, 1], "activation": "Relu"},
            parameters={1: tensor(w), 2: tensor(bias)},
        )
        result = run(module, [tensor(x)], 0, machine("c"))
        around = np.pad(x[0], ((1, 0), (0, 1), (0, 0)))
        expected = np.zeros((5, 5, 8), np.float64)
        for n in range(8):
            source = around[:, :, n // (8 // group) * (4 // group) :][:, :, : 4 // group]
            for i in range(5):
                for j in range(5):
                    expected[i, j, n] = (source[i : i + 2, j : j + 3].transpose(2, 0, 1) * w[n]).sum() + bias[n]
        np.testing.assert_allclose(result[0], np.maximum(expected, 0), atol=1e-5)

    @pytest.mark.parametrize("trans_b", [0, 1])
    def test_gemm(self, trans_b: int) -> None:
        rng = np.random.default_rng(6)
        x, w, c = (rng.standard_normal(shape, np.float32) for shape in [(2, 3), (3, 4), (4,)])
        stored = w.T.copy() if trans_b else w
        attributes = {"transB": trans_b, "alpha": 2.0, "beta": 0.5}
        module = Gemm("fc", quant_type=QuantType.FLOAT32, attributes=attributes, parameters={1: tensor(stored), 2: tensor(c)})
        np.testing.assert_allclose(run(module, [tensor(x)], 0, machine("c")), 2 * (x @ w) + c / 2, rtol=1e-5, atol=1e-6)

    def test_matmul(self) -> None:
        a, b = np.ones((2, 3), np.float32), np.full((3, 1), 0.5, np.float32)
        module = MatMul("product", quant_type=QuantType.FLOAT32)
        assert run(module, [tensor(a), tensor(b)], 0, machine("c")).tolist() == [[1.5], [1.5]]
