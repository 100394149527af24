"""Fake quantization: the chip's values, and the gradients of the formulas it is trained by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from espdl.rounding import Rounding, dequantize, quantize

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch


def values(*shape: int):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) * 3


def surrogate(x, log2_scale, grid):
    """The same with rounding written as ``v + stop(round(v) - v)``, which PyTorch differentiates by itself."""
    from espdl.quantize.train.fake_quant import round_integers_

    shape = [1] * x.ndim
    if log2_scale.ndim:
        shape[grid.axis] = -1
    log2 = log2_scale + (torch.round(log2_scale) - log2_scale).detach()
    scale = torch.exp2(log2).reshape(shape if log2_scale.ndim else ())
    scaled = x / scale
    integers = scaled + (round_integers_(scaled.detach().clone(), grid.rounding) - scaled.detach())
    return torch.clamp(integers, grid.low, grid.high) * scale


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("bits", [8, 16])
def test_values_are_those_of_the_chip(rounding: Rounding, bits: int) -> None:
    from espdl.quantize.train.fake_quant import Grid, fake_quantize

    x = torch.cat([values(200), torch.arange(-300, 300) / 64, torch.tensor([1e6, -1e6])]).float()
    exponent = -5 if bits == 8 else -12
    found = fake_quantize(x, torch.tensor(float(exponent)), Grid(bits, rounding)).numpy()
    dtype = np.int8 if bits == 8 else np.int16
    np.testing.assert_array_equal(found, dequantize(quantize(x.numpy(), exponent, dtype, rounding), exponent))


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_gradients_are_those_of_straight_through_rounding(rounding: Rounding, axis: int | None) -> None:
    from espdl.quantize.train.fake_quant import Grid, fake_quantize

    x = values(4, 5, 6)
    grid = Grid(8, rounding, axis or 0)
    start = torch.tensor(-5.3, dtype=torch.float64) if axis is None else torch.linspace(-6.4, -4.6, x.shape[axis]).double()
    share = values(4, 5, 6)
    found = []
    for function in (fake_quantize, surrogate):
        tensors = [x.clone().requires_grad_(), start.clone().requires_grad_()]
        (function(*tensors, grid) * share).sum().backward()
        found.append([tensor.grad for tensor in tensors])
    for mine, wanted in zip(*found, strict=True):
        torch.testing.assert_close(mine, wanted)
    assert found[0][1].abs().min() > 0


def test_the_gradient_of_the_threshold_is_the_papers() -> None:
    """``ln 2 * s * (q - x / s)`` inside, ``ln 2 * s * q`` beyond the ends; TQT, equations 6 and 7."""
    from espdl.quantize.train.fake_quant import Grid, fake_quantize

    x = torch.tensor([0.3, -0.7, 100.0, -100.0], dtype=torch.float64)
    for index, number in enumerate(x.tolist()):
        log2 = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
        fake_quantize(x[index], log2, Grid(8, Rounding.HALF_EVEN)).backward()
        ratio = number / 0.25
        wanted = min(max(round(ratio), -128), 127) - (ratio if -128 <= round(ratio) <= 127 else 0)
        assert log2.grad is not None
        assert float(log2.grad) == pytest.approx(math.log(2) * 0.25 * wanted)


def test_a_threshold_finds_the_range_of_its_data() -> None:
    """From far too small and far too large scales, gradient descent comes to where the error is least."""
    from espdl.quantize.train.fake_quant import Grid, exponents_of, fake_quantize

    x = values(4000).float()
    grid = Grid(8, Rounding.HALF_EVEN)

    def error(exponent: float) -> float:
        return float((fake_quantize(x, torch.tensor(float(exponent)), grid) - x).square().mean())

    best = min(range(-12, 4), key=error)
    for start in (-9.0, 2.0):
        log2 = torch.tensor(start, requires_grad=True)
        optimizer = torch.optim.Adam([log2], lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            (fake_quantize(x, log2, grid) - x).square().mean().backward()
            optimizer.step()
        assert abs(exponents_of(log2)[0] - best) <= 1
