"""Names of ESP-PPQ's module of the same name."""

from __future__ import annotations

from espdl.quantize.platform import TargetPlatform

__all__ = ["TargetPlatform"]
