"""The fit: it finds costs that are there, keeps to what it knows of others, and gives the kept costs again."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.errors import EspdlError
from espdl.estimate.fit import Prior, fit, leave_out, spread_of
from tests.estimate.latency_fit import COSTS, script

TRUE = np.array([2.0, 50.0, 0.5])
PRIOR = Prior(np.array([4.0, 20.0, 0.5]), np.array([1.0, 1.0, 0.1]))


def measurements(noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    amounts = np.exp(rng.normal(0, 2, (12, 3)))
    amounts[:, 2] = 0  # nothing is measured of the third
    return amounts, (amounts @ TRUE) * np.exp(noise * rng.normal(size=12))


def test_costs_are_found() -> None:
    amounts, measured = measurements()
    found = fit(amounts, measured, np.ones(12), PRIOR, 0.01)
    assert found.costs[:2] == pytest.approx(TRUE[:2], rel=0.01)
    assert found.costs[2] == pytest.approx(0.5)
    assert np.sqrt(np.diag(found.covariance))[:2].max() < 0.05
    assert np.sqrt(found.covariance[2, 2]) == pytest.approx(0.1)


def test_few_measurements_leave_the_prior() -> None:
    amounts, measured = measurements()
    found = fit(amounts[:1], measured[:1], np.full(1, 1e-6), PRIOR, 0.1)
    assert found.costs == pytest.approx(PRIOR.guess, rel=0.01)


def test_leaving_out_is_not_seeing() -> None:
    amounts, measured = measurements(0.05)
    wrong = measured.copy()
    wrong[3] *= 3
    factors = leave_out(amounts, wrong, np.ones(12), [str(index) for index in range(12)], PRIOR, 0.1)
    without = fit(np.delete(amounts, 3, 0), np.delete(wrong, 3), np.ones(11), PRIOR, 0.1).costs
    assert factors[3] == pytest.approx(amounts[3] @ without / wrong[3])
    assert factors[3] == pytest.approx(1 / 3, rel=0.2)
    assert spread_of(np.array([np.e, 1 / np.e])) == pytest.approx(1)


def test_a_run_without_time_is_refused() -> None:
    amounts, measured = measurements()
    with pytest.raises(EspdlError, match="no time"):
        fit(amounts, measured * 0, np.ones(12), PRIOR, 0.1)


def test_the_kept_costs_are_those_of_the_script() -> None:
    fit_latency = script("fit_latency")
    assert fit_latency.costs_text(fit_latency.fit_all()) == COSTS.read_text(encoding="utf-8")


def test_published_latencies_are_met_unseen() -> None:
    fit_latency = script("fit_latency")
    rows = [row for result in fit_latency.fit_all().values() for row in result.rows]
    assert len(rows) == 32
    for chip in ("esp32s3", "esp32p4"):
        for prediction in ("without_model", "without_family"):
            median, worst = fit_latency.errors([row for row in rows if row.chip == chip], prediction)
            assert median <= 0.20
            assert worst <= 0.50


def test_intervals_hold_what_they_promise() -> None:
    """9 of 10 published latencies lie in the interval around the prediction of a fit that had not seen their family."""
    fit_latency = script("fit_latency")
    inside = [
        abs(np.log(row.without_family / row.published)) <= 1.645 * result.model_error
        for result in fit_latency.fit_all().values()
        for row in result.rows
    ]
    assert np.mean(inside) >= 0.9
