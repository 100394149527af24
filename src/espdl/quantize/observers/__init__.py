"""Calibration algorithms: each sees values and chooses the exponent that represents them."""

from espdl.quantize.observers import isotone, kl, minmax, mse, output_error, percentile  # noqa: F401  # registers them
from espdl.quantize.observers.base import OBSERVERS, Observer, View, create_observer

__all__ = ["OBSERVERS", "Observer", "View", "create_observer"]
