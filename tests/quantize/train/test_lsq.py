"""LSQ's gradients, and steps that learn together."""

from __future__ import annotations

import math

import pytest

from espdl.quantize.graph import QuantInfo
from espdl.rounding import Rounding

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch


def place(log2: list[float] | float, bits: int = 8, axis: int = 0):
    from espdl.quantize.train.fake_quant import Grid
    from espdl.quantize.train.places import Place, Scale

    tensor = torch.tensor(log2, dtype=torch.float64, requires_grad=True)
    return Place(Scale(QuantInfo("x", bits), tensor, is_weighed=True), Grid(bits, Rounding.HALF_EVEN, axis))


@pytest.mark.parametrize("bits", [8, 16])
def test_the_gradient_of_a_step_is_the_papers(bits: int) -> None:
    """``q - x / s`` inside, the end beyond (equation 3), times ``1 / sqrt(N Qp)``, and ``s ln 2`` for the logarithm."""
    x = torch.tensor([0.3, -0.7, 1.1, 1e6, -1e6, 2.0], dtype=torch.float64)
    above = torch.tensor([1.0, -2.0, 0.5, 1.5, 0.25, 3.0], dtype=torch.float64)
    tried = place(-2.2, bits)
    (tried(x) * above).sum().backward()
    step, highest = 0.25, 2 ** (bits - 1) - 1
    slopes = []
    for number in (x / step).tolist():
        integer = round(number)
        slopes.append(integer - number if -highest - 1 <= integer <= highest else min(max(integer, -highest - 1), highest))
    weight = 1 / math.sqrt(len(x) * highest)
    wanted = weight * sum(slope * share for slope, share in zip(slopes, above.tolist(), strict=True))
    assert float(tried.scale.log2.grad) == pytest.approx(wanted * step * math.log(2))


def test_steps_of_channels_have_the_gradients_that_each_would_have_by_itself() -> None:
    x = torch.randn(3, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together = place([-4.0, -5.0, -6.0], axis=0)
    together(x).square().sum().backward()
    for row in range(3):
        alone = place(-4.0 - row)
        alone(x[row]).square().sum().backward()
        assert float(together.scale.log2.grad[row]) == pytest.approx(float(alone.scale.log2.grad))


def test_the_network_runs_with_powers_of_two_whatever_has_been_learned() -> None:
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    assert torch.equal(place(-5.4)(x), place(-5.0)(x)) and torch.equal(place(-5.6)(x), place(-6.0)(x))


def test_steps_that_learn_together_move_in_proportion_to_their_gradients() -> None:
    from espdl.quantize.train.optimizer import Together

    one, many = torch.zeros(()), torch.zeros(2)
    together = Together([one, many, torch.zeros(3)], 0.1)
    for count in (1, 2, 3):
        one.grad, many.grad = torch.tensor(4e-6), torch.tensor([-1e-6, 0.0])
        together.update(count, 1.0)
    assert one.grad is None and many.grad is None
    torch.testing.assert_close(one, torch.tensor(-0.3))
    torch.testing.assert_close(many, torch.tensor([0.075, 0.0]))
    still = Together([torch.ones(2)], 0.1)
    still.update(1, 1.0)
    assert torch.equal(still.tensors[0], torch.ones(2))
