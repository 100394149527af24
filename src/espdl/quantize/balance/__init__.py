"""Balancing: channels are scaled between layers so that integers lose less, while the network computes the same."""

from espdl.quantize.balance.balance import Balanced, balance_channels, tensors_to_measure
from espdl.quantize.balance.equalize import equalize, tensors_to_equalize
from espdl.quantize.balance.widths import Widths

__all__ = ["Balanced", "Widths", "balance_channels", "equalize", "tensors_to_equalize", "tensors_to_measure"]
