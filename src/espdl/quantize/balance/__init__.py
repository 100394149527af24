"""Balancing: channels are scaled between layers so that integers lose less, while the network computes the same."""

from espdl.quantize.balance.balance import Balanced, balance_channels, tensors_to_measure

__all__ = ["Balanced", "balance_channels", "tensors_to_measure"]
