"""8-bit weights under 16-bit activations: every operator that has them, on every class of chips, both backends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from espdl.chips import get_chip
from espdl.dl.base import get_kernels, missing_native_notice
from espdl.dl.machine import Machine
from espdl.dl.module.conv import Conv
from espdl.dl.module.mac import MacModule
from espdl.dl.module.matmul import MatMul
from espdl.dtypes import Arithmetic, QuantType
from espdl.errors import EspdlError
from espdl.fbs.packing import pack_filter, pack_matmul, packing_tag
from espdl.rounding import saturate, shift_and_round
from espdl.tensor import TensorBase

TARGETS = ("c", "esp32s3", "esp32p4", "esp32s31")
CHANNELS = (3, 8, 19)
RNG = np.random.default_rng(4)
W8A16 = QuantType.parse("W8A16")


@pytest.fixture(params=["numpy", "native"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "native" and missing_native_notice():
        pytest.skip(missing_native_notice())
    return str(request.param)


def tensor(values: np.ndarray, exponent: int = 0) -> TensorBase:
    return TensorBase(values.shape, values, exponent)


def lanes(target: str) -> int:
    """Blocks are as long as vectors of the activations, not of the weights."""
    return get_chip(target).lanes(2)


def filter_tensor(values: np.ndarray, target: str, *, depthwise: bool = False) -> TensorBase:
    """Weights [N, KH, KW, C], depthwise [KH, KW, N], as a file for ``target`` holds them."""
    chip = get_chip(target)
    dims = [*values.shape, 1] if depthwise else [*values.shape[1:], values.shape[0]]
    result = tensor(pack_filter(values, chip.packing, lanes(target), depthwise).reshape(dims), -7)
    channels = values.shape[-1 if depthwise else 0]
    result.doc_string = "layout ==> " + packing_tag(chip.packing, lanes(target), channels, spatial=2, depthwise=depthwise)
    return result


def activations(*shape: int) -> np.ndarray:
    return RNG.integers(-32768, 32768, shape).astype(np.int16)


def weights(*shape: int) -> np.ndarray:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def check(module: MacModule, x: np.ndarray, sums: np.ndarray, target: str, backend: str, *rest: TensorBase | None) -> None:
    """Runs ``module`` with a shift of 12 in both arithmetics: none of these sums leaves 40 bits."""
    wanted = saturate(shift_and_round(sums, 12, get_chip(target).rounding), np.int16)
    everything = [tensor(x, -9), *rest]
    for arithmetic in Arithmetic:
        y = TensorBase(sums.shape, np.zeros(sums.shape, np.int16), -4)
        module.bind(everything, [y], Machine(get_chip(target), arithmetic, get_kernels(backend)))()
        assert np.array_equal(y.data, wanted)


def patches(x: np.ndarray, i: int, j: int) -> np.ndarray:
    return x[:, i : i + 4, j : j + 3].astype(np.int64)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_conv(target: str, channels: int, backend: str) -> None:
    x, w, bias = activations(1, 6, 4, 5), weights(channels, 3, 2, 5), RNG.integers(-(2**30), 2**30, channels)
    sums = sum(np.einsum("nhwc,oc->nhwo", patches(x, i, j), w[:, i, j].astype(np.int64)) for i in range(3) for j in range(2))
    module = Conv("layer", quant_type=W8A16, parameters={1: filter_tensor(w, target), 2: tensor(bias, -16)})
    check(module, x, sums + bias, target, backend, *module.parameters.values())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("channels", CHANNELS)
def test_depthwise(target: str, channels: int, backend: str) -> None:
    x, w = activations(1, 6, 4, channels), weights(3, 2, channels)
    sums = sum(patches(x, i, j) * w[i, j] for i in range(3) for j in range(2))
    assert isinstance(sums, np.ndarray)
    packed = filter_tensor(w, target, depthwise=True)
    module = Conv("layer", quant_type=W8A16, attributes={"group": channels}, parameters={1: packed})
    check(module, x, sums, target, backend, packed)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("native_kn", [False, True])
def test_matmul(target: str, channels: int, native_kn: bool, backend: str) -> None:
    a, b, chip = activations(2, 4, 5), weights(2, 5, channels), get_chip(target)
    attributes: dict[str, Any] = {"input1_layout": "native_kn" if native_kn else "packed"}
    packed = tensor(b if native_kn else pack_matmul(b, chip.packing, lanes(target)).reshape(b.shape), -7)
    if not native_kn:
        packed.doc_string = "layout ==> " + packing_tag(chip.packing, lanes(target), channels, spatial=2, depthwise=False)
    module = MatMul("layer", quant_type=W8A16, attributes=attributes, parameters={1: packed})
    check(module, a, a.astype(np.int64) @ b, target, backend, packed)


def test_blocks_of_the_weights_own_vectors_are_refused() -> None:
    w = weights(16, 1, 1, 4)
    packed = tensor(pack_filter(w, get_chip("esp32s3").packing, 16, False).reshape(1, 1, 4, 16), -7)
    packed.doc_string = "layout ==> (N/16)HWC16"
    module = Conv("layer", quant_type=W8A16, parameters={1: packed})
    with pytest.raises(EspdlError, match="packed in blocks of 16"):
        check(module, activations(1, 1, 1, 4), np.zeros((1, 1, 1, 16), np.int64), "esp32s3", "numpy", packed)
