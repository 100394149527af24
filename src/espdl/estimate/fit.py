"""Fitting costs to measured latencies: few parameters, each held near what is known of it beforehand.

Latencies are sums of positive amounts times positive costs, and errors are factors. So everything is done on logarithms: costs have a
log-normal prior (a best guess and the factor within which it is believed), errors of latencies a log-normal spread, and the most probable
costs are found by damped Gauss-Newton steps. What the measurements do not tell stays at its prior, with the prior's width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError

Array = NDArray[np.float64]

STEPS = 200
CONVERGED = 1e-12


@dataclass(frozen=True)
class Prior:
    """What is known before: ``guess`` [P] and, as standard deviations of the logarithm, ``spread`` [P]."""

    guess: Array
    spread: Array


@dataclass(frozen=True)
class Fit:
    """Costs [P], and the covariance [P, P] of their logarithms."""

    costs: Array
    covariance: Array


def fit(amounts: Array, measured: Array, weights: Array, prior: Prior, spread: float) -> Fit:
    """The most probable costs.

    Args:
        amounts: [N, P], of every measured run in units of every parameter.
        measured: [N], in the unit of a cost.
        weights: [N], how much a run counts; 1 is one whole measurement.
        prior: see there.
        spread: standard deviation of the logarithm of a measurement around the model.

    Raises:
        EspdlError: when a run has no work at all, or a measurement is not positive.
    """
    if (amounts.sum(axis=1) <= 0).any() or (measured <= 0).any():
        raise EspdlError("a measured run has no work or no time", hint="leave it out")
    centre = np.log(prior.guess)
    logs = centre.copy()
    target = np.log(measured)
    precision = np.diag(1 / prior.spread**2)

    def cost(at: Array) -> float:
        errors = target - np.log(amounts @ np.exp(at))
        return float((weights * errors**2).sum() / spread**2 + (((at - centre) / prior.spread) ** 2).sum())

    damping, value = 1e-3, cost(logs)
    for _ in range(STEPS):
        predicted = amounts @ np.exp(logs)
        shares = amounts * np.exp(logs) / predicted[:, None]
        curvature = (shares.T * weights) @ shares / spread**2 + precision
        slope = (shares.T * weights) @ (target - np.log(predicted)) / spread**2 - (logs - centre) / prior.spread**2
        step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), slope)
        tried = cost(logs + step)
        if tried > value:
            damping *= 5
            continue
        logs, damping, gain, value = logs + step, max(damping / 5, 1e-9), value - tried, tried
        if gain < CONVERGED * max(value, 1.0):
            break
    shares = amounts * np.exp(logs) / (amounts @ np.exp(logs))[:, None]
    inverse = np.linalg.inv((shares.T * weights) @ shares / spread**2 + precision)
    return Fit(np.exp(logs), inverse.astype(np.float64))


def leave_out(amounts: Array, measured: Array, weights: Array, groups: list[str], prior: Prior, spread: float) -> Array:
    """Factors by which every run [N] is predicted too long by a fit that has seen no run of its group."""
    factors = np.empty(len(measured))
    names = np.array(groups)
    for group in dict.fromkeys(groups):
        out = names == group
        costs = fit(amounts[~out], measured[~out], weights[~out], prior, spread).costs
        factors[out] = amounts[out] @ costs / measured[out]
    return factors


def spread_of(factors: Array, weights: Array | None = None) -> float:
    """Root mean square of the logarithms of ``factors``."""
    return float(np.sqrt(np.average(np.log(factors) ** 2, weights=weights)))
