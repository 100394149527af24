"""Learned rounding: the formulas, where it starts, and that it ends at integers."""

from __future__ import annotations

import math

import pytest

from espdl.rounding import Rounding

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch


def random(*shape: int, seed: int = 3):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_sigmoid_is_the_papers_and_reaches_both_ends() -> None:
    from espdl.quantize.train.adaround import inverse_sigmoid, rectified_sigmoid

    v = torch.tensor([-3.0, -0.7, 0.0, 0.4, 3.0], dtype=torch.float64)
    wanted = [min(max(1.2 / (1 + math.exp(-number)) - 0.1, 0), 1) for number in v.tolist()]
    torch.testing.assert_close(rectified_sigmoid(v), torch.tensor(wanted, dtype=torch.float64))
    assert rectified_sigmoid(v)[0] == 0 and rectified_sigmoid(v)[-1] == 1
    h = torch.linspace(0, 1, 21, dtype=torch.float64)
    torch.testing.assert_close(rectified_sigmoid(inverse_sigmoid(h)), h)


def test_its_gradient_is_that_of_the_formula() -> None:
    """``(zeta - gamma) sigmoid(v) (1 - sigmoid(v))`` inside, 0 where it is cut off."""
    from espdl.quantize.train.adaround import rectified_sigmoid

    v = torch.tensor([-3.0, -1.0, 0.2, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    rectified_sigmoid(v).sum().backward()
    sigmoid = torch.sigmoid(v.detach())
    wanted = 1.2 * sigmoid * (1 - sigmoid) * torch.tensor([0, 1, 1, 1, 0])
    torch.testing.assert_close(v.grad, wanted)


@pytest.mark.parametrize("beta", [20.0, 7.5, 2.0])
def test_the_regulariser_and_its_gradient_are_those_of_the_formula(beta: float) -> None:
    from espdl.quantize.train.adaround import regulariser

    h = torch.tensor([0.0, 0.1, 0.45, 0.8, 1.0], dtype=torch.float64, requires_grad=True)
    found = regulariser(h, beta)
    assert float(found.detach()) == pytest.approx(sum(1 - abs(2 * number - 1) ** beta for number in h.tolist()))
    found.backward()
    wanted = [-2 * beta * math.copysign(abs(2 * n - 1) ** (beta - 1), 2 * n - 1) for n in h.tolist()]
    torch.testing.assert_close(h.grad, torch.tensor(wanted, dtype=torch.float64))


def test_the_power_is_annealed_behind_a_warm_up() -> None:
    from espdl.quantize.train.adaround import annealed_beta

    found = [annealed_beta(step, 101) for step in range(101)]
    assert found[:21] == [None] * 21
    powers = [power for power in found if power is not None]
    assert powers[0] == 20 and powers[-1] == pytest.approx(2) and powers == sorted(powers, reverse=True)
    assert powers[len(powers) // 2] == pytest.approx(11, abs=0.5)
    for steps in (1, 2, 3):
        assert annealed_beta(0, steps) is None


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("firmness", [0.0, 0.8])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_what_has_learned_nothing_is_rounded_as_before(rounding: Rounding, firmness: float, axis: int | None) -> None:
    from espdl.quantize.train.adaround import SoftRounding
    from espdl.quantize.train.fake_quant import Grid, fake_quantize

    grid = Grid(8, rounding, axis or 0)
    weight = torch.cat([random(6, 50) * 3, torch.tensor([[0.5, -0.5, 1.5, -2.5, 200.0, -200.0]]).T * 2.0**-4], 1)
    log2 = torch.tensor(-4.0) if axis is None else torch.arange(weight.shape[axis]).remainder(3) - 5.0
    unit = torch.exp2(log2) if axis is None else torch.exp2(log2).reshape([-1 if a == axis else 1 for a in range(2)])
    found = SoftRounding.of(weight, weight, unit, grid, firmness)
    present = fake_quantize(weight, log2, grid)
    torch.testing.assert_close(found.hard(), present, rtol=0, atol=0)
    inside = (weight / unit).abs() < 127
    if not firmness:
        far = (weight - present).abs() < 0.499 * unit
        torch.testing.assert_close(found.soft()[inside & far], weight[inside & far])
    assert float(((found.soft() - present).abs() / unit)[inside].max()) <= 0.5 * (1 - firmness) + 1e-3


def test_a_weight_goes_no_further_than_to_the_integer_on_the_other_side_of_its_value() -> None:
    """Real values 2.3, 2.3, -1.6, and 5.0, of which one was rounded to the far integer and one by two steps."""
    from espdl.quantize.train.adaround import SoftRounding
    from espdl.quantize.train.fake_quant import Grid

    original, weight = torch.tensor([2.3, 2.3, -1.6, 5.0]), torch.tensor([2.0, 3.0, -3.0, 5.0])
    found = SoftRounding.of(weight, original, torch.tensor(1.0), Grid(8, Rounding.HALF_EVEN), 0.0)
    assert found.low.tolist() == [2, 2, -3, 5] and found.hard().tolist() == weight.tolist()
    found.v = -found.v
    assert found.hard().tolist() == [3, 2, -2, 6]


def test_annealing_reaches_integers_that_beat_the_nearest_ones() -> None:
    """Outputs of one layer: the error of learned rounding is below that of rounding to nearest, and nothing stays in between."""
    from espdl.quantize.train.adaround import SoftRounding, annealed_beta, regulariser
    from espdl.quantize.train.fake_quant import Grid
    from espdl.quantize.train.optimizer import Adam, Trained

    weight, inputs = random(4, 24) * 0.3, random(200, 6) @ random(6, 24, seed=5)
    grid, unit, steps = Grid(8, Rounding.HALF_EVEN), torch.tensor(0.25), 300
    rounding = SoftRounding.of(weight, weight, unit, grid, 0.0)
    nearest = rounding.hard()
    rounding.v.requires_grad_(True)
    adam = Adam([Trained(rounding.v, 0.05)], steps, decay=False)

    def error(rounded):
        return ((rounded - weight) @ inputs.T).square().mean()

    for step in range(steps):
        loss, beta = error(rounding.soft()) / error(nearest), annealed_beta(step, steps)
        (loss if beta is None else loss + regulariser(rounding.h, beta)).backward()
        adam.step()
    h = rounding.h.detach()
    assert float(((h > 0.01) & (h < 0.99)).float().mean()) < 0.02
    assert float(error(rounding.hard())) < 0.5 * float(error(nearest))
    assert float((rounding.hard() - weight).abs().max()) <= 0.25
    with torch.no_grad():
        assert torch.equal(rounding(), rounding.hard())
