"""Names of ESP-PPQ's module of the same name: what quantizing returns is called ``BaseGraph`` there."""

from __future__ import annotations

from espdl.quantize.api import QuantizedModel as BaseGraph

__all__ = ["BaseGraph"]
