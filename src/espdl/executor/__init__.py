"""``TorchExecutor``: what the chip will answer, for scripts that work with PyTorch."""

from __future__ import annotations

from espdl.executor.torch import TorchExecutor

__all__ = ["TorchExecutor"]
