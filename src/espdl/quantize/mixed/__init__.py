"""Mixed precision: the layers that gain most for their time go to 16 bits, up to a budget (setting ``mixed_precision``)."""

from espdl.quantize.mixed.precision import MixedPrecision, Step, choose_precision, require_mixable

__all__ = ["MixedPrecision", "Step", "choose_precision", "require_mixable"]
