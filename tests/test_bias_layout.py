"""Packing of biases into narrow accumulator lanes (runtime spec 2.5), against an unpacker that reads bytes as the vector unit does."""

import numpy as np
import pytest

from espdl.bias_layout import pack_bias
from espdl.chips import CHIPS
from espdl.dtypes import DType, QuantType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


def unpack(data: bytes, count: int, packed: int, bits: int) -> list[int]:
    values = []
    per_group = 160 // bits
    for i in range(packed):
        start = i // per_group * 32
        group = int.from_bytes(data[start : start + 20], "little")
        lane = group >> (i % per_group * bits) & (1 << bits) - 1
        values.append(lane - (1 << bits) if lane >> (bits - 1) else lane)
    rest = -(-packed // per_group) * 32
    return values + [int.from_bytes(data[rest + 8 * i :][:8], "little", signed=True) for i in range(count - packed)]


def test_two_values_share_five_bytes():
    packed = pack_bias(np.array([0x12345, 0x6789A]), 20, 16, depthwise=True)
    assert packed.tobytes() == bytes([0x45, 0x23, 0xA1, 0x89, 0x67]) + bytes(11)


@pytest.mark.parametrize("count", [1, 7, 16, 19, 32, 45])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(("bits", "lanes"), [(20, 16), (40, 8)])
def test_every_value_comes_back(count, depthwise, bits, lanes):
    generator = np.random.default_rng(count)
    bias = generator.integers(-(1 << bits - 1), 1 << bits - 1, count)
    data = pack_bias(bias, bits, lanes, depthwise).tobytes()
    packed = count if depthwise else count // lanes * lanes
    assert len(data) % 16 == 0
    assert unpack(data, count, packed, bits) == bias.tolist()


def test_values_outside_the_lane_wrap_and_the_rest_does_not():
    bias = np.full(17, (1 << 19) + 1)
    data = pack_bias(bias, 20, 16, False).tobytes()
    assert unpack(data, 17, 16, 20) == [-(1 << 19) + 1] * 16 + [(1 << 19) + 1]


def test_reset_bias_layout_asks_the_chip():
    bias = TensorBase([1, 18], range(18), -9, DType.INT32)
    bias.reset_bias_layout(QuantType.SYMM_8BIT, False, CHIPS["esp32p4"])
    assert bias.dtype is DType.INT32
    bias.reset_bias_layout(QuantType.SYMM_8BIT, False, CHIPS["esp32s3"])
    assert bias.dtype is DType.UINT8
    assert bias.shape == [80]
    assert unpack(bias.data.tobytes(), 18, 16, 20) == list(range(18))
    wide = TensorBase([8], range(8), 0, DType.INT64)
    wide.reset_bias_layout(QuantType.SYMM_16BIT, False, CHIPS["esp32s3"])
    assert unpack(wide.data.tobytes(), 8, 8, 40) == list(range(8))


def test_biases_of_the_wrong_type():
    with pytest.raises(EspdlError, match="INT64 on chips"):
        TensorBase([8], None, 0, DType.INT32).reset_bias_layout(QuantType.SYMM_16BIT, False, CHIPS["esp32s3"])
    with pytest.raises(EspdlError, match="20 or 40"):
        pack_bias(np.zeros(4), 32, 16, False)
